#pragma once
// SPDX-License-Identifier: MIT
// The formats of the library as a type list, for tools and tests that walk through all of them. A
// format of one's own need not stand here: tools take further types as template parameters.

#include <tuple>
#include <type_traits>

#include <tare/formats/bf16.hpp>
#include <tare/formats/binary.hpp>
#include <tare/formats/e8m0.hpp>
#include <tare/formats/fp16.hpp>
#include <tare/formats/fp32.hpp>
#include <tare/formats/fp6.hpp>
#include <tare/formats/fp8.hpp>
#include <tare/formats/int_n.hpp>
#include <tare/formats/nf4.hpp>
#include <tare/formats/posit8.hpp>
#include <tare/formats/ternary.hpp>

namespace tare::formats {

using builtin =
    std::tuple<fp32, fp16, bf16, fp8_e4m3, fp8_e5m2, fp8_e4m3fnuz, fp8_e5m2fnuz, fp8_e4m3b11fnuz,
               fp8_e4m3_ieee, fp8_e3m4, fp6_e3m2, fp6_e2m3, fp4_e2m1, e8m0, posit8, nf4, int_n<16>,
               int_n<12>, int_n<8>, int_n<8, full_codes>, int_n<6>, int_n<5>, int_n<4>,
               int_n<4, full_codes>, int_n<3>, int_n<2>, ternary, binary>;

/// Calls `visitor.template operator()<F>()` for every format of a type list, in order.
template <class List, class Visitor>
constexpr void for_each_format(Visitor&& visitor) {
    [&]<class... F>(std::type_identity<std::tuple<F...>>) {
        (visitor.template operator()<F>(), ...);
    }(std::type_identity<List>{});
}

}  // namespace tare::formats
