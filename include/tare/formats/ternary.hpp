#pragma once
// SPDX-License-Identifier: MIT
// The values -1, 0 and +1, in two bits each (two's complement), or five in one byte: 3^5 = 243
// codes of 256, 1.6 bits a value against the log2(3) = 1.585 that three equally frequent values
// need. Source: Li, Zhang and Liu 2016, "Ternary weight networks", section 2; Ma et al. 2024, "The
// era of 1-bit LLMs", section 2.

#include <array>
#include <cstdint>
#include <string_view>

#include <tare/core/error.hpp>
#include <tare/formats/concept.hpp>
#include <tare/formats/int_n.hpp>

namespace tare {

/// The nearest of -1, 0, +1. **Rounding/NaN** ties (+-0.5) to zero; saturates; NaN is 0.
struct ternary : int_n<2> {
    static constexpr std::string_view name = "ternary";
    static constexpr bool standalone_sign = true;
    static constexpr int values_per_byte = 5;  ///< in the dense packing below

    /// Five codes in one byte: sum of (value_i + 1) 3^i. Codes must be 0, 1 or 3.
    [[nodiscard]] static constexpr std::uint8_t
    pack(const std::array<code_type, values_per_byte>& codes) noexcept {
        std::int32_t byte = 0;
        for (int i = values_per_byte - 1; i >= 0; --i)
            byte = 3 * byte + to_integer(codes[static_cast<std::size_t>(i)]) + 1;
        return static_cast<std::uint8_t>(byte);
    }
    /// The five codes of a byte. **Throws** on a byte above 242, which pack never gives.
    [[nodiscard]] static constexpr std::array<code_type, values_per_byte>
    unpack(std::uint8_t byte) {
        require(byte < 243, "ternary::unpack: byte ", int{byte},
                " holds no five ternary values (0 to 242 do); the stream is corrupt");
        std::array<code_type, values_per_byte> codes{};
        int rest = byte;
        for (code_type& code : codes) {
            code = static_cast<code_type>((rest % 3 - 1) & 3);
            rest /= 3;
        }
        return codes;
    }
};
static_assert(numeric_format<ternary>);

}  // namespace tare
