#pragma once
// SPDX-License-Identifier: MIT
// The charges of quantizing and dequantizing, with a role that rule sets and audits know.

#include <string_view>

#include <tare/ops/price.hpp>

namespace tare {

/// Conversions between widths that float32 represents exactly are free under the MicroNet rules.
inline constexpr std::string_view conversion_role = "conversion";

/// Clamp (two comparisons), division, rounding, multiplication, `elements` times.
constexpr price& charge_conversion(price& p, extent elements) {
    return p.others(conversion_role, 4 * elements).multiplications(conversion_role, elements);
}

}  // namespace tare
