#pragma once
// SPDX-License-Identifier: MIT
// float32 itself: the code is the bit pattern, NaN payloads included.
// Source: IEEE 754-2019, section 3.6.

#include <bit>
#include <cstdint>
#include <string_view>

#include <tare/formats/concept.hpp>

namespace tare {

/// The identity among formats. **Rounding/NaN** none; every bit pattern comes back.
struct fp32 {
    using code_type = std::uint32_t;
    static constexpr std::string_view name = "fp32";
    static constexpr int bits = 32;
    static constexpr bool exact_in_fp32 = true;
    static constexpr bool standalone_sign = false;
    /// A round trip is a copy.
    static constexpr bool keeps_all = true;

    [[nodiscard]] static constexpr code_type encode(float x) noexcept {
        return std::bit_cast<std::uint32_t>(x);
    }
    [[nodiscard]] static constexpr float decode(code_type code) noexcept {
        return std::bit_cast<float>(code);
    }
    static constexpr float max_value() noexcept { return 0x1.FFFFFEP127F; }
    static constexpr float min_normal() noexcept { return 0x1P-126F; }
    static constexpr float min_positive() noexcept { return 0x1P-149F; }
};
static_assert(numeric_format<fp32>);

}  // namespace tare
