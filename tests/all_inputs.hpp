#pragma once
// SPDX-License-Identifier: MIT
// The result codes of all 65,536 inputs of a 16-bit format that smaq/fp8_tables.npz holds: one set
// has them for bfloat16, another for half precision.

#include <bit>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <tare/formats/fp16.hpp>

#include "golden.hpp"

namespace tare::testing {

class all_inputs {
  public:
    all_inputs() {
        for (const auto& [name, array] : golden("smaq/fp8_tables.npz")) {
            const std::size_t at = name.find("_to_");
            if (at == std::string::npos) continue;
            bfloat_ = name.starts_with("bf");
            packed_.emplace(name.substr(at + 4), array.as<std::int64_t>());
        }
    }
    /// Input i: the value whose 16 bits are i; a NaN keeps its sign and payload.
    [[nodiscard]] float value(std::uint32_t i) const {
        if (bfloat_) return std::bit_cast<float>(i << 16);
        const float decoded = fp16::decode(static_cast<std::uint16_t>(i));
        if (decoded == decoded) return decoded;
        return std::bit_cast<float>((i & 0x8000U) << 16 | 0x7F80'0000U | (i & 0x3FFU) << 13);
    }
    /// Its code in the list "e4m3fn_rne" and the like; eight codes lie in an integer.
    [[nodiscard]] std::uint8_t code(const std::string& list, std::uint32_t i) const {
        const auto word = static_cast<std::uint64_t>(packed_.at(list).at(i / 8));
        return static_cast<std::uint8_t>(word >> (8 * (i % 8)));
    }

  private:
    bool bfloat_ = true;
    std::map<std::string, std::vector<std::int64_t>> packed_;
};

}  // namespace tare::testing
