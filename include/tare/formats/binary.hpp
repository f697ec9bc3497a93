#pragma once
// SPDX-License-Identifier: MIT
// One bit a value: code 1 is +1, code 0 is -1. A product with such a value is a change of sign.
// Source: Rastegari, Ordonez, Redmon and Farhadi 2016, "XNOR-Net", section 3.1.

#include <bit>
#include <cstdint>
#include <string_view>

#include <tare/formats/concept.hpp>

namespace tare {

/// The sign of a number. **Rounding/NaN** both zeros and NaN are +1.
struct binary {
    using code_type = std::uint8_t;
    static constexpr std::string_view name = "binary";
    static constexpr int bits = 1;
    static constexpr bool exact_in_fp32 = true;
    static constexpr bool standalone_sign = true;
    static constexpr int values_per_byte = 8;

    [[nodiscard]] static constexpr code_type encode(float x) noexcept {
        const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
        const bool negative = u > 0x8000'0000U && u <= 0xFF80'0000U;
        return static_cast<code_type>(!negative);
    }
    [[nodiscard]] static constexpr float decode(code_type code) noexcept {
        return std::bit_cast<float>(0xBF80'0000U ^ (std::uint32_t{code} << 31));
    }
    static constexpr float max_value() noexcept { return 1.0F; }
    static constexpr float min_positive() noexcept { return 1.0F; }
};
static_assert(numeric_format<binary>);

}  // namespace tare
