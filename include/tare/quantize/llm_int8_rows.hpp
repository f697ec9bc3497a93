#pragma once
// SPDX-License-Identifier: MIT
// The loops of quantize/llm_int8.hpp over one row: integers of elements, values of integers, the
// largest magnitudes of columns and of the row. In double, because x 127 overflows float32 where x
// does not.
//
// Neither direction divides where products with a reciprocal give the same. q = x 127 / m is never
// nearer than 2^-33 to the middle between two integers unless it lies there: 254 x and an odd
// multiple of m are multiples of the smaller last place. Two products with a reciprocal come within
// 2^-44, and the remainder, exact by fma, mends those in the middle. q m / 127 keeps the same
// distance from the middle between two float32 and never lies there: 127 is a prime, and a multiple
// of it in m leaves a product of 24 bits.

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <tare/core/shape.hpp>
#include <tare/core/simd.hpp>
#include <tare/formats/rounding.hpp>
#include <tare/quantize/block_elements.hpp>

namespace tare::detail {

/// Division by the largest magnitude m of a row.
struct llm_int8_row {
    explicit llm_int8_row(float m)
        : most(m),
          // Without a nonzero all quotients are 0.
          divisor(m > 0.0F ? static_cast<double>(m) : std::numeric_limits<double>::infinity()),
          reciprocal(m > 0.0F ? 1.0 / static_cast<double>(m) : 0.0) {}

    /// round_half_even(x 127 / m) in [-127, 127], 0 for NaN.
    [[nodiscard, gnu::always_inline]] std::int32_t integer(float x) const noexcept {
        const double scaled = static_cast<double>(bounded(x, most)) * 127.0;
        double q;
        if constexpr (simd::fused) {
            q = scaled * reciprocal;
            q = std::fma(std::fma(-static_cast<double>(most), q, scaled), reciprocal, q);
        } else {
            q = scaled / divisor;
        }
        // The adder rounds, and leaves the integer in the low bits.
        return static_cast<std::int32_t>(
            static_cast<std::uint32_t>(std::bit_cast<std::uint64_t>(q + 0x1.8p52)));
    }
    /// q m / 127.
    [[nodiscard, gnu::always_inline]] float value(std::int32_t q) const noexcept {
        return static_cast<float>(static_cast<double>(q) * static_cast<double>(most) *
                                  (1.0 / 127.0));
    }

    float most;
    double divisor, reciprocal;
};

/// Raises the pattern of each column's largest magnitude (NaN does not count) by one row.
inline void raise_columns(const float* x, extent n, std::int32_t* most) noexcept {
    for (extent c = 0; c < n; ++c) {
        const auto size =
            static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(x[c]) & 0x7FFFFFFFU);
        const std::int32_t number = size <= infinity_pattern ? size : 0;
        most[c] = number > most[c] ? number : most[c];
    }
}

/// Largest finite magnitude of a row outside the columns whose mask is all ones.
[[nodiscard]] inline float largest_unmasked(const float* x, const std::uint32_t* masks,
                                            extent n) noexcept {
    std::int32_t most = 0;
    for (extent c = 0; c < n; ++c) {
        const auto size =
            static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(x[c]) & 0x7FFFFFFFU & ~masks[c]);
        const std::int32_t number = size < infinity_pattern ? size : 0;
        most = number > most ? number : most;
    }
    return std::bit_cast<float>(most);
}

/// y[c] = what survives of x[c], x[c] itself where the mask is all ones. y may be x.
inline void round_row(const float* x, float* y, const std::uint32_t* masks, extent n,
                      float m) noexcept {
    const llm_int8_row row(m);
#pragma omp simd
    for (extent c = 0; c < n; ++c) {
        const auto value = std::bit_cast<std::uint32_t>(row.value(row.integer(x[c])));
        y[c] = std::bit_cast<float>((std::bit_cast<std::uint32_t>(x[c]) & masks[c]) |
                                    (value & ~masks[c]));
    }
}

/// codes[c] = integer of x[c] in two's complement.
inline void encode_row(const float* x, extent n, float m, std::uint8_t* codes) noexcept {
    const llm_int8_row row(m);
#pragma omp simd
    for (extent c = 0; c < n; ++c)
        codes[c] = static_cast<std::uint8_t>(static_cast<std::uint32_t>(row.integer(x[c])));
}
/// The values of codes.
inline void decode_row(const std::uint8_t* codes, extent n, float m, float* y) noexcept {
    const llm_int8_row row(m);
#pragma omp simd
    for (extent c = 0; c < n; ++c)
        y[c] = row.value(std::bit_cast<std::int8_t>(codes[c]));
}

}  // namespace tare::detail
