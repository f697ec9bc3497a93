// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/core/reciprocal.hpp>

using tare::simd::reciprocal_parts;

namespace {

// Numerators of one binade, all of them in steps of `step`, whose quotient is not that of `/`.
int wrong(const reciprocal_parts& by, std::uint32_t step) {
    int count = 0;
    for (std::uint32_t a = 1U << 23; a < 1U << 24; a += step) {
        const float v = static_cast<float>(a);
        if (std::fma(v, by.high, v * by.low) != v / by.value) ++count;
    }
    return count;
}

}  // namespace

TEST_CASE("two parts of a reciprocal divide exactly where one numerator says so") {
    if (!tare::simd::fused) return;
    const tare::random_stream random(11, 0);
    // Both ends of the significands, some that are not exact, and any others, mostly odd.
    std::vector<std::uint32_t> divisors{0x800000, 0x800001, 0x9F0237, 0xA0C9FF, 0xFFFFFB, 0xFFFFFF};
    for (std::uint64_t i = 0; i < 10; ++i)
        divisors.push_back(0x800000U | (random.bits(i) >> 9) | (i % 4 != 0));
    for (const std::uint32_t b : divisors) {
        const reciprocal_parts by(std::ldexp(static_cast<float>(b), static_cast<int>(b % 80) - 60));
        CHECK(wrong(by, 1) == (by.exact ? 0 : 1));
    }
}

TEST_CASE("the one hard numerator is found among all divisors") {
    if (!tare::simd::fused) return;
    const tare::random_stream random(12, 0);
    int inexact = 0;
    constexpr int tried = 20000;
    for (std::uint64_t i = 0; i < tried; ++i) {
        const std::uint32_t b = 0x800000U | (random.bits(i) >> 9);
        const reciprocal_parts by(static_cast<float>(b));
        const std::uint32_t hard = reciprocal_parts::hardest_numerator(b);
        if (hard != 0) {
            // Its quotient is nearer to the midpoint of two floats than any other: 1 / (2^25 b).
            REQUIRE((hard >= 0x800000U && hard < b));
            const std::uint64_t rest = (std::uint64_t{hard} << 25) % (2ULL * b);
            REQUIRE((rest == b - 1 || rest == b + 1));
        }
        if (!by.exact) {
            ++inexact;
            REQUIRE(hard != 0);
        }
    }
    CHECK(inexact == doctest::Approx(0.0127 * tried).epsilon(0.3));
}

TEST_CASE("reciprocals in parts know their range") {
    if (!tare::simd::fused) return;
    for (const float v : {0.0F, -0.0F, 1e-30F, 1e30F, INFINITY, NAN})
        CHECK_FALSE(reciprocal_parts(v).exact);
    for (const float v : {1.0F, -3.0F, 15.0F, 42.0F, 0x1p-60F, 0x1p60F})
        CHECK(reciprocal_parts(v).exact);
    // Quotients near the least that is promised, and near overflow.
    const reciprocal_parts large(0x1.234568p59F);
    REQUIRE(large.exact);
    for (const float a : {0x1.fffffep-40F, -0x1.000002p-39F})
        CHECK(std::fma(a, large.high, a * large.low) == a / large.value);
    const reciprocal_parts small(0x1.234568p-60F);
    REQUIRE(small.exact);
    for (const float a : {0x1.1p67F, -0x1.000002p67F})
        CHECK(std::fma(a, small.high, a * small.low) == a / small.value);
}
