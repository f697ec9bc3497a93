// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/quantize/bucket_scalar.hpp>

#include "conformance.hpp"

using tare::bucket_scalar;
using tare::extent;

TEST_CASE("scalar quantizers of buckets conform") {
    for (const int bits : {1, 4, 7, 8})
        for (const bool symmetric : {false, true})
            tare::testing::conforms(
                bucket_scalar(6, {.bits = bits, .buckets = 2, .block = 3, .symmetric = symmetric}),
                {.multiple_of = 6});
    tare::testing::conforms(bucket_scalar(8, {.bits = 4, .buckets = 8, .block = 4}),
                            {.multiple_of = 32});
}

TEST_CASE("every bucket has the scale and zero point of its own values") {
    // Two buckets side by side: the left half of each row is a thousand times smaller.
    const extent rows = 5;
    const extent columns = 8;
    const tare::random_stream random(1, 0);
    std::vector<float> x(std::size_t(rows * columns));
    std::vector<float> left;
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = random.normal(i) * (i % 8 < 4 ? 0.001F : 1.0F);
        if (i % 8 < 4) left.push_back(x[i]);
    }
    const bucket_scalar q(columns, {.bits = 8, .buckets = 2, .block = 4});
    const auto p = q.fit(x);
    REQUIRE(p.grids.size() == 2);
    CHECK(p.grids[0] == tare::affine_grid(tare::range_of(left)));
    const auto y = tare::testing::fitted(q, x);
    for (std::size_t i = 0; i < x.size(); ++i) {
        // Half a step, half of one that rounding the zero point costs at the ends, and four float32
        // roundings (of scale, quotient, sum and value) of numbers of at most 256 steps.
        constexpr double rounding = 4 * 256 * 0x1p-24;
        const double step = double(p.grids[i % 8 / 4].scale);
        CHECK(std::fabs(double(y[i]) - double(x[i])) <= (1.0 + rounding) * step);
    }
    CHECK(q.storage(40, 40) == tare::storage_cost{.value_bits = 320, .scale_bits = 2 * 40});
    // One value far outside: its gradient is cut, the others pass.
    auto outside = x;
    outside[0] = 7.0F;
    std::vector<float> dy(x.size(), 2.0F), dx(x.size());
    q.backward(outside, p, dy, dx);
    CHECK(dx[0] == 0.0F);
    CHECK(std::ranges::count(dx, 2.0F) >= 35);
}

TEST_CASE("buckets lie in rows and columns of the grid") {
    std::vector<float> x(4 * 8);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = float(1 + i / 16 * 10 + i % 8 / 4);  // one value for each of four buckets
    const bucket_scalar q(8, {.bits = 8, .buckets = 4, .block = 4});
    const auto p = q.fit(x);
    REQUIRE(p.grids.size() == 4);
    const float highest[] = {1.0F, 2.0F, 11.0F, 12.0F};
    for (std::size_t bucket = 0; bucket < 4; ++bucket)
        CHECK(p.grids[bucket] == tare::affine_grid({0.0F, highest[bucket]}));
    const auto y = tare::testing::fitted(q, x);
    for (std::size_t i = 0; i < x.size(); ++i)
        // The highest value is 255 steps; scale and product are rounded once each.
        CHECK(std::fabs(double(y[i]) - double(x[i])) <= 2 * 0x1p-24 * double(x[i]));
}

TEST_CASE("misuse of bucket scalars is refused by name") {
    CHECK_THROWS_WITH_AS(bucket_scalar(8, {.bits = 9}), doctest::Contains("9 bits"), tare::error);
    std::vector<float> x(24, 1.0F);
    CHECK_THROWS_WITH_AS(static_cast<void>(bucket_scalar(8, {.buckets = 3}).fit(x)),
                         doctest::Contains("power of two"), tare::error);
    CHECK_THROWS_AS(static_cast<void>(bucket_scalar(7).fit(x)), tare::error);
    const bucket_scalar q(8, {.buckets = 1});
    auto packed = q.encode(x, q.fit(x));
    for (std::size_t i = 24; i < 28; ++i)
        packed.bytes[i] = std::byte{0xFF};  // a scale that is not a number
    CHECK_THROWS_WITH_AS(q.decode(packed, x), doctest::Contains("byte 24: a scale of"),
                         tare::error);
    CHECK_THROWS_WITH_AS(q.fake_quantize(x, {}, x), doctest::Contains("fit them"), tare::error);
}
