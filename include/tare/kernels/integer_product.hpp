#pragma once
// SPDX-License-Identifier: MIT
// Products of integer codes with prepared weights: y = x W^T with exact integer sums, equal to the
// last bit on every machine.
//
//     activations   weights    one instruction (VNNI) adds to a 32-bit sum
//     uint8         int8       4 products, vpdpbusd
//     int8          int8       4 products, vpdpbusd: weights are stored as w + 128, and
//                              128 sum_k x(m,k) is taken off each finished sum
//     int16         int16      2 products, vpdpwssd: codes of 9 to 16 bits
//
// Overflow: K products of codes of magnitude at most X and W fit 32 bits while K X W <= 2^31 - 1.
// For bytes the type gives K <= 65,793 (uint8) and 131,071 (int8). For 16-bit codes X and W are the
// largest magnitudes present, so that 9-bit codes (255) may have K = 33,025 and 10-bit codes
// (511) 8,224. Longer sums are cut into segments and joined in 64 bits, or refused where y is
// int32.

#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include <tare/kernels/dequantize.hpp>
#include <tare/kernels/word_tile.hpp>

namespace tare::kernels {

/// The type of an activation code of an integer product.
template <class T>
concept activation_code =
    std::same_as<T, std::uint8_t> || std::same_as<T, std::int8_t> || std::same_as<T, std::int16_t>;

namespace detail {

template <activation_code Activation>
struct integer_dot;

template <>
struct integer_dot<std::uint8_t> {
    using activation = std::uint8_t;
    using sums = simd::words;
    static constexpr int tile_sums = simd::byte_sums;
    static constexpr int tile_rows = simd::byte_tile_rows;
    static constexpr int many_rows = simd::many_tile_rows<tile_rows>;
    static sums zero() { return simd::words_of(0); }
    static sums step(sums s, simd::words x, simd::words w) { return simd::dot_u8s8(s, x, w); }
};
template <>
struct integer_dot<std::int8_t> : integer_dot<std::uint8_t> {
    using activation = std::int8_t;
    static sums step(sums s, simd::words x, simd::words w) { return simd::dot_u8s8(s, w, x); }
};
template <>
struct integer_dot<std::int16_t> {
    using activation = std::int16_t;
    using sums = simd::words;
    static constexpr int tile_sums = simd::word_sums;
    static constexpr int tile_rows = simd::word_tile_rows;
    static constexpr int many_rows = simd::many_tile_rows<tile_rows>;
    static sums zero() { return simd::words_of(0); }
    static sums step(sums s, simd::words x, simd::words w) { return simd::dot_s16(s, x, w); }
};

/// Largest magnitude of the codes, 32768 where one is -32768.
inline std::int32_t largest_magnitude(matrix_view<const std::int16_t> codes) {
    std::int16_t low = 0;
    std::int16_t high = 0;
    for (extent r = 0; r < codes.rows; ++r) {
        for (const std::int16_t code : codes.row(r)) {
            low = std::min(low, code);
            high = std::max(high, code);
        }
    }
    return std::max(-static_cast<std::int32_t>(low), static_cast<std::int32_t>(high));
}

/// Sum of a row of 8-bit codes; exact while count < 2^31 / 128.
inline std::int64_t sum_of_codes(const std::int8_t* p, extent count) {
    constexpr extent step = simd::word_lanes * 4;
    const simd::words ones = simd::words_of(0x01010101);
    simd::words sum = simd::words_of(0);
    extent k = 0;
    for (; k + step <= count; k += step)
        sum = simd::dot_small_u8s8(sum, ones, simd::load_words(p + k));
    alignas(64) std::int32_t lane[simd::word_lane_count];
    simd::store_words(lane, sum);
    std::int64_t total = 0;
    for (const std::int32_t value : lane)
        total += value;
    for (; k < count; ++k)
        total += p[k];
    return total;
}

/// Takes 128 sum_k x(m,k) off the sums of weights stored as w + 128.
template <class Finish>
struct remove_offset {
    const std::int64_t* row_sums;
    Finish finish;

