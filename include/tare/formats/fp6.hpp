#pragma once
// SPDX-License-Identifier: MIT
// The 6-bit and 4-bit element formats of OCP Microscaling. No infinity, no NaN; every code is a
// finite number, overflow saturates and a NaN becomes the largest value.
//
//     type      max   min normal  min positive
//     fp6_e3m2  28    2^-2        2^-4
//     fp6_e2m3  7.5   1           2^-3
//     fp4_e2m1  6     1           2^-1          magnitudes 0 0.5 1 1.5 2 3 4 6
//
// Source: OCP Microscaling Formats (MX) Specification 1.0 (2023), sections 5.3.2 and 5.3.3.

#include <tare/formats/minifloat.hpp>

namespace tare {

struct fp6_e3m2 : minifloat<3, 2, 3, specials::none> {
    static constexpr std::string_view name = "fp6_e3m2";
};
struct fp6_e2m3 : minifloat<2, 3, 1, specials::none> {
    static constexpr std::string_view name = "fp6_e2m3";
};
struct fp4_e2m1 : minifloat<2, 1, 1, specials::none> {
    static constexpr std::string_view name = "fp4_e2m1";
};
static_assert(numeric_format<fp6_e3m2> && numeric_format<fp6_e2m3> && numeric_format<fp4_e2m1>);
static_assert(fp6_e3m2::max_value() == 28.0F && fp6_e2m3::max_value() == 7.5F &&
              fp4_e2m1::max_value() == 6.0F);

}  // namespace tare
