// Small floats against arrays that independent implementations computed.

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/formats/bf16.hpp>
#include <tare/formats/fp16.hpp>
#include <tare/formats/fp6.hpp>
#include <tare/formats/fp8.hpp>
#include <tare/formats/int_n.hpp>

#include "all_inputs.hpp"
#include "golden.hpp"

namespace {

using tare::testing::golden;
using tare::testing::values;

std::uint32_t bits_of(float x) {
    return std::isnan(x) ? 0x7FC0'0000U : std::bit_cast<std::uint32_t>(x);
}

/// Number of codes whose value differs from the table, bit for bit, all NaN alike.
template <class F>
int wrong_decodes(const std::vector<float>& table) {
    REQUIRE(table.size() == std::size_t{1} << F::bits);
    int wrong = 0;
    for (std::size_t c = 0; c < table.size(); ++c)
        wrong += bits_of(F::decode(static_cast<typename F::code_type>(c))) != bits_of(table[c]);
    return wrong;
}

/// Number of the 65,536 inputs whose code differs from the packed table.
template <class F>
int wrong_encodes(const tare::testing::all_inputs& inputs, const char* codes) {
    int wrong = 0;
    for (std::uint32_t i = 0; i < 65536; ++i) {
        const std::uint8_t expected = inputs.code(codes, i);
        const std::uint8_t code = F::encode(inputs.value(i));
        const bool both_nan = std::isnan(F::decode(code)) && std::isnan(F::decode(expected));
        wrong += !both_nan && code != expected;
    }
    return wrong;
}

template <class F>
int wrong_roundings(const std::vector<float>& x, const std::vector<float>& expected,
                    const std::vector<std::int64_t>& codes) {
    int wrong = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const auto code = F::encode(x[i]);
        wrong += bits_of(F::decode(code)) != bits_of(expected[i]);
        if (!std::isnan(x[i])) wrong += static_cast<std::int64_t>(code) != codes[i];
    }
    return wrong;
}

/// Rounds to nearest even like tare::nearest_even, but through the shifts that every policy takes:
/// the plain reference of the version that lets the adder round.
struct nearest_even_by_shifts : tare::nearest_even {};

/// Inputs on which the two versions differ, of all upper halves with four lower halves each.
template <class F>
int differences_to_shifts() {
    using plain = typename F::template with_rounding<nearest_even_by_shifts>;
    int wrong = 0;
    for (std::uint32_t high = 0; high < 65536; ++high)
        for (const std::uint32_t low : {0U, 1U, 0x8000U, 0xFFFFU}) {
            const float x = std::bit_cast<float>(high << 16 | low);
            wrong += F::encode(x) != plain::encode(x);
            wrong += bits_of(F::round(x)) != bits_of(F::decode(plain::encode(x)));
        }
    return wrong;
}

/// Inputs around the smallest normal float32 that a format which begins there flushes otherwise
/// than the same format 64 octaves up, where float32 has no subnormals.
template <class Rounding, class Underflow>
int differences_of_lowest_binade() {
    using low =
        tare::minifloat<8, 7, 127, tare::specials::ieee, Rounding, tare::to_infinity, Underflow>;
    using high =
        tare::minifloat<7, 7, 63, tare::specials::ieee, Rounding, tare::to_infinity, Underflow>;
    int wrong = 0;
    for (std::uint32_t u = 0; u < 0x0110'0000U; u += 61) {
        const float x = std::bit_cast<float>(u);
        const float expected = high::round(x * 0x1P64F) * 0x1P-64F;
        wrong += low::round(x) != expected || low::decode(low::encode(x)) != expected;
    }
    return wrong;
}

}  // namespace

TEST_CASE("subnormals are flushed as if they were normal where float32 has them too") {
    CHECK(differences_of_lowest_binade<tare::nearest_even, tare::flush_to_zero>() == 0);
    CHECK(differences_of_lowest_binade<tare::nearest_away, tare::flush_to_zero>() == 0);
    CHECK(differences_of_lowest_binade<tare::toward_zero, tare::flush_to_zero>() == 0);
    CHECK(differences_of_lowest_binade<tare::nearest_even, tare::flush_to_nearest>() == 0);
}

TEST_CASE("rounding by the adder gives the bits of rounding by shifts") {
    CHECK(differences_to_shifts<tare::fp16>() == 0);
    CHECK(differences_to_shifts<tare::bf16>() == 0);
    CHECK(differences_to_shifts<tare::fp8_e4m3>() == 0);
    CHECK(differences_to_shifts<tare::fp8_e4m3_overflow>() == 0);
    CHECK(differences_to_shifts<tare::fp8_e5m2>() == 0);
    CHECK(differences_to_shifts<tare::fp8_e5m2fnuz>() == 0);
    CHECK(differences_to_shifts<tare::fp8_e3m4>() == 0);
    CHECK(differences_to_shifts<tare::fp6_e2m3>() == 0);
    CHECK(differences_to_shifts<tare::fp4_e2m1>() == 0);
    CHECK(differences_to_shifts<tare::minifloat<6, 17>>() == 0);
    CHECK(differences_to_shifts<tare::minifloat<4, 19>>() == 0);
    CHECK(differences_to_shifts<tare::minifloat<7, 16, 20, tare::specials::none>>() == 0);
    CHECK(differences_to_shifts<tare::minifloat<7, 2, 7, tare::specials::none>>() == 0);
    CHECK(differences_to_shifts<tare::minifloat<8, 4>>() == 0);
    CHECK(differences_to_shifts<tare::int_n<8>>() == 0);
    CHECK(differences_to_shifts<tare::int_n<16, tare::full_codes>>() == 0);
    CHECK(differences_to_shifts<tare::int_n<2>>() == 0);
}