    [[gnu::always_inline]] void operator()(simd::words sums, extent row, extent column,
                                           std::size_t count) const {
        const auto offset = static_cast<std::int32_t>(128 * row_sums[row]);
        finish(simd::subtract(sums, simd::words_of(offset)), row, column, count);
    }
    void wide(std::int64_t* lane, extent row, extent column,
              std::size_t count) const requires requires {
        finish.wide(lane, row, column, count);
    }
    {
        for (std::size_t l = 0; l < simd::word_lane_count; ++l)
            lane[l] -= 128 * row_sums[row];
        finish.wide(lane, row, column, count);
    }
};

}  // namespace detail

/// Weights (N,K) of a linear layer, packed for activations of one type: int8 codes for uint8 and
/// int8 activations, int16 codes for int16. About N K bytes (2 N K), N rounded up to 32.
template <activation_code Activation>
class integer_weights {
  public:
    using code_type =
        std::conditional_t<std::same_as<Activation, std::int16_t>, std::int16_t, std::int8_t>;

    integer_weights() = default;
    /// **Throws** tare::error on a null view, a short stride, or sizes beyond 64 bits.
    explicit integer_weights(matrix_view<const code_type> codes)
        : strips_(detail::pack_words("integer_weights", codes, [](code_type code) {
              if constexpr (std::same_as<Activation, std::int8_t>)
                  return static_cast<code_type>(code ^ code_type{-128});
              else
                  return code;
          })) {
        if constexpr (std::same_as<code_type, std::int16_t>)
            largest_ = detail::largest_magnitude(codes);
    }

    /// Words that were packed elsewhere; no magnitude in them exceeds `largest`.
    integer_weights(detail::word_strips strips,
                    std::int32_t largest) requires(std::same_as<Activation, std::int16_t>)
        : strips_(std::move(strips)), largest_(largest) {}

    /// N: the number of outputs.
    [[nodiscard]] extent outputs() const noexcept { return strips_.outputs; }
    /// K: the length of each sum.
    [[nodiscard]] extent inputs() const noexcept { return strips_.inputs; }
    /// Bytes that a product reads.
    [[nodiscard]] std::size_t bytes() const noexcept { return strips_.words.size() * 4; }
    /// Largest magnitude of a code: that of the type for bytes, that of the codes for int16.
    [[nodiscard]] std::int32_t largest() const noexcept { return largest_; }
    [[nodiscard]] const detail::word_strips& strips() const noexcept { return strips_; }

