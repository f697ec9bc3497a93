#pragma once
// SPDX-License-Identifier: MIT
// E8M0, the scale of the OCP microscaling formats: eight exponent bits and nothing else. Code c is
// 2^(c - 127) for c from 0 to 254, code 255 is NaN; no sign, no zero, no infinity.
// Source: OCP Microscaling Formats (MX) Specification 1.0 (2023), section 5.4.1.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string_view>

#include <tare/formats/concept.hpp>
#include <tare/formats/rounding.hpp>

namespace tare {

/// A power of two. **Rounding/NaN** to the nearest power, ties to the even code; zero and
/// everything below 2^-127 become 2^-127, everything above 2^127 (infinity too) becomes 2^127; NaN
/// and negative numbers are NaN, for a negative scale is a mistake that must not pass silently.
struct e8m0 {
    using code_type = std::uint8_t;
    using rounding = nearest_even;
    using overflow = saturate;
    static constexpr std::string_view name = "e8m0";
    static constexpr int bits = 8;
    static constexpr bool exact_in_fp32 = true;
    static constexpr bool standalone_sign = false;
    static constexpr std::uint32_t nan_code = 255;

    [[nodiscard]] static constexpr code_type encode(float x) noexcept {
        const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
        const std::uint32_t field = u >> 23;
        const std::uint32_t rounded = (u + 0x003F'FFFFU + (field & 1U)) >> 23;
        // 2^-127 is subnormal in float32: 1.5 times it is the tie, and goes to code 0.
        const std::uint32_t small = static_cast<std::uint32_t>(u > 0x0060'0000U);
        const std::uint32_t code = std::min(detail::select(field == 0, small, rounded), 254U);
        const bool is_nan = (u & 0x7FFF'FFFFU) > 0x7F80'0000U || u > 0x8000'0000U;
        return static_cast<code_type>(
            detail::select(is_nan, nan_code, detail::select(u == 0x8000'0000U, 0U, code)));
    }
    [[nodiscard]] static constexpr float decode(code_type code) noexcept {
        const std::uint32_t c = code;
        const std::uint32_t u = detail::select(c == 0, 0x0040'0000U, c << 23);
        return std::bit_cast<float>(detail::select(c == nan_code, 0x7FC0'0000U, u));
    }
    /// What survives encode and decode, without the code in between: the same bits, faster.
    [[nodiscard]] static constexpr float round(float x) noexcept {
        const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
        const std::uint32_t power = (u + 0x003F'FFFFU + (u >> 23 & 1U)) & 0x7F80'0000U;
        const bool small = u <= 0x0060'0000U || u == 0x8000'0000U;
        const std::uint32_t value =
            detail::select(small, 0x0040'0000U, std::min(power, 0x7F00'0000U));
        const bool is_nan = u > 0x7F80'0000U && u != 0x8000'0000U;
        return std::bit_cast<float>(detail::select(is_nan, 0x7FC0'0000U, value));
    }
    static constexpr float max_value() noexcept { return 0x1P127F; }
    static constexpr float min_positive() noexcept { return 0x1P-127F; }
};
static_assert(numeric_format<e8m0>);

}  // namespace tare
