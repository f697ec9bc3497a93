#pragma once
// SPDX-License-Identifier: MIT
// The quantizers of the library as ready objects, for tools that show them side by side.
// A user's own quantizer is appended at the place of use; nothing here needs to know it.

#include <numeric>

#include <tare/core/shape.hpp>
#include <tare/quantize/activation.hpp>
#include <tare/quantize/block_float.hpp>
#include <tare/quantize/daq.hpp>
#include <tare/quantize/ggml_blocks.hpp>
#include <tare/quantize/linear.hpp>
#include <tare/quantize/llm_int8.hpp>
#include <tare/quantize/mx.hpp>
#include <tare/quantize/nf4.hpp>
#include <tare/quantize/nvfp4.hpp>
#include <tare/quantize/s2fp8.hpp>
#include <tare/quantize/smaq.hpp>
#include <tare/quantize/ternary.hpp>
#include <tare/quantize/xnor.hpp>

namespace tare::quantizers {

/// Calls `visit(label, quantizer)` for every built-in quantizer with its usual options, for a
/// tensor with rows of `columns` elements. Calls one by one: a tuple of them all takes a second to
/// compile.
template <class Visitor>
void for_each_builtin(extent columns, Visitor&& visit) {
    const per_row rows{columns};
    visit("linear_symmetric 8", linear_quantizer<>(8));
    visit("linear_symmetric 8, per row", linear_quantizer<symmetric_levels, per_row>(8, rows));
    visit("linear_symmetric 4, per row", linear_quantizer<symmetric_levels, per_row>(4, rows));
    visit("linear_stored 9, per row", linear_quantizer<stored_range, per_row>(9, rows));
    visit("linear_full_range 8", linear_quantizer<full_levels>(8));
    visit("linear_affine 8", linear_quantizer<affine_range>(8));
    visit("linear_affine 4, blocks of 32", linear_quantizer<affine_range, per_block<32>>(4));
    visit("activation_linear 8", activation_linear(8));
    visit("llm_int8", llm_int8(columns));
    visit("smaq 6,8 nearest", smaq<>());
    visit("smaq 6,8 stochastic", smaq<smaq_encodable, smaq_stochastic>());
    visit("smaq 4,6 nearest", smaq<>({.main_bits = 4, .outlier_bits = 6}));
    visit("s2fp8", s2fp8());
    visit("mxfp8_e4m3", mxfp8_e4m3<>(columns));
    visit("mxfp8_e5m2", mxfp8_e5m2<>(columns));
    visit("mxfp6_e3m2", mxfp6_e3m2<>(columns));
    visit("mxfp6_e2m3", mxfp6_e2m3<>(columns));
    visit("mxfp4", mxfp4<>(columns));
    visit("mxint8", mxint8<>(columns));
    visit("nvfp4", nvfp4(columns));
    visit("nf4, blocks of 64", nf4_blocks());
    visit("nf4_nested", nf4_nested());
    visit("q4_0", q4_0(columns));
    visit("q8_0", q8_0(columns));
    visit("block_float 8, per row", block_float<per_row>(8, rows));
    visit("ternary_twn, per row", ternary_weights<twn_rule, per_row>(rows));
    visit("ternary_bitnet", ternary_weights<bitnet_rule>());
    visit("xnor, per row", xnor<per_row>(rows));
    // Blocks of eight where rows are whole numbers of them.
    const extent block = std::gcd(columns, extent{8});
    visit("product 256", product_quantizer<>(columns, {.block = block}));
    visit("daq 16, 16 buckets",
          daq_quantizer<>(columns, {.block = block, .search = {.entries = 16}}, {16, true}));
}

}  // namespace tare::quantizers
