#pragma once
// SPDX-License-Identifier: MIT
// One row times packed strips of little depth, and a bias: the logits of a tail of rare words, K of
// a few and N of hundreds of thousands. What bounds them is reading: so nothing but weights, bias
// and logits may pass through memory.
//     y_n = (sum_k x_k w_kn) + b_n
// Each output is one chain of fma over k and one addition: the bits of a product by tiles
// (matmul_tile.hpp) with add_bias. Tiles write their outputs and read them again to finish them,
// which at K = 4 costs a fifth of the time.

#include <algorithm>
#include <cmath>
#include <span>

#include <tare/kernels/arguments.hpp>
#include <tare/kernels/matmul_tile.hpp>

namespace tare::kernels {

/// Depths from which on a tile's own costs no longer count.
inline constexpr extent thin_depth = 16;

namespace detail {

/// Outputs of `Strips` strips; `count` of them, at least one, are wanted.
template <int Strips>
[[gnu::always_inline]] inline void thin_strips(std::span<const float> x, const float* strips,
                                               const float* bias, float* y, extent count) {
    constexpr int registers = Strips * strip_vectors;
    const auto depth = static_cast<extent>(x.size());
    simd::floats sum[registers];
#pragma GCC unroll 64
    for (int j = 0; j < registers; ++j)
        sum[j] = simd::broadcast(0.0F);
    for (extent k = 0; k < depth; ++k) {
        const simd::floats left = simd::broadcast(x[static_cast<std::size_t>(k)]);
#pragma GCC unroll 64
        for (int j = 0; j < registers; ++j)
            sum[j] = simd::fma(left,
                               simd::load(strips + (j / strip_vectors * depth + k) * strip_columns +
                                          j % strip_vectors * lane_count),
                               sum[j]);
    }
#pragma GCC unroll 64
    for (int j = 0; j < registers; ++j) {
        const extent left = std::min(count - j * lane_count, lane_count);
        if (left <= 0) return;
        const auto n = static_cast<std::size_t>(left);
        store_lanes(y + j * lane_count, sum[j] + load_lanes(bias + j * lane_count, n), n);
    }
}

}  // namespace detail

/// **Shapes** x (K); strips: packed weights of the outputs, [ceil(N / strip_columns)][K]
/// [strip_columns] (see prepared_matrix.hpp); bias and y (N). On the calling thread. **Throws**
/// tare::error on spans that do not fit; how much is behind `strips` is the caller's to know.
inline void thin_row(std::span<const float> x, const float* strips, std::span<const float> bias,
                     std::span<float> y) {
    detail::require_memory("thin_row", "x", x);
    detail::require_size("thin_row", "bias", bias, static_cast<extent>(y.size()), "one per output");
    detail::require_memory("thin_row", "y", y);
    require(strips != nullptr || x.empty() || y.empty(), "thin_row: the strips have no memory");
    detail::require_all_apart("thin_row", {{"y", y}}, {{"x", x}, {"bias", bias}});
    // Four strips are enough sums in flight to hide the latency of fma.
    constexpr int together = simd::lanes == 1 ? 1 : 4;
    constexpr extent columns = together * detail::strip_columns;
    const auto depth = static_cast<extent>(x.size());
    const auto outputs = static_cast<extent>(y.size());
    extent n = 0;
    for (; n + columns <= outputs; n += columns)
        detail::thin_strips<together>(x, strips + n * depth, bias.data() + n, y.data() + n,
                                      columns);
    for (; n < outputs; n += detail::strip_columns)
        detail::thin_strips<1>(x, strips + n * depth, bias.data() + n, y.data() + n, outputs - n);
}

namespace plain {

/// The same by the formula, with the products' own rounding.
inline void thin_row(std::span<const float> x, const float* strips, std::span<const float> bias,
                     std::span<float> y) {
    constexpr auto width = static_cast<std::size_t>(kernels::detail::strip_columns);
    for (std::size_t n = 0; n < y.size(); ++n) {
        float sum = 0.0F;
        for (std::size_t k = 0; k < x.size(); ++k) {
            const float w = strips[(n / width * x.size() + k) * width + n % width];
            sum = simd::fused ? std::fma(x[k], w, sum) : sum + x[k] * w;
        }
        y[n] = sum + bias[n];
    }
}

}  // namespace plain
}  // namespace tare::kernels