  private:
    detail::word_strips strips_;
    std::int32_t largest_ = 128;
};

namespace detail {

/// Values of k whose sum is sure to fit 32 bits; 0 where not even one group does.
template <class Activation>
extent safe_depth(matrix_view<const Activation> x, const integer_weights<Activation>& w) {
    constexpr extent group = 4 / static_cast<extent>(sizeof(Activation));
    extent magnitude = std::same_as<Activation, std::uint8_t> ? 255 : 128;
    if constexpr (std::same_as<Activation, std::int16_t>) magnitude = largest_magnitude(x);
    const extent product = magnitude * w.largest();
    if (product == 0) return std::numeric_limits<extent>::max() / 4 * 4;
    return std::numeric_limits<std::int32_t>::max() / product / group * group;
}

/// Sums too large for even one 32-bit group: 16-bit codes at -32768 on both sides.
template <class Finish>
void multiply_wide(matrix_view<const std::int16_t> x, const word_strips& w, const Finish& finish) {
    for (extent m = 0; m < x.rows; ++m) {
        for (extent n = 0; n < w.outputs; ++n) {
            const std::uint32_t* word =
                w.words.data() + n / word_strip * w.strip_words() + n % word_strip;
            std::int64_t sum[simd::word_lane_count] = {};
            for (extent k = 0; k < w.inputs; ++k) {
                const std::uint32_t pair = word[k / 2 * word_strip];
                sum[0] += std::int64_t{x(m, k)} * static_cast<std::int16_t>(pair >> (k % 2 * 16));
            }
            finish.wide(sum, m, n, 1);
        }
    }
}

template <class Activation, class Finish>
void multiply_integers(matrix_view<const Activation> x, const integer_weights<Activation>& w,
                       extent safe, const Finish& finish) {
    const word_operands all = operands_of(x, w.strips());
    if constexpr (std::same_as<Activation, std::int8_t>) {
        constexpr std::size_t near = 64;
        std::int64_t few[near];
        std::vector<std::int64_t> many;
        std::int64_t* sums = few;
        if (static_cast<std::size_t>(x.rows) > near) {
            many.resize(static_cast<std::size_t>(x.rows));
            sums = many.data();
        }
        parallel_for(x.rows, 1, x.columns / 16, [&](extent begin, extent end) {
            for (extent m = begin; m < end; ++m)
                sums[m] = sum_of_codes(x.data + m * x.stride, x.columns);
        });
        // While the sum without its offset fits, the sum with it may wrap. A segment may not.
        const extent segment = x.columns <= safe ? safe : safe / 2;
        multiply_words<integer_dot<Activation>>(all, segment, remove_offset<Finish>{sums, finish});
    } else {
        multiply_words<integer_dot<Activation>>(all, safe, finish);
    }
}

template <class Activation, class Finish>
void multiply_exactly(matrix_view<const Activation> x, const integer_weights<Activation>& w,
                      const Finish& finish) {
    if (x.rows == 0 || w.outputs() == 0) return;
    const extent safe = safe_depth(x, w);
    if constexpr (std::same_as<Activation, std::int16_t>) {
        if (safe == 0) {
            multiply_wide(x, w.strips(), finish);
            return;
        }
    }
    multiply_integers(x, w, safe, finish);
}

}  // namespace detail

/// y(m,n) = sum_k x(m,k) w(n,k), exact.
/// **Shapes** x (M,K), w (N,K), y (M,N); any sizes, also 0. **Throws** tare::error on shapes that
/// do not match, bad views, overlap, and where K is so large that 32 bits might not hold a sum.
template <activation_code Activation>
void integer_product(std::type_identity_t<matrix_view<const Activation>> x,
                     const integer_weights<Activation>& w, matrix_view<std::int32_t> y) {
    detail::check_product(x, w.inputs(), w.outputs(), y, "integer_product");
    if (x.rows == 0 || w.outputs() == 0) return;
    const extent safe = detail::safe_depth(x, w);
    require(w.inputs() <= safe, "integer_product: sums of ", w.inputs(),
            " products of these codes may exceed 32 bits (", safe,
            " are safe); pass a y of 64-bit integers or of floats");
    detail::multiply_integers(x, w, safe, detail::store_int32{y});
}

/// The same into 64-bit integers: any K.
template <activation_code Activation>
void integer_product(std::type_identity_t<matrix_view<const Activation>> x,
                     const integer_weights<Activation>& w, matrix_view<std::int64_t> y) {
    detail::check_product(x, w.inputs(), w.outputs(), y, "integer_product");
    detail::multiply_exactly(x, w, detail::store_int64{y});
}

/// y(m,n) = finish((float(sum_k x(m,k) w(n,k)) * scales.rows[n]) * scales.activation), any K. An
/// epilogue adds bias, residual or ReLU: `add_bias(b) | apply_relu()`.
/// **Rounding** the sum is exact; float(), both multiplications and `finish` round to nearest even.
/// **Throws** as above, and unless there is one scale for each output.
template <activation_code Activation, epilogue Finish = no_epilogue>
void integer_product(std::type_identity_t<matrix_view<const Activation>> x,
                     const integer_weights<Activation>& w, matrix_view<float> y,
                     const dequantize& scales, const Finish& finish = {}) {
    detail::check_product(x, w.inputs(), w.outputs(), y, "integer_product");
    detail::check_dequantize("integer_product", scales, y);
    detail::check_epilogue(finish, "integer_product", matrix_view<const float>(y));
    detail::multiply_exactly(x, w, detail::store_floats<Finish>{y, scales, finish});
}

namespace plain {

/// The product by definition: x (M,K), w (N,K), y (M,N).
template <std::integral Activation, std::integral Weight>
void integer_product(matrix_view<const Activation> x, matrix_view<const Weight> w,
                     matrix_view<std::int64_t> y) {
    for (extent m = 0; m < y.rows; ++m) {
        for (extent n = 0; n < y.columns; ++n) {
            std::int64_t sum = 0;
            for (extent k = 0; k < x.columns; ++k)
                sum += std::int64_t{x(m, k)} * w(n, k);
            y(m, n) = sum;
        }
    }
}

}  // namespace plain
}  // namespace tare::kernels
