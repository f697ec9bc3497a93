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
        std::uint32_t code = 0;
        for (const float border : borders)
            code += static_cast<std::uint32_t>(x > border);
        return static_cast<code_type>(detail::select(x == x, code, zero_code));
    }
    [[nodiscard]] static constexpr float decode(code_type code) noexcept {
        return levels[code & 15U];
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
