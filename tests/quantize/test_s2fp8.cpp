// SPDX-License-Identifier: MIT
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <tare/quantize/s2fp8.hpp>
#include <tare/quantize/s2fp8_reference.hpp>

#include "conformance.hpp"
#include "golden_manifest.hpp"

namespace {

// "Within 2e-5 with at most 1 in 10^5 elements one step off": powers and logarithms come from
// different libraries, and an element at a rounding border may fall on either side. A file of a few
// thousand elements may hold one such element.
constexpr double tolerance = 2e-5;
// A step of E5M2 is at most 2^(1/2) in T after rounding, in x less where alpha > 1.
constexpr double one_step = 0.42;

std::size_t flips(const std::vector<float>& got, const std::vector<float>& expected) {
    REQUIRE(got.size() == expected.size());
    std::size_t count = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        const double off = std::abs(double(got[i]) - double(expected[i]));
        if (off <= tolerance * std::abs(double(expected[i]))) continue;
        ++count;
        CHECK(off <= one_step * std::abs(double(expected[i])));
    }
    return count;
}

template <class Conversion>
void matches_reference(const tare::io::npz_archive& golden, const std::string& name,
                       const char* result) {
    CAPTURE(name);
    CAPTURE(result);
    const auto get = [&](const char* part) {
        return tare::testing::values<float>(golden, name + "/" + part);
    };
    const auto x = get("x");
    const auto stats = get("stats");
    const auto r = get("r");
    std::vector<std::uint32_t> draws;
    for (const float v : r)
        draws.push_back(static_cast<std::uint32_t>(v));
    const tare::s2fp8_reference<Conversion> q;
    const auto own = q.fit(x);
    const float numbers[] = {own.mu, own.m, own.alpha, own.beta};
    for (std::size_t i = 0; i < 4; ++i)
        CHECK(numbers[i] == doctest::Approx(stats[i]).epsilon(tolerance));
    const tare::s2fp8_reference_params p{stats[0], stats[1], stats[2], stats[3]};
    const auto squeezed = get("y");
    std::vector<float> y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i)
        CHECK(std::abs(double(q.squeeze(x[i], p)) - double(squeezed[i])) <=
              tolerance * double(squeezed[i]));
    q.fake_quantize(x, p, draws, y);
    CHECK(flips(y, get(result)) <= 1);
}

/// Cases that are not degenerate, of those the ones with the published evaluation too.
std::vector<std::string> sound_cases(bool published) {
    std::vector<std::string> out;
    for (const auto& c : tare::testing::golden_cases("smaq", "s2fp8.npz"))
        if (!c.at("degenerate").get<bool>() && (!published || c.at("paper").get<bool>()))
            out.push_back(c.at("name"));
    REQUIRE(out.size() >= 5);
    return out;
}

}  // namespace

TEST_CASE("the reference variant equals the reference for both releases of its library") {
    const auto golden = tare::testing::golden("smaq/s2fp8.npz");
    for (const std::string& name : sound_cases(false)) {
        matches_reference<tare::fp8_release_020>(golden, name, "out_q020");
        matches_reference<tare::fp8_release_030>(golden, name, "out_q030");
    }
}

TEST_CASE("the published definition equals the golden evaluation") {
    const auto golden = tare::testing::golden("smaq/s2fp8.npz");
    for (const std::string& name : sound_cases(true)) {
        CAPTURE(name);
        const auto get = [&](const char* part) {
            return tare::testing::values<float>(golden, name + "/" + part);
        };
        const auto x = get("x");
        const auto stats = get("paper_stats");
        const tare::s2fp8 q;
        const auto p = q.fit(x);
        CHECK(p.groups[0].alpha == doctest::Approx(stats[2]).epsilon(tolerance));
        CHECK(p.groups[0].beta == doctest::Approx(stats[3]).epsilon(tolerance));
        std::vector<float> y(x.size());
        q.fake_quantize(x, {{q.group_of(stats[2], stats[3])}, {}}, y);
        CHECK(flips(y, get("paper_out")) <= 1);
    }
}

TEST_CASE("degenerate tensors come back sound") {
    const auto golden = tare::testing::golden("smaq/s2fp8.npz");
    const auto run = [&](const char* name) {
        const auto x = tare::testing::values<float>(golden, std::string(name) + "/x");
        std::vector<float> y(x.size());
        const tare::s2fp8 q;
        q.fake_quantize(x, q.fit(x), y);
        return std::pair(x, y);
    };
    for (const char* name : {"all_equal", "all_zero", "single"}) {
        const auto [x, y] = run(name);
        CHECK(x == y);
    }
    const auto [narrow, coded] = run("narrow_beta_overflow");
    for (std::size_t i = 0; i < narrow.size(); ++i)  // the whole spread is 15/alpha = 0.014 octaves
        CHECK(std::abs(std::log2(double(coded[i]) / double(narrow[i]))) < 0.014);
    const auto [with_inf, bounded] = run("with_inf");
    for (std::size_t i = 0; i < with_inf.size(); ++i)
        CHECK(tare::is_finite(bounded[i]));
    const auto [with_nan, kept] = run("with_nan");
    for (std::size_t i = 0; i < with_nan.size(); ++i)
        CHECK((with_nan[i] != with_nan[i]) == (kept[i] != kept[i]));
}

