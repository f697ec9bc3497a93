// The conformance suite accepts every format of the library, under every policy, and finds what is
// wrong with formats that are wrong.

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/error.hpp>
#include <tare/formats/builtin.hpp>
#include <tare/testing/check_format.hpp>

#include "format_conformance.hpp"

using tare::testing::conforms;

namespace {

template <tare::numeric_format F>
bool finds(std::string_view sentence) {
    for (const std::string& failure : tare::testing::format_failures<F>())
        if (failure.find(sentence) != std::string::npos) return true;
    return false;
}

using e4m3 = tare::fp8_e4m3;

/// Formats with one mistake each.
struct truncates : e4m3 {
    static code_type encode(float x) { return with_rounding<tare::toward_zero>::encode(x); }
    static float round(float x) { return decode(encode(x)); }
};
struct ties_away : e4m3 {
    static code_type encode(float x) { return with_rounding<tare::nearest_away>::encode(x); }
    static float round(float x) { return decode(encode(x)); }
};
struct loses_nan : e4m3 {
    static code_type encode(float x) { return std::isnan(x) ? code_type{0} : e4m3::encode(x); }
    static float round(float x) { return decode(encode(x)); }
};
struct loses_sign : e4m3 {
    static code_type encode(float x) { return e4m3::encode(x == -3.0F ? 3.0F : x); }
    static float round(float x) { return decode(encode(x)); }
};
struct repeats_a_value : e4m3 {
    static float decode(code_type c) { return e4m3::decode(c == 5 ? code_type{4} : c); }
    static float round(float x) { return decode(encode(x)); }
};
struct rounds_otherwise : e4m3 {
    static float round(float x) { return x; }
};
struct overflows_to_nan : e4m3 {
    static code_type encode(float x) { return with_overflow<tare::to_nan>::encode(x); }
    static float round(float x) { return decode(encode(x)); }
};
struct declares_a_bit_too_many {
    using code_type = std::uint8_t;
    static constexpr std::string_view name = "five_bits_of_four";
    static constexpr int bits = 5;
    static constexpr bool exact_in_fp32 = true;
    static constexpr bool standalone_sign = false;
    static code_type encode(float x) { return tare::int_n<4>::encode(x); }
    static float decode(code_type c) { return tare::int_n<4>::decode(c); }
};
struct draws_once_too_low : e4m3::with_rounding<tare::stochastic> {
    using base = e4m3::with_rounding<tare::stochastic>;
    static code_type encode(float x) { return base::encode(x); }
    static code_type encode(float x, std::uint32_t draw) {
        return base::encode(x, draw & ~0U >> 13);
    }
    static float round(float x) { return decode(encode(x)); }
    static float round(float x, std::uint32_t draw) { return decode(encode(x, draw)); }
};

}  // namespace

TEST_CASE("every format of the library conforms") {
    tare::formats::for_each_format<tare::formats::builtin>([]<class F>() { conforms<F>(); });
    conforms<tare::fp8_e4m3_overflow>();
    conforms<tare::fp8_e5m2_overflow>();
}

TEST_CASE("the suite names what is wrong with a format") {
    CHECK(finds<truncates>("below the border"));
    CHECK(finds<ties_away>("even code"));
    CHECK(finds<loses_nan>("is a NaN, but encodes to code 0"));
    CHECK(finds<loses_sign>("encodes to code"));
    CHECK(finds<repeats_a_value>("encodes to code"));
    CHECK(finds<rounds_otherwise>("decode(encode()) gives"));
    CHECK(finds<overflows_to_nan>("expected the bound"));
    CHECK(finds<declares_a_bit_too_many>("encodes to code"));
    CHECK(finds<draws_once_too_low>("of the time"));
    CHECK_THROWS_WITH_AS(tare::testing::check_format<declares_a_bit_too_many>(),
                         doctest::Contains("check_format<five_bits_of_four>:\n  code 8 is -8"),
                         tare::error);
    CHECK_NOTHROW(tare::testing::check_format<tare::fp8_e5m2>());
}
