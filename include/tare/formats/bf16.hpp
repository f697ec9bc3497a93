#pragma once
// SPDX-License-Identifier: MIT
// bfloat16: the upper half of a float32, 1 sign, 8 exponent and 7 mantissa bits; range and
// subnormals of float32, three significant decimal digits. Overflow goes to infinity.
// Source: Kalamkar et al. 2019, "A study of BFLOAT16 for deep learning training", section 2.

#include <tare/formats/minifloat.hpp>

namespace tare {

struct bf16 : minifloat<8, 7> {
    static constexpr std::string_view name = "bf16";
};
static_assert(numeric_format<bf16>);

}  // namespace tare