TEST_CASE("tensors with nothing to squeeze come back as they are, and no NaN is made") {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    constexpr float least = std::numeric_limits<float>::denorm_min();
    constexpr float most = std::numeric_limits<float>::max();
    const auto coded = [](const std::vector<float>& x) {
        const tare::s2fp8 q;
        const auto p = q.fit(x);
        std::vector<float> y(x.size());
        q.fake_quantize(x, p, y);
        std::vector<float> decoded(x.size());
        q.decode(q.encode(x, p), decoded);
        CHECK(tare::testing::differences(y, decoded) == 0);
        return y;
    };
    std::vector<float> one_among_zeros(100, 0.0F);
    one_among_zeros[37] = -0.3F;
    for (const std::vector<float>& x :
         {std::vector<float>{}, std::vector<float>(100, 0.0F), std::vector<float>{-2.5F},
          std::vector<float>{least}, std::vector<float>(33, most), std::vector<float>(33, -1e-40F),
          std::vector<float>{3.0F, -3.0F, 3.0F, 0.0F}, one_among_zeros})
        CHECK(coded(x) == x);
    // -0 is a zero like the other.
    for (const float v : coded(std::vector<float>(20, -0.0F)))
        CHECK(std::bit_cast<std::uint32_t>(v) == 0U);
    // Without a finite nonzero element: NaN stays, infinities have no magnitude to become.
    const auto nothing = coded({nan, 0.0F, infinity, -infinity});
    CHECK(nothing[0] != nothing[0]);
    CHECK(nothing[1] == 0.0F);
    CHECK(nothing[2] == 0.0F);
    CHECK(nothing[3] == 0.0F);
    const auto bounded = coded({1.0F, 2.0F, infinity, -infinity, 0.5F});
    CHECK(tare::is_finite(bounded[2]));
    CHECK(bounded[2] >= 2.0F);
    CHECK(bounded[3] == -bounded[2]);
}

TEST_CASE("levels found by a rough logarithm are those found by all borders") {
    // (alpha, beta) of usual tensors, of spreads at the edge of what the rough way may do and
    // beyond, of tiny and huge magnitudes, and of none.
    const std::pair<float, float> groups[] = {
        {4.4F, 26.0F},   {10.0F, 50.0F},  {1.0F, 0.0F},   {0.2F, 3.0F},   {30.0F, -100.F},
        {40.0F, 300.0F}, {46.0F, -1.5F},  {48.0F, 20.0F}, {200.0F, 0.0F}, {5.0F, 500.0F},
        {5.0F, 630.0F},  {5.0F, -600.0F}, {1e5F, -1e6F},  {0.0F, 0.25F},  {0.11F, -0.7F}};
    std::size_t rough = 0;
    for (const auto& [a, b] : groups) {
        const float alpha = a;
        const float beta = b;
        CAPTURE(alpha);
        CAPTURE(beta);
        const auto group = tare::s2fp8::group_of(alpha, beta);
        rough += group.levels.rough() ? 1U : 0U;
        std::vector<float> x;
        for (std::uint32_t u = 0; u <= 0x7F800000U; u += 70'001)
            x.push_back(std::bit_cast<float>(u));
        // Both sides of every border: where a value changes between two of the above.
        for (std::size_t i = 0, n = x.size(); i + 1 < n; ++i) {
            const auto value = [&](float v) { return group.levels.value(group.levels.level(v)); };
            auto low = std::bit_cast<std::uint32_t>(x[i]);
            auto high = std::bit_cast<std::uint32_t>(x[i + 1]);
            if (value(x[i]) == value(x[i + 1])) continue;
            while (high - low > 1) {
                const std::uint32_t middle = low + (high - low) / 2;
                const bool same = value(std::bit_cast<float>(middle)) == value(x[i]);
                (same ? low : high) = middle;
            }
            for (const std::uint32_t u : {low, high})
                x.push_back(std::bit_cast<float>(u));
        }
        std::vector<float> y(x.size());
        tare::s2fp8().fake_quantize(x, {{group}, {}}, y);
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < x.size(); ++i)
            wrong += y[i] != group.levels.value(group.levels.level(x[i]));
        CHECK(wrong == 0);
    }
    CHECK(rough >= 7);
}

TEST_CASE("S2FP8 conforms") {
    tare::testing::conforms(tare::s2fp8(), {.idempotent = false});
}

