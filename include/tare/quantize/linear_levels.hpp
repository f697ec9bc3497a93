#pragma once
// SPDX-License-Identifier: MIT
// Uniform grids: which integers are codes, and how the scale follows from the values that share it.
//
//   symmetric_levels  n = 2^(b-1)-1, scale = (1/m) n, q = round_half_even(scale x) in [-n, n],
//                     value = q / scale; m the largest magnitude           (MIT-HAN-Lab 2019)
//   full_levels       n = (2^b-1)/2, scale = n/m, q clamped to [-2^(b-1), 2^(b-1)-1]
//                                                                          (later Distiller)
//   stored_range      codes as symmetric_levels, value = q cut(1/scale): every value exact in
//                     float32
//   affine_range      low <= 0 <= high the ends, scale = (2^b-1)/(high-low), zero =
//                     round_half_even(-scale low), both formed in double; q =
//                     round_half_even(scale x) + zero in [0, 2^b-1], value = (q - zero) / scale
//
// Scale is a factor from value to code, in float32. The symmetric one takes two roundings, the
// reciprocal first, then times n; its last bit depends on it. A group whose range is 0, or so small
// (below n / FLT_MAX) that the scale overflows, gets scale 1 and becomes zeros.

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include <tare/formats/rounding.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// Parameters of one group.
struct linear_group {
    float scale = 1.0F;  ///< codes per unit of value
    float step = 1.0F;   ///< value of one code; only stored_range multiplies by it
    float zero = 0.0F;   ///< code of the value 0; 0 unless affine
    friend bool operator==(const linear_group&, const linear_group&) = default;
};

/// v with all but its upper 32 - bits bits zeroed, so that a product with an integer of `bits` bits
/// is exact in float32.
[[nodiscard]] constexpr float cut(float v, int bits) noexcept {
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(v) & ~((1U << bits) - 1U));
}

/// A scale that can be used: 1 in the place of one without a finite value (a range that is 0 or
/// tiny), and moved up where the outermost code would decode beyond FLT_MAX (only for a range
/// within a step of it).
[[nodiscard]] inline float usable_scale(float scale, float outermost) noexcept {
    if (!is_finite(scale)) return 1.0F;
    if (is_finite(outermost / scale)) return scale;
    scale = outermost / std::numeric_limits<float>::max();
    while (!is_finite(outermost / scale))
        scale = std::nextafter(scale, 1.0F);
    return scale;
}

struct symmetric_levels {
    static constexpr std::string_view name = "linear_symmetric";
    static constexpr bool has_zero = false;
    static constexpr bool multiplies = false;
    static constexpr float low(int bits) noexcept { return -high(bits); }
    static constexpr float high(int bits) noexcept {
        return static_cast<float>((1 << (bits - 1)) - 1);
    }
    static linear_group fit(std::span<const float> x, int bits) {
        return from_magnitude(largest_magnitude(x), bits);
    }
    /// Parameters for a range known beforehand, m >= 0.
    static linear_group from_magnitude(float m, int bits) {
        const float scale = usable_scale((1.0F / m) * high(bits), high(bits));
        return {scale, 1.0F / scale, 0.0F};
    }
};

struct full_levels {
    static constexpr std::string_view name = "linear_full_range";
    static constexpr bool has_zero = false;
    static constexpr bool multiplies = false;
    static constexpr float low(int bits) noexcept { return -static_cast<float>(1 << (bits - 1)); }
    static constexpr float high(int bits) noexcept {
        return static_cast<float>((1 << (bits - 1)) - 1);
    }
    static linear_group fit(std::span<const float> x, int bits) {
        const float n = static_cast<float>((1 << bits) - 1) / 2.0F;
        const float scale = usable_scale(n / largest_magnitude(x), -low(bits));
        return {scale, 1.0F / scale, 0.0F};
    }
};

struct stored_range {
    static constexpr std::string_view name = "linear_stored";
    static constexpr bool has_zero = false;
    static constexpr bool multiplies = true;
    static constexpr float low(int bits) noexcept { return symmetric_levels::low(bits); }
    static constexpr float high(int bits) noexcept { return symmetric_levels::high(bits); }
    static linear_group fit(std::span<const float> x, int bits) {
        linear_group group = symmetric_levels::fit(x, bits);
        group.step = cut(group.step, bits);
        return group;
    }
};

struct affine_range {
    static constexpr std::string_view name = "linear_affine";
    static constexpr bool has_zero = true;
    static constexpr bool multiplies = false;
    static constexpr float low(int) noexcept { return 0.0F; }
    static constexpr float high(int bits) noexcept { return static_cast<float>((1 << bits) - 1); }
    static linear_group fit(std::span<const float> x, int bits) {
        return from_extremes(range_of(x), bits);
    }
    /// Parameters for a range known beforehand; it is widened to contain 0, which has a code.
    static linear_group from_extremes(extremes range, int bits) {
        // Choices between bit patterns: floats would be branches, and loops over many groups not
        // vectorised.
        const auto choose = [](bool condition, float v, float other) {
            return std::bit_cast<float>(detail::select(condition, std::bit_cast<std::uint32_t>(v),
                                                       std::bit_cast<std::uint32_t>(other)));
        };
        const auto low_value = static_cast<double>(choose(range.low < 0.0F, range.low, 0.0F));
        const auto high_value = static_cast<double>(choose(range.high > 0.0F, range.high, 0.0F));
        const auto scale =
            static_cast<float>(static_cast<double>(high(bits)) / (high_value - low_value));
        const bool finite = is_finite(scale);
        const float usable = choose(finite, scale, 1.0F);
        const auto zero = std::nearbyint(-low_value * static_cast<double>(usable));
        return {usable, 1.0F / usable, choose(finite, static_cast<float>(zero), 0.0F)};
    }
};

/// The integer of one value, as the formula above says: NaN gets that of zero, infinities get the
/// outermost ones. The plain reference of the fast loops.
template <class Range>
[[nodiscard]] float integer_of(float x, const linear_group& group, int bits) noexcept {
    const float q = std::nearbyint(group.scale * x) + group.zero;
    if (!(q == q)) return group.zero;
    const float low = Range::low(bits);
    const float high = Range::high(bits);
    return q < low ? low : (q > high ? high : q);
}

}  // namespace tare
