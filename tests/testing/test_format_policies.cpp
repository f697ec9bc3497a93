// The formats of the library under every policy, and small floats of unusual sizes, pass the
// conformance suite.

#include <string>

#include <doctest/doctest.h>

#include <tare/formats/bf16.hpp>
#include <tare/formats/fp16.hpp>
#include <tare/formats/fp6.hpp>
#include <tare/formats/fp8.hpp>
#include <tare/formats/historical.hpp>
#include <tare/formats/int_n.hpp>
#include <tare/testing/check_format.hpp>

#include "format_conformance.hpp"

using tare::testing::conforms;

TEST_CASE("formats conform under every rounding policy") {
    conforms<tare::fp16::with_rounding<tare::nearest_away>>();
    conforms<tare::fp16::with_rounding<tare::toward_zero>>();
    conforms<tare::fp16::with_rounding<tare::stochastic>>();
    conforms<tare::bf16::with_rounding<tare::nearest_away>>();
    conforms<tare::bf16::with_rounding<tare::toward_zero>>();
    conforms<tare::bf16::with_rounding<tare::stochastic>>();
    conforms<tare::fp8_e4m3::with_rounding<tare::nearest_away>>();
    conforms<tare::fp8_e5m2::with_rounding<tare::toward_zero>>();
    conforms<tare::fp8_e4m3::with_rounding<tare::stochastic>>();
    conforms<tare::fp8_e4m3fnuz::with_rounding<tare::stochastic>>();
    conforms<tare::fp8_e5m2fnuz::with_rounding<tare::nearest_away>>();
    conforms<tare::fp6_e2m3::with_rounding<tare::nearest_away>>();
    conforms<tare::fp4_e2m1::with_rounding<tare::toward_zero>>();
    conforms<tare::fp4_e2m1::with_rounding<tare::stochastic>>();
    conforms<tare::int_n<8>::with_rounding<tare::nearest_away>>();
    conforms<tare::int_n<8>::with_rounding<tare::toward_zero>>();
    conforms<tare::int_n<8>::with_rounding<tare::stochastic>>();
    conforms<tare::int_n<16, tare::full_codes>::with_rounding<tare::stochastic>>();
    conforms<tare::int_n<4, tare::full_codes>::with_rounding<tare::nearest_away>>();
}

TEST_CASE("formats conform under every overflow and underflow policy") {
    conforms<tare::fp16::with_overflow<tare::saturate>>();
    conforms<tare::fp16::with_overflow<tare::to_nan>>();
    conforms<tare::fp8_e4m3fnuz::with_overflow<tare::to_nan>>();
    conforms<tare::fp8_e5m2::with_overflow<tare::to_nan>>();
    conforms<tare::fp8_e4m3::with_underflow<tare::flush_to_zero>>();
    conforms<tare::fp16::with_underflow<tare::flush_to_zero>>();
    conforms<tare::fp8_e5m2fnuz::with_underflow<tare::flush_to_nearest>>();
}

TEST_CASE("formats of unusual sizes conform") {
    conforms<tare::minifloat<2, 1>>();
    conforms<tare::minifloat<1, 2, 0, tare::specials::none>>();
    conforms<tare::minifloat<8, 3>>();
    conforms<tare::minifloat<3, 12, 3, tare::specials::finite_nan>>();
    conforms<tare::minifloat<6, 9, 20, tare::specials::fnuz>>();
    conforms<tare::minifloat<7, 4, 0, tare::specials::none>>();
}

TEST_CASE("the historical conversions conform, their NaN and infinity apart") {
    using tare::historical::q020;
    using tare::historical::q030;
    conforms<q020<5, 2>>();
    conforms<q020<5, 10>>();
    conforms<q020<8, 7>>();
    conforms<q030<8, 7>>();
    conforms<q020<5, 2, tare::stochastic>>();
}

TEST_CASE("the suite sees that release 0.3.0 rounds subnormals twice") {
    const auto failures = tare::testing::format_failures<tare::historical::q030<5, 2>>();
    CHECK(failures.size() == 8);  // the borders below the smallest normal number, both signs
    for (const std::string& failure : failures)
        CHECK(failure.find("the border") != std::string::npos);
}
