#pragma once
// SPDX-License-Identifier: MIT
// Products of bfloat16 codes with prepared weights and fp32 sums: y = x W^T. Built for an AMD core
// with AVX512-BF16, two products are one instruction (vdpbf16ps); elsewhere codes are widened,
// which is exact, and a product of two of them is exact too. Intel's cores have the instruction,
// but do it in the time of four fma: there widening is faster (simd::dot_bf16).
//
// Accuracy: each of the K additions rounds once, so |error| <= K 2^-24 / (1 - K 2^-24) sum_k |x w|.
// vdpbf16ps takes subnormal codes and subnormal sums as zero, which adds at most
// 2^-126 sum_k (|x| + |w|) + K 2^-126; the other builds keep them and agree with each other to the
// bit. NaN and infinities pass as in fp32. A sum is one chain over k, in an order of its own per
// build, never one that depends on M or on threads.

#include <cstdint>

#include <tare/kernels/arguments.hpp>
#include <tare/kernels/dequantize.hpp>
#include <tare/kernels/word_tile.hpp>

namespace tare::kernels {

/// Weights (N,K) of a linear layer as bfloat16 codes (the upper halves of floats), packed.
class bf16_weights {
  public:
    bf16_weights() = default;
    /// **Throws** tare::error on a null view, a short stride, or sizes beyond 64 bits.
    explicit bf16_weights(matrix_view<const std::uint16_t> codes)
        : strips_(
              detail::pack_words("bf16_weights", codes, [](std::uint16_t code) { return code; })) {}

    /// N: the number of outputs.
    [[nodiscard]] extent outputs() const noexcept { return strips_.outputs; }
    /// K: the length of each sum.
    [[nodiscard]] extent inputs() const noexcept { return strips_.inputs; }
    /// Bytes that a product reads.
    [[nodiscard]] std::size_t bytes() const noexcept { return strips_.words.size() * 4; }
    [[nodiscard]] const detail::word_strips& strips() const noexcept { return strips_; }

  private:
    detail::word_strips strips_;
};

namespace detail {

struct bf16_dot {
    using activation = std::uint16_t;
    using sums = simd::reals;
    static constexpr int tile_sums = simd::word_sums;
    static constexpr int tile_rows = simd::word_tile_rows;
    // Weights take two registers each once they are widened: 6 x 64 would not fit.
    static constexpr int many_rows = tile_rows;
    [[gnu::always_inline]] static sums zero() { return simd::reals_of(0.0F); }
    [[gnu::always_inline]] static sums step(sums s, simd::words x, simd::words w) {
        return simd::dot_bf16(s, x, w);
    }
};

/// Finishes and writes registers of sums.
template <epilogue Finish>
struct store_reals {
    matrix_view<float> y;
    Finish finish;

    [[gnu::always_inline]] void operator()(simd::reals sums, extent row, extent column,
                                           std::size_t count) const {
        store_floats<Finish>::each_part(
            column, count, [&](int p, extent at, std::size_t n) __attribute__((always_inline)) {
                store_lanes(&y(row, at), finish(simd::part_of(sums, p), row, at, n), n);
            });
    }
};

}  // namespace detail

/// y(m,n) = finish(sum_k x(m,k) w(n,k)).
/// **Shapes** x (M,K) bfloat16 codes, w (N,K), y (M,N); any sizes, also 0. **Accuracy** see the
/// file comment. **Throws** tare::error on shapes that do not match, bad views, overlap.
template <epilogue Finish = no_epilogue>
void bf16_product(matrix_view<const std::uint16_t> x, const bf16_weights& w, matrix_view<float> y,
                  const Finish& finish = {}) {
    detail::check_product(x, w.inputs(), w.outputs(), y, "bf16_product");
    detail::check_epilogue(finish, "bf16_product", matrix_view<const float>(y));
    if (x.rows == 0 || w.outputs() == 0) return;
    detail::multiply_words<detail::bf16_dot>(detail::operands_of(x, w.strips()), w.inputs(),
                                             detail::store_reals<Finish>{y, finish});
}

namespace plain {

/// The product by definition: codes widened, products exact, sums in double.
inline void bf16_product(matrix_view<const std::uint16_t> x, matrix_view<const std::uint16_t> w,
                         matrix_view<float> y) {
    const auto widen = [](std::uint16_t code) {
        return static_cast<double>(std::bit_cast<float>(std::uint32_t{code} << 16));
    };
    for (extent m = 0; m < y.rows; ++m) {
        for (extent n = 0; n < y.columns; ++n) {
            double sum = 0.0;
            for (extent k = 0; k < x.columns; ++k)
                sum += widen(x(m, k)) * widen(w(n, k));
            y(m, n) = static_cast<float>(sum);
        }
    }
}

}  // namespace plain
}  // namespace tare::kernels
