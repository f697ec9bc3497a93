#pragma once
// SPDX-License-Identifier: MIT
// What block formats do with the elements of one block, whatever their format: multiply by a factor
// inward, encode; decode, multiply by a factor outward, keep to the range of float32. And what they
// ask of a block: its largest magnitude.
//
// These are loops over the element functions of a numeric_format, which compilers vectorise: any
// format, a user's own too, takes the same path. They are always_inline so that the length of a
// whole block is a constant in them.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>

#include <tare/core/shape.hpp>
#include <tare/core/simd_tables.hpp>
#include <tare/formats/concept.hpp>
#include <tare/formats/minifloat.hpp>
#include <tare/formats/rounding.hpp>
#include <tare/quantize/statistics.hpp>

// A format of one's own may be too branchy to vectorise; that is no reason for Clang to warn.
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

namespace tare::detail {

/// The largest |x| as a bit pattern, which orders as the numbers do; infinity_pattern and more
/// where an element is infinite or NaN.
[[nodiscard, gnu::always_inline]] inline std::int32_t largest_pattern(const float* x,
                                                                      extent n) noexcept {
    std::int32_t most = 0;
    for (extent i = 0; i < n; ++i) {
        const auto pattern =
            static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(x[i]) & 0x7FFFFFFFU);
        most = pattern > most ? pattern : most;
    }
    return most;
}

/// floor(log2 m) for m > 0, subnormal or not.
[[nodiscard]] constexpr int floor_log2(float m) noexcept {
    const std::uint32_t pattern = std::bit_cast<std::uint32_t>(m) & 0x7FFFFFFFU;
    return pattern >= 0x00800000U ? static_cast<int>(pattern >> 23) - 127
                                  : 31 - std::countl_zero(pattern) - 149;
}

/// v within [-most, most], NaN as 0. On bit patterns: where floats are compared with constants and
/// then converted, GCC makes a branch of it, which keeps the loop from being vectorised.
[[nodiscard]] constexpr float bounded(float v, float most) noexcept {
    const auto u = std::bit_cast<std::uint32_t>(v);
    const std::uint32_t size = u & 0x7FFFFFFFU;
    const std::uint32_t inside = std::min(size, std::bit_cast<std::uint32_t>(most));
    return std::bit_cast<float>(select(size > 0x7F800000U, 0U, inside | (u & 0x80000000U)));
}

/// The integer nearest to v, half away from zero, for |v| <= 2^22.
[[nodiscard]] constexpr std::int32_t nearest_away_integer(float v) noexcept {
    const auto u = std::bit_cast<std::uint32_t>(v);
    const float twice = 2.0F * std::bit_cast<float>(u & 0x7FFFFFFFU);  // exact
    const std::int32_t size = (static_cast<std::int32_t>(twice) + 1) >> 1;
    const std::int32_t sign = -static_cast<std::int32_t>(u >> 31);
    return (size ^ sign) - sign;
}

/// v within the range of float32; a NaN stays one.
[[nodiscard]] constexpr float within_float(float v) noexcept {
    const auto u = std::bit_cast<std::uint32_t>(v);
    const bool infinite = (u & 0x7FFFFFFFU) == 0x7F800000U;
    return std::bit_cast<float>(select(infinite, u - 1U, u));  // the number before infinity
}

/// values[i] = Element::decode(codes[i]) for the codes of many blocks at once: with bytes in it the
/// loop takes more elements a step than one block has. Few values are looked up in registers.
template <numeric_format Element>
void decode_elements(const typename Element::code_type* codes, extent n, float* values) {
    extent whole = 0;
    if constexpr (simd::looks_up_in_registers && Element::bits <= 5) {
        static const auto all = [] {  // not all formats are constexpr
            std::array<float, 32> out{};
            for (std::uint32_t code = 0; code < 1U << Element::bits; ++code)
                out[code] = Element::decode(static_cast<std::uint8_t>(code));
            return out;
        }();
        whole = n - n % static_cast<extent>(simd::lanes);
        simd::look_up(simd::table32(all.data()), codes, static_cast<std::size_t>(whole), values);
    }
#pragma omp simd
    for (extent i = whole; i < n; ++i)
        values[i] = Element::decode(codes[i]);
}

/// The loops. With NanIsZero a NaN is taken for 0, else it is what `Element` makes of it.
template <numeric_format Element, bool NanIsZero = false>
struct block_elements {
    template <class Code>
    [[gnu::always_inline]] static void encode(const float* x, extent n, float inward, Code* codes) {
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            codes[i] = static_cast<Code>(Element::encode(scaled(x[i], inward)));
    }
    /// Values of codes, times the block's factor.
    [[gnu::always_inline]] static void scale(const float* values, extent n, float outward,
                                             float* y) {
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            y[i] = within_float(values[i] * outward);
    }
    /// Both without the code in between: the same bits.
    [[gnu::always_inline]] static void round(const float* x, float* y, extent n, float inward,
                                             float outward) {
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            y[i] = within_float(round_to<Element>(scaled(x[i], inward)) * outward);
    }

  private:
    [[nodiscard]] static constexpr float scaled(float x, float inward) noexcept {
        const float v = x * inward;
        if constexpr (NanIsZero) return v == v ? v : 0.0F;
        return v;
    }
};

}  // namespace tare::detail

#ifdef __clang__
#pragma clang diagnostic pop
#endif
