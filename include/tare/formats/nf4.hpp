#pragma once
// SPDX-License-Identifier: MIT
// NormalFloat4: sixteen levels at quantiles of a normal distribution scaled to [-1, 1], with an
// exact zero. The code is the index of the level. Source: Dettmers, Pagnoni, Holtzman and
// Zettlemoyer 2023, "QLoRA", section 3 and appendix E.

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <tare/formats/concept.hpp>
#include <tare/formats/rounding.hpp>

namespace tare {

namespace detail {

/// How many of the fifteen ascending borders lie below x, by halving: four comparisons, each with a
/// border that those before select. No branch and no look-up, so that loops of it vectorise.
[[nodiscard]] constexpr std::uint8_t sixteen_steps(float x,
                                                   const std::array<float, 15>& b) noexcept {
    const bool eight = x > b[7];
    const bool four = x > (eight ? b[11] : b[3]);
    const float low2 = four ? b[5] : b[1];
    const float high2 = four ? b[13] : b[9];
    const bool two = x > (eight ? high2 : low2);
    const float low0 = two ? b[2] : b[0];
    const float low4 = two ? b[6] : b[4];
    const float high8 = two ? b[10] : b[8];
    const float high12 = two ? b[14] : b[12];
    const float low1 = four ? low4 : low0;
    const float high1 = four ? high12 : high8;
    const bool one = x > (eight ? high1 : low1);
    return static_cast<std::uint8_t>(
        static_cast<std::uint32_t>(eight) << 3 | static_cast<std::uint32_t>(four) << 2 |
        static_cast<std::uint32_t>(two) << 1 | static_cast<std::uint32_t>(one));
}

/// Element `code` of sixteen, by halving.
[[nodiscard]] constexpr float one_of_sixteen(std::uint32_t code,
                                             const std::array<float, 16>& v) noexcept {
    const bool one = (code & 1U) != 0;
    const bool two = (code & 2U) != 0;
    const bool four = (code & 4U) != 0;
    const float a = two ? (one ? v[3] : v[2]) : (one ? v[1] : v[0]);
    const float b = two ? (one ? v[7] : v[6]) : (one ? v[5] : v[4]);
    const float c = two ? (one ? v[11] : v[10]) : (one ? v[9] : v[8]);
    const float d = two ? (one ? v[15] : v[14]) : (one ? v[13] : v[12]);
    return (code & 8U) != 0 ? (four ? d : c) : (four ? b : a);
}

}  // namespace detail

/// The nearest of the sixteen levels. **Rounding/NaN** a tie goes to the lower level; numbers
/// beyond
/// [-1, 1] saturate; NaN becomes the level 0.
struct nf4 {
    using code_type = std::uint8_t;
    using overflow = saturate;
    static constexpr std::string_view name = "nf4";
    static constexpr int bits = 4;
    static constexpr bool exact_in_fp32 = true;
    static constexpr bool standalone_sign = false;
    static constexpr int zero_code = 7;

    static constexpr std::array<float, 16> levels{-1.0F,
                                                  -0.6961928009986877F,
                                                  -0.5250730514526367F,
                                                  -0.39491748809814453F,
                                                  -0.28444138169288635F,
                                                  -0.18477343022823334F,
                                                  -0.09105003625154495F,
                                                  0.0F,
                                                  0.07958029955625534F,
                                                  0.16093020141124725F,
                                                  0.24611230194568634F,
                                                  0.33791524171829224F,
                                                  0.44070982933044434F,
                                                  0.5626170039176941F,
                                                  0.7229568362236023F,
                                                  1.0F};

    [[nodiscard]] static constexpr code_type encode(float x) noexcept {
        return detail::sixteen_steps(x == x ? x : 0.0F, borders);
    }
    [[nodiscard]] static constexpr float decode(code_type code) noexcept {
        return detail::one_of_sixteen(code, levels);
    }
    /// What survives encode and decode: fifteen selections, no table look-up.
    [[nodiscard]] static constexpr float round(float x) noexcept {
        float value = levels[0];
        for (std::size_t i = 0; i < borders.size(); ++i)
            value = x > borders[i] ? levels[i + 1] : value;
        return x == x ? value : 0.0F;
    }
    static constexpr float max_value() noexcept { return 1.0F; }
    static constexpr float min_positive() noexcept { return levels[zero_code + 1]; }

  private:
    /// The largest float32 not above the exact middle of two neighbouring levels.
    static constexpr std::array<float, 15> borders = [] {
        std::array<float, 15> out{};
        for (std::size_t i = 0; i < out.size(); ++i) {
            const double middle = (double{levels[i]} + double{levels[i + 1]}) / 2;
            const auto near = static_cast<float>(middle);
            const std::uint32_t u = std::bit_cast<std::uint32_t>(near);
            const float below = std::bit_cast<float>(near > 0 ? u - 1 : u + 1);
            out[i] = double{near} > middle ? below : near;
        }
        return out;
    }();
};
static_assert(numeric_format<nf4>);

}  // namespace tare