TEST_CASE("every code of the 8-bit floats decodes as the tables say") {
    const auto tables = golden("smaq/fp8_tables.npz");
    CHECK(wrong_decodes<tare::fp8_e4m3>(values<float>(tables, "decode_e4m3fn")) == 0);
    CHECK(wrong_decodes<tare::fp8_e5m2>(values<float>(tables, "decode_e5m2")) == 0);
    CHECK(wrong_decodes<tare::fp8_e4m3_ieee>(values<float>(tables, "decode_e4m3_ieee")) == 0);
    CHECK(wrong_decodes<tare::fp8_e4m3fnuz>(values<float>(tables, "decode_e4m3fnuz")) == 0);
    CHECK(wrong_decodes<tare::fp8_e5m2fnuz>(values<float>(tables, "decode_e5m2fnuz")) == 0);
}

TEST_CASE("every code of the 6-bit and 4-bit floats decodes as the tables say") {
    const auto tables = golden("smaq/beyond.npz");
    CHECK(wrong_decodes<tare::fp6_e3m2>(values<float>(tables, "decode_e3m2")) == 0);
    CHECK(wrong_decodes<tare::fp6_e2m3>(values<float>(tables, "decode_e2m3")) == 0);
    CHECK(wrong_decodes<tare::fp4_e2m1>(values<float>(tables, "decode_e2m1")) == 0);
}

TEST_CASE("all 16-bit inputs convert to OCP codes in both overflow modes") {
    const tare::testing::all_inputs inputs;
    CHECK(wrong_encodes<tare::fp8_e4m3>(inputs, "e4m3fn_rne_sat") == 0);
    CHECK(wrong_encodes<tare::fp8_e4m3_overflow>(inputs, "e4m3fn_rne") == 0);
    CHECK(wrong_encodes<tare::fp8_e5m2>(inputs, "e5m2_rne_sat") == 0);
    CHECK(wrong_encodes<tare::fp8_e5m2_overflow>(inputs, "e5m2_rne") == 0);
}

TEST_CASE("fp16 and bf16 round the stress tensor as PyTorch does") {
    const auto data = golden("smaq/formats.npz");
    const auto x = values<float>(data, "x");
    CHECK(wrong_roundings<tare::fp16>(x, values<float>(data, "ieee_half_round"),
                                      values<std::int64_t>(data, "ieee_half_bits")) == 0);
    CHECK(wrong_roundings<tare::bf16>(x, values<float>(data, "torch_bfloat16_round"),
                                      values<std::int64_t>(data, "torch_bfloat16_bits")) == 0);
    CHECK(wrong_roundings<tare::fp16>(values<float>(data, "edge_x"),
                                      values<float>(data, "edge_half_round"),
                                      values<std::int64_t>(data, "edge_half_bits")) == 0);
}

TEST_CASE("a format under other policies has a name that says so") {
    CHECK(tare::minifloat<5, 2>::name == "fp8_e5m2");
    CHECK(tare::minifloat<4, 3, 11, tare::specials::fnuz>::name == "fp8_e4m3b11fnuz");
    CHECK(tare::minifloat<4, 3, 8, tare::specials::fnuz>::name == "fp8_e4m3fnuz");
    CHECK(tare::fp16::with_rounding<tare::stochastic>::name == "fp16_e5m10_stochastic");
    CHECK(tare::fp16::with_overflow<tare::saturate>::name == "fp16_e5m10_sat");
    CHECK(tare::int_n<12, tare::full_codes, tare::toward_zero>::name == "int12_full_trunc");
}

TEST_CASE("integers round, saturate and keep their two's complement codes") {
    using tare::int_n;
    CHECK(int_n<8>::encode(2.5F) == 2);
    CHECK(int_n<8>::encode(3.5F) == 4);
    CHECK(int_n<8>::encode(-2.5F) == 0xFE);
    CHECK(int_n<8, tare::symmetric_codes, tare::nearest_away>::encode(2.5F) == 3);
    CHECK(int_n<8, tare::symmetric_codes, tare::toward_zero>::encode(-2.9F) == 0xFE);
    CHECK(int_n<8>::encode(-1e30F) == 0x81);
    CHECK(int_n<8, tare::full_codes>::encode(-1e30F) == 0x80);
    CHECK(int_n<8, tare::full_codes>::encode(-127.6F) == 0x80);
    CHECK(int_n<8>::encode(127.5F) == 127);
    CHECK(int_n<8>::encode(INFINITY) == 127);
    CHECK(int_n<8>::encode(NAN) == 0);
    CHECK(int_n<8>::encode(-0.5F) == 0);
    CHECK(int_n<16>::encode(0.49999997F) == 0);
    CHECK(int_n<16, tare::full_codes>::encode(-32768.0F) == 0x8000);
    CHECK(int_n<2>::encode(-7.0F) == 3);
    CHECK(int_n<4>::decode(0x9) == -7.0F);
}