TEST_CASE("codes are those of E5M2 on the squeezed magnitudes") {
    // alpha = 1, beta = 0: S2FP8 is plain E5M2, ties to even (17 levels on each side of the normal
    // border, and zero).
    const tare::s2fp8 q;
    const tare::s2fp8::params_type p{{q.group_of(1.0F, 0.0F)}, {}};
    const std::vector<float> x{1.0F,     1.1F,     1.25F,    1.4F,       -3.0F,    0x1p-16F,
                               0x3p-16F, 0x1p-18F, 0x3p-18F, 0x1.7p-14F, 32768.0F, 60000.0F,
                               1e30F,    0.0F,     -0.0F,    0x1.9p-15F};
    const std::vector<float> expected{1.0F,     1.0F, 1.25F,    1.5F,       -3.0F,    0x1p-16F,
                                      0x3p-16F, 0.0F, 0x1p-16F, 0x1.8p-14F, 32768.0F, 57344.0F,
                                      57344.0F, 0.0F, 0.0F,     0x1.8p-15F};
    std::vector<float> y(x.size());
    q.fake_quantize(x, p, y);
    for (std::size_t i = 0; i < x.size(); ++i) {
        CAPTURE(x[i]);
        CHECK(y[i] == expected[i]);
    }
}

TEST_CASE("zero has one code, and both codes of zero decode to +0") {
    const tare::s2fp8 q;
    const tare::s2fp8::params_type p{{q.group_of(1.0F, 0.0F)}, {}};
    // -0 and magnitudes below half of the least one, 2^-16; then a negative number that stays one.
    const std::vector<float> x{-0.0F, -0x1p-17F, -1e-30F, 0.0F, -0x1p-16F};
    tare::packed_tensor packed = q.encode(x, p);
    REQUIRE(packed.bytes.size() == 8 + x.size());  // alpha and beta behind the codes
    const int codes[] = {0, 0, 0, 0, 0x81};
    for (std::size_t i = 0; i < x.size(); ++i)
        CHECK(std::to_integer<int>(packed.bytes[i]) == codes[i]);
    packed.bytes[0] = std::byte{0x80};  // no encoder of ours writes it
    std::vector<float> y(x.size(), 1.0F);
    q.decode(packed, y);
    for (std::size_t i = 0; i < 4; ++i)
        CHECK(std::bit_cast<std::uint32_t>(y[i]) == 0U);
    CHECK(y[4] == -0x1p-16F);
}

TEST_CASE("a stream whose alpha or beta no encoder writes is refused") {
    const tare::s2fp8 q;
    const std::vector<float> x{1.0F, -2.0F, 0.5F, 3.0F};
    const tare::packed_tensor sound = q.encode(x, q.fit(x));
    const auto refused = [&](std::size_t at, float number) {
        tare::packed_tensor damaged = sound;
        const auto bits = std::bit_cast<std::uint32_t>(number);
        for (std::size_t i = 0; i < 4; ++i)
            damaged.bytes[x.size() + at + i] = static_cast<std::byte>(bits >> (8 * i));
        std::vector<float> y(x.size());
        std::string what;
        try {
            q.decode(damaged, y);
        } catch (const tare::error& e) {
            what = e.what();
        }
        return what.find(at == 0 ? "byte 4: alpha" : "byte 8: beta") != std::string::npos;
    };
    constexpr float infinity = std::numeric_limits<float>::infinity();
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    for (const float bad : {-1.0F, -1e-30F, infinity, -infinity, nan})
        CHECK(refused(0, bad));
    for (const float bad : {infinity, -infinity, nan})
        CHECK(refused(4, bad));
    CHECK_FALSE(refused(0, 2.0F));
    CHECK_FALSE(refused(4, -3.0F));
}

TEST_CASE("the values of a group grow with the level and stay finite") {
    constexpr float most = std::numeric_limits<float>::max();
    // Beyond float32 above, below, and on both sides: one octave of t is 1000 of x in the last.
    const std::pair<float, float> groups[] = {
        {1.0F, -130.0F}, {1.0F, 160.0F}, {0.1F, 0.0F}, {1e-3F, 0.0F}, {1e-3F, -1.0F}};
    for (const auto& [a, b] : groups) {
        const float alpha = a;
        const float beta = b;
        CAPTURE(alpha);
        CAPTURE(beta);
        const auto group = tare::s2fp8::group_of(alpha, beta);
        for (int level = 0; level <= tare::detail::s2fp8_top_level; ++level) {
            CAPTURE(level);
            const float value = group.levels.value(level);
            CHECK(value >= (level > 0 ? group.levels.value(level - 1) : 0.0F));
            CHECK(value <= most);
            if (level == 0) continue;
            // 2^((log2 T - beta) / alpha), bounded: float32 overflows from 2^128 on.
            const int code =
                static_cast<int>(tare::detail::s2fp8_code(static_cast<std::uint32_t>(level)));
            const double t = code > 3 ? std::ldexp(4 + code % 4, code / 4 - 17) : code * 0x1p-16;
            const double exponent =
                (std::log2(t) - static_cast<double>(beta)) / static_cast<double>(alpha);
            if (exponent > 128.0) CHECK(value == most);
            if (exponent < -150.0) CHECK(value == 0.0F);
        }
    }
    std::vector<float> y(2);
    const tare::s2fp8 q;
    q.fake_quantize(std::vector<float>{most, -most}, {{q.group_of(1.0F, -130.0F)}, {}}, y);
    CHECK(y[0] == most);
    CHECK(y[1] == -most);
}
