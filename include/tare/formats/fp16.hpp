#pragma once
// SPDX-License-Identifier: MIT
// IEEE 754 binary16: 1 sign, 5 exponent and 10 mantissa bits, largest value 65504, smallest normal
// 2^-14, smallest positive 2^-24. Overflow goes to infinity, NaN stays NaN.
// Source: IEEE 754-2019, section 3.6.

#include <tare/formats/minifloat.hpp>

namespace tare {

struct fp16 : minifloat<5, 10> {
    static constexpr std::string_view name = "fp16";
};
static_assert(numeric_format<fp16>);

}  // namespace tare
