#pragma once
// SPDX-License-Identifier: MIT
// The 8-bit floats: the two of OCP, the three FNUZ kinds (no infinity, no negative zero, NaN only
// 0x80), IEEE-style E4M3 and E3M4.
//
//     type             max     min normal  min positive   special codes
//     fp8_e4m3         448     2^-6        2^-9           NaN S.1111.111
//     fp8_e5m2         57344   2^-14       2^-16          infinity S.11111.00, NaN above
//     fp8_e4m3fnuz     240     2^-7        2^-10          NaN 0x80
//     fp8_e5m2fnuz     57344   2^-15       2^-17          NaN 0x80
//     fp8_e4m3b11fnuz  30      2^-10       2^-13          NaN 0x80
//     fp8_e4m3_ieee    240     2^-6        2^-9           infinity and NaN in exponent 15
//     fp8_e3m4         15.5    2^-2        2^-6           infinity and NaN in exponent 7
//
// OCP gives two conversion modes. The names above saturate (an infinity too); the names ending in
// `_overflow` are the non-saturating mode: to infinity (E5M2) or NaN (E4M3). The two IEEE-style
// formats overflow to infinity. Overflow is decided after rounding: for E4M3 464 ties to 448.
// Source: OCP 8-bit Floating Point Specification (2023), sections 5.1 to 5.3; Noune et al. 2022.

#include <tare/formats/minifloat.hpp>

namespace tare {

struct fp8_e4m3 : minifloat<4, 3, 7, specials::finite_nan> {
    static constexpr std::string_view name = "fp8_e4m3";
};
struct fp8_e4m3_overflow : minifloat<4, 3, 7, specials::finite_nan, nearest_even, to_nan> {
    static constexpr std::string_view name = "fp8_e4m3_overflow";
};
struct fp8_e5m2 : minifloat<5, 2, 15, specials::ieee, nearest_even, saturate> {
    static constexpr std::string_view name = "fp8_e5m2";
};
struct fp8_e5m2_overflow : minifloat<5, 2, 15, specials::ieee, nearest_even, to_infinity> {
    static constexpr std::string_view name = "fp8_e5m2_overflow";
};
struct fp8_e4m3fnuz : minifloat<4, 3, 8, specials::fnuz> {
    static constexpr std::string_view name = "fp8_e4m3fnuz";
};
struct fp8_e5m2fnuz : minifloat<5, 2, 16, specials::fnuz> {
    static constexpr std::string_view name = "fp8_e5m2fnuz";
};
struct fp8_e4m3b11fnuz : minifloat<4, 3, 11, specials::fnuz> {
    static constexpr std::string_view name = "fp8_e4m3b11fnuz";
};
struct fp8_e4m3_ieee : minifloat<4, 3> {
    static constexpr std::string_view name = "fp8_e4m3_ieee";
};
struct fp8_e3m4 : minifloat<3, 4> {
    static constexpr std::string_view name = "fp8_e3m4";
};

static_assert(numeric_format<fp8_e4m3> && numeric_format<fp8_e5m2>);
static_assert(fp8_e4m3::max_value() == 448.0F && fp8_e5m2::max_value() == 57344.0F);
static_assert(fp8_e4m3fnuz::max_value() == 240.0F && fp8_e4m3b11fnuz::max_value() == 30.0F);
static_assert(fp8_e4m3_ieee::max_value() == 240.0F && fp8_e3m4::max_value() == 15.5F);

}  // namespace tare
