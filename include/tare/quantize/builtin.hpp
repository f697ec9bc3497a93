#pragma once
// SPDX-License-Identifier: MIT
// The quantizers of the library as a list of ready objects, for tools that show them side by side.
// A user's own quantizer is appended at the place of use; nothing here needs to know it.

#include <tuple>

#include <tare/core/shape.hpp>
#include <tare/quantize/activation.hpp>
#include <tare/quantize/block_float.hpp>
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

/// A quantizer and how a table calls it (its name and what sets this object apart).
template <class Q>
struct listed {
    Q quantizer;
    const char* label;
};
template <class Q>
listed(Q, const char*) -> listed<Q>;

/// All built-in quantizers with their usual options, for a tensor with rows of `columns` elements.
[[nodiscard]] inline auto builtin(extent columns) {
    const per_row rows{columns};
    return std::make_tuple(
        listed{linear_quantizer<>(8), "linear_symmetric 8"},
        listed{linear_quantizer<symmetric_levels, per_row>(8, rows), "linear_symmetric 8, per row"},
        listed{linear_quantizer<symmetric_levels, per_row>(4, rows), "linear_symmetric 4, per row"},
        listed{linear_quantizer<stored_range, per_row>(9, rows), "linear_stored 9, per row"},
        listed{linear_quantizer<full_levels>(8), "linear_full_range 8"},
        listed{linear_quantizer<affine_range>(8), "linear_affine 8"},
        listed{linear_quantizer<affine_range, per_block<32>>(4), "linear_affine 4, blocks of 32"},
        listed{activation_linear(8), "activation_linear 8"}, listed{llm_int8(columns), "llm_int8"},
        listed{smaq<>(), "smaq 6,8 nearest"},
        listed{smaq<smaq_encodable, smaq_stochastic>(), "smaq 6,8 stochastic"},
        listed{smaq<>({.main_bits = 4, .outlier_bits = 6}), "smaq 4,6 nearest"},
        listed{s2fp8(), "s2fp8"}, listed{mxfp8_e4m3<>(columns), "mxfp8_e4m3"},
        listed{mxfp8_e5m2<>(columns), "mxfp8_e5m2"}, listed{mxfp6_e3m2<>(columns), "mxfp6_e3m2"},
        listed{mxfp6_e2m3<>(columns), "mxfp6_e2m3"}, listed{mxfp4<>(columns), "mxfp4"},
        listed{mxint8<>(columns), "mxint8"}, listed{nvfp4(columns), "nvfp4"},
        listed{nf4_blocks(), "nf4, blocks of 64"}, listed{nf4_nested(), "nf4_nested"},
        listed{q4_0(columns), "q4_0"}, listed{q8_0(columns), "q8_0"},
        listed{block_float<per_row>(8, rows), "block_float 8, per row"},
        listed{ternary_weights<twn_rule, per_row>(rows), "ternary_twn, per row"},
        listed{ternary_weights<bitnet_rule>(), "ternary_bitnet"},
        listed{xnor<per_row>(rows), "xnor, per row"});
}

/// Calls `visit(label, quantizer)` for every built-in quantizer.
template <class Visitor>
void for_each_builtin(extent columns, Visitor&& visit) {
    std::apply([&](const auto&... entry) { (visit(entry.label, entry.quantizer), ...); },
               builtin(columns));
}

}  // namespace tare::quantizers
