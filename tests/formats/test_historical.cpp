// The two historical conversions against the arrays recorded from the simulator.

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/formats/historical.hpp>

#include "all_inputs.hpp"
#include "golden.hpp"

namespace {

namespace historical = tare::historical;
using tare::testing::golden;
using tare::testing::values;

std::uint32_t bits_of(float x) {
    return std::isnan(x) ? 0x7FC0'0000U : std::bit_cast<std::uint32_t>(x);
}

template <class F>
int wrong_nearest(const std::vector<float>& x, const std::vector<float>& expected) {
    int wrong = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
        wrong += bits_of(tare::round_to<F>(x[i])) != bits_of(expected[i]);
    return wrong;
}

template <class F>
int wrong_stochastic(const std::vector<float>& x, const std::vector<std::int64_t>& draws,
                     const std::vector<float>& expected) {
    int wrong = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
        wrong += bits_of(tare::round_to<F>(x[i], static_cast<std::uint32_t>(draws[i]))) !=
                 bits_of(expected[i]);
    return wrong;
}

/// Nearest, stochastic and reference-class results of one size under both releases.
template <int Exp, int Man>
void check_size(const std::string& prefix, bool has_class_results) {
    const auto data = golden("smaq/formats.npz");
    const auto x = values<float>(data, "x");
    const auto draws = values<std::int64_t>(data, "r");
    const auto expected = [&](const char* name) { return values<float>(data, prefix + name); };
    using tare::stochastic;
    using old_stochastic = historical::q020<Exp, Man, stochastic>;
    using new_stochastic = historical::q030<Exp, Man, stochastic>;
    CHECK(wrong_nearest<historical::q020<Exp, Man>>(x, expected("_q020_near")) == 0);
    CHECK(wrong_nearest<historical::q030<Exp, Man>>(x, expected("_q030_near")) == 0);
    CHECK(wrong_stochastic<old_stochastic>(x, draws, expected("_q020_stoch")) == 0);
    CHECK(wrong_stochastic<new_stochastic>(x, draws, expected("_q030_stoch")) == 0);
    if (!has_class_results) return;
    CHECK(wrong_stochastic<historical::check_inf<old_stochastic>>(x, draws,
                                                                  expected("_q020_ref")) == 0);
    CHECK(wrong_stochastic<historical::check_inf<new_stochastic>>(x, draws,
                                                                  expected("_q030_ref")) == 0);
}

template <class F>
int wrong_all_inputs(const tare::testing::all_inputs& inputs, const char* codes,
                     const std::vector<float>& table) {
    int wrong = 0;
    for (std::uint32_t i = 0; i < 65536; ++i) {
        const float expected = table[inputs.code(codes, i)];
        const float rounded = tare::round_to<F>(inputs.value(i));
        wrong += rounded + 0.0F != expected + 0.0F;  // the table stores -0 as +0
    }
    return wrong;
}

/// All distinct finite values of a format, ascending, one zero.
template <class F>
std::vector<float> value_set() {
    std::vector<float> all;
    for (std::uint32_t c = 0; c < (1U << F::bits); ++c)
        all.push_back(F::decode(static_cast<typename F::code_type>(c)) + 0.0F);
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
}

/// The conversion of release 0.2.0 or 0.3.0 as its formulas stand, on bits and unvectorised: the
/// plain reference.
float by_the_formula(bool release3, int exp, int man, float x, std::uint32_t r) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t mask = (1U << (23 - man)) - 1U;
    const auto field = [](std::uint32_t q) { return static_cast<int>(q >> 23 & 255U); };
    const auto made = [](std::uint32_t q) { return std::bit_cast<float>(q); };
    const std::uint32_t sign = u & 0x8000'0000U;
    const std::uint32_t ones = 0x007F'FFFFU & ~mask;
    const std::uint32_t q = (u + r) & ~mask;
    if (release3) {
        const int emin = -((1 << (exp - 1)) - 2);
        if (field(u) - 127 < emin) {
            const float s = made(sign | static_cast<std::uint32_t>(emin + 127) << 23);
            const float t = x + s;
            return made((std::bit_cast<std::uint32_t>(t) + r) & ~mask) - s;
        }
        const int top = 127 + (1 << (exp - 1));
        return field(q) > top ? made(sign | static_cast<std::uint32_t>(top) << 23 | ones) : made(q);
    }
    const int e = (1 << (exp - 1)) - 1;
    if (q == 0) return 0.0F;
    if (field(q) > 127 + e) return made(sign | static_cast<std::uint32_t>(127 + e) << 23 | ones);
    if (field(q) < 127 - e) {
        const bool up = (q & 0x7FFF'FFFFU) > static_cast<std::uint32_t>(126 - e) << 23;
        return up ? made(sign | static_cast<std::uint32_t>(127 - e) << 23) : 0.0F;
    }
    return made(q);
}

template <int Exp, int Man>
int differences_to_the_formula() {
    using old_release = historical::q020<Exp, Man, tare::stochastic>;
    using new_release = historical::q030<Exp, Man, tare::stochastic>;
    const std::uint32_t mask = (1U << (23 - Man)) - 1U;
    const std::uint32_t half = 1U << (22 - Man);
    int wrong = 0;
    const auto compare = [&](float x, std::uint32_t draw) {
        const auto differs = [](float a, float b) { return bits_of(a) != bits_of(b); };
        wrong += differs(tare::round_to<historical::q020<Exp, Man>>(x),
                         by_the_formula(false, Exp, Man, x, half));
        wrong += differs(tare::round_to<historical::q030<Exp, Man>>(x),
                         by_the_formula(true, Exp, Man, x, half));
        wrong += differs(tare::round_to<old_release>(x, draw),
                         by_the_formula(false, Exp, Man, x, draw & mask));
        wrong += differs(tare::round_to<new_release>(x, draw),
                         by_the_formula(true, Exp, Man, x, draw & mask));
    };
    const tare::random_stream random(2024, 5);
    for (std::uint32_t i = 0; i < 200'000; ++i)
        compare(std::bit_cast<float>(random.bits(2 * i)), random.bits(2 * i + 1));
    for (const std::uint32_t u : {0x7FFF'FFFFU, 0xFFFF'FFFFU, 0x7F80'0001U, 0xFF80'0001U,
                                  0x7FC0'0000U, 0xFFC0'0000U, 0x7F80'0000U, 0xFF80'0000U, 0U,
                                  0x8000'0000U, 1U, 0x8000'0001U, 0x7F7F'FFFFU, 0xFF7F'FFFFU})
        for (const std::uint32_t draw : {0U, ~0U, half, half - 1U})
            compare(std::bit_cast<float>(u), draw);
    return wrong;
}

}  // namespace

TEST_CASE("both releases give the recorded values for every size") {
    check_size<5, 2>("fp8", true);
    check_size<5, 10>("fp16", true);
    check_size<8, 7>("bf16", true);
    check_size<4, 3>("e4m3", false);
}

TEST_CASE("both releases give the recorded values at the edges of fp16") {
    const auto data = golden("smaq/formats.npz");
    const auto x = values<float>(data, "edge_x");
    CHECK(wrong_nearest<historical::q020<5, 10>>(x, values<float>(data, "edge_fp16_q020_near")) ==
          0);
    CHECK(wrong_nearest<historical::q030<5, 10>>(x, values<float>(data, "edge_fp16_q030_near")) ==
          0);
}

TEST_CASE("the sets of values and the codes of all 16-bit inputs are the recorded ones") {
    const auto tables = golden("smaq/fp8_tables.npz");
    const auto floats = [&](const char* name) { return values<float>(tables, name); };
    CHECK(value_set<historical::q020<5, 2>>() == floats("values_e5m2_q020"));
    CHECK(value_set<historical::q020<4, 3>>() == floats("values_e4m3_q020"));
    for (std::uint32_t c = 0; c < 256; ++c) {
        const auto code = static_cast<std::uint8_t>(c);
        CHECK(bits_of(historical::q030<5, 2>::decode(code)) ==
              bits_of(floats("decode_e5m2_q030")[c]));
        CHECK(bits_of(historical::q030<4, 3>::decode(code)) ==
              bits_of(floats("decode_e4m3_q030")[c]));
    }
    const tare::testing::all_inputs inputs;
    CHECK(wrong_all_inputs<historical::q020<5, 2>>(inputs, "fp8_q020_near",
                                                   floats("values_e5m2_q020")) == 0);
    CHECK(wrong_all_inputs<historical::q030<5, 2>>(inputs, "fp8_q030_near",
                                                   floats("decode_e5m2_q030")) == 0);
}

TEST_CASE("the policies agree with the formulas on random bit patterns and on every kind of NaN") {
    CHECK(differences_to_the_formula<5, 2>() == 0);
    CHECK(differences_to_the_formula<5, 10>() == 0);
    CHECK(differences_to_the_formula<8, 7>() == 0);
    CHECK(differences_to_the_formula<4, 3>() == 0);
    CHECK(differences_to_the_formula<6, 9>() == 0);
}
