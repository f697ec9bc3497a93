#pragma once
// SPDX-License-Identifier: MIT
// The charges that every softmax has in common, with roles that rule sets and audits know.

#include <string_view>

#include <tare/ops/price.hpp>

namespace tare {

/// Finding the maximum and subtracting it: executed by every stable softmax; the MicroNet rules do
/// not say whether it is required, so a rule set decides.
inline constexpr std::string_view softmax_maximum = "softmax maximum";
inline constexpr std::string_view softmax_shift = "softmax shift";
inline constexpr std::string_view softmax_exponential = "softmax exponential";
inline constexpr std::string_view softmax_sum = "softmax sum";
inline constexpr std::string_view softmax_division = "softmax division";

/// Exponentials of a row of n and their sum, `rows` times: n - 1 comparisons, n subtractions,
/// n exponentials, n - 1 additions.
constexpr price& charge_exponentials(price& p, extent rows, extent n) {
    return p.others(softmax_maximum, rows * (n - 1))
        .additions(softmax_shift, rows * n)
        .others(softmax_exponential, rows * n)
        .additions(softmax_sum, rows * (n - 1));
}

/// A whole softmax: the above and n divisions.
constexpr price& charge_softmax(price& p, extent rows, extent n) {
    return charge_exponentials(p, rows, n).others(softmax_division, rows * n);
}

}  // namespace tare
