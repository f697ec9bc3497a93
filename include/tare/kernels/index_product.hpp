#pragma once
// SPDX-License-Identifier: MIT
// Index lists times activations that are stored input by input, y^T = W x^T: for each weight that
// is not zero, a row of tokens is scaled and added. It pays where few weights are left and many
// tokens come at once: 1.5 times the dense product at 96 tokens and 70 % zeros (bench_sparse).
//
// Each output is one chain of fma over ascending k: the bits of the dense product, x finite.

#include <algorithm>

#include <tare/core/parallel.hpp>
#include <tare/core/unroll.hpp>
#include <tare/kernels/dequantize.hpp>
#include <tare/kernels/matmul_tile.hpp>
#include <tare/kernels/sparse_weights.hpp>

namespace tare::kernels {

namespace detail {

/// Registers of tokens that one reading of an index list serves: 96 tokens with AVX-512.
inline constexpr int token_registers = 6;

/// Tokens [first, first + Registers * lanes) of the outputs [begin, end).
template <int Registers>
void add_tokens(matrix_view<const float> xt, const index_weights& w, matrix_view<float> yt,
                extent first, extent begin, extent end) {
    for (extent n = begin; n < end; ++n) {
        simd::floats sum[Registers];
        unroll<Registers>([&](auto t)
                              __attribute__((always_inline)) { sum[t] = simd::broadcast(0.0F); });
        for (extent i = w.start(n); i < w.start(n + 1); ++i) {
            const simd::floats value = simd::broadcast(w.values()[i]);
            const float* tokens = &xt(w.indices()[i], first);
            unroll<Registers>([&](auto t) __attribute__((always_inline)) {
                sum[t] = simd::fma(value, simd::load(tokens + t * lane_count), sum[t]);
            });
        }
        unroll<Registers>([&](auto t) __attribute__((always_inline)) {
            simd::store(&yt(n, first + t * lane_count), sum[t]);
        });
    }
}

/// The last tokens, fewer than a register holds.
inline void add_last_tokens(matrix_view<const float> xt, const index_weights& w,
                            matrix_view<float> yt, extent first, extent begin, extent end) {
    const auto count = static_cast<std::size_t>(xt.columns - first);
    for (extent n = begin; n < end; ++n) {
        simd::floats sum = simd::broadcast(0.0F);
        for (extent i = w.start(n); i < w.start(n + 1); ++i)
            sum = simd::fma(simd::broadcast(w.values()[i]),
                            load_lanes(&xt(w.indices()[i], first), count), sum);
        store_lanes(&yt(n, first), sum, count);
    }
}

}  // namespace detail

/// yt(n,m) = sum_k w(n,k) xt(k,m).
/// **Shapes** xt (K,M), w (N,K), yt (N,M): tokens contiguous; any sizes, also 0. **Accuracy** that
/// of the dense product, to the bit where x is finite. **Throws** tare::error on shapes that do not
/// match, bad views, overlap.
inline void index_product(matrix_view<const float> xt, const index_weights& w,
                          matrix_view<float> yt) {
    using namespace detail;
    check_view("index_product", "xt", xt);
    check_view("index_product", "yt", yt);
    require(xt.rows == w.inputs(), "index_product: xt is (", xt.rows, ',', xt.columns,
            "), but the weights are (", w.outputs(), ',', w.inputs(),
            "); xt needs a row for each input of the weights. Is it transposed?");
    require(yt.rows == w.outputs() && yt.columns == xt.columns, "index_product: yt is (", yt.rows,
            ',', yt.columns, "), but the product is (", w.outputs(), ',', xt.columns,
            "); resize yt");
    require_apart("index_product", "xt", xt, "yt", yt);
    if (yt.rows == 0 || yt.columns == 0) return;
    const extent work = std::max<extent>(1, w.nonzeros() / yt.rows *
                                                ((xt.columns + lane_count - 1) / lane_count) * 2);
    parallel_for(yt.rows, 8, work, [&](extent begin, extent end) {
        constexpr extent block = token_registers * lane_count;
        extent m = 0;
        for (; m + block <= xt.columns; m += block)
            add_tokens<token_registers>(xt, w, yt, m, begin, end);
        for (; m + 2 * lane_count <= xt.columns; m += 2 * lane_count)
            add_tokens<2>(xt, w, yt, m, begin, end);
        for (; m + lane_count <= xt.columns; m += lane_count)
            add_tokens<1>(xt, w, yt, m, begin, end);
        if (m < xt.columns) add_last_tokens(xt, w, yt, m, begin, end);
    });
}

}  // namespace tare::kernels
