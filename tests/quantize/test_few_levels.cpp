// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/quantize/ternary.hpp>
#include <tare/quantize/xnor.hpp>

#include "conformance.hpp"

namespace {

std::vector<float> normals(std::size_t n) {
    const tare::random_stream random(12, 0);
    std::vector<float> x(n);
    for (std::size_t i = 0; i < n; ++i)
        x[i] = random.normal(i);
    return x;
}

}  // namespace

TEST_CASE("binary and ternary weights conform") {
    tare::testing::conforms(tare::xnor<>());
    tare::testing::conforms(tare::xnor<tare::per_row>({9}), {.multiple_of = 9});
    tare::testing::conforms(tare::ternary_weights<>());
    tare::testing::conforms(tare::ternary_weights<tare::bitnet_rule>());
    tare::testing::conforms(tare::ternary_weights<tare::twn_rule, tare::per_block<50>>());
}

TEST_CASE("binary weights keep the sign and the mean magnitude of each filter") {
    const std::vector<float> x{1.0F, -2.0F, 0.0F, 0.5F, 0.5F, -0.5F};
    const tare::xnor<tare::per_row> q({3});
    std::vector<float> y(6), dx(6);
    const auto p = q.fit(x);
    q.fake_quantize(x, p, y);
    CHECK(y == std::vector<float>{1.0F, -1.0F, 1.0F, 0.5F, 0.5F, -0.5F});
    q.backward(x, p, std::vector<float>(6, 3.0F), dx);
    CHECK(dx == std::vector<float>{3.0F, 0.0F, 3.0F, 3.0F, 3.0F, 3.0F});
    CHECK(q.storage(6, 6).total_bits() == 6 + 64);
}

TEST_CASE("ternary weights follow the published threshold and magnitude") {
    const std::vector<float> x{3.0F, -1.0F, 0.5F, -3.5F};  // mean 2, threshold 1.4
    std::vector<float> y(4);
    const tare::ternary_weights<> q;
    q.fake_quantize(x, q.fit(x), y);
    CHECK(y == std::vector<float>{3.25F, 0.0F, 0.0F, -3.25F});
    const tare::ternary_weights<tare::bitnet_rule> b;
    b.fake_quantize(x, b.fit(x), y);  // |x| > 1.000005
    CHECK(y == std::vector<float>{2.0F, 0.0F, 0.0F, -2.0F});
}

TEST_CASE("the threshold is near the best one for normal weights") {
    // With D = 0.7 mean |x| the error is within 1 % of the best over a grid of thresholds.
    const auto x = normals(20000);
    const tare::ternary_weights<> q;
    const auto error = [&](const tare::ternary_group& group) {
        std::vector<float> y(x.size());
        q.fake_quantize(x, {{group}, {}}, y);
        double sum = 0.0;
        for (std::size_t i = 0; i < x.size(); ++i)
            sum += std::pow(double(x[i]) - double(y[i]), 2);
        return sum;
    };
    double best = 1e30;
    for (float t = 0.1F; t < 2.0F; t += 0.05F)
        best = std::min(best, error({tare::mean_magnitude(x, t).mean, t}));
    CHECK(error(q.fit(x).groups[0]) <= 1.01 * best);
}

TEST_CASE("the mean magnitude counts finite elements above the bound, for any size") {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    const tare::random_stream random(5, 0);
    for (const std::size_t n : {0U, 1U, 15U, 16U, 17U, 1000U, 4096U, 4097U, 9001U}) {
        std::vector<float> x(n);
        for (std::size_t i = 0; i < n; ++i)
            x[i] = i % 7 == 3 ? 0.0F : random.uniform(i) - 0.5F;
        if (n > 16) x[2] = nan, x[5] = infinity, x[11] = -infinity, x[13] = 0.25F, x[14] = 1e-40F;
        for (const float above : {-1.0F, -0.0F, 0.0F, 0.25F, 1.0F, infinity, nan}) {
            CAPTURE(n);
            CAPTURE(above);
            long double sum = 0.0L;
            tare::extent count = 0;
            for (const float v : x)
                if (std::isfinite(v) && std::fabs(v) > above) {
                    sum += static_cast<long double>(std::fabs(v));
                    ++count;
                }
            const tare::magnitude_mean got = tare::mean_magnitude(x, above);
            REQUIRE(got.count == count);
            const long double mean = count > 0 ? sum / static_cast<long double>(count) : 0.0L;
            // One rounding to float32; the sums in double are far finer.
            REQUIRE(std::fabs(static_cast<long double>(got.mean) - mean) <= 0x1p-24L * mean);
        }
    }
}
