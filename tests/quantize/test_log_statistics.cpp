// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/quantize/log_statistics.hpp>

namespace {

// Each element's product is rounded to 2^-24, its logarithm to 1.44 times that; the file says
// 2^-23.
constexpr double tolerance = 0x1p-23;

void matches_doubles(const std::vector<float>& x) {
    double sum = 0.0;
    float largest = 0.0F;
    tare::extent count = 0;
    for (const float v : x) {
        const float a = std::fabs(v);
        if (!tare::is_finite(a) || a == 0.0F) continue;
        sum += std::log2(double(a));
        largest = std::max(largest, a);
        ++count;
    }
    const double mean = count > 0 ? sum / double(count) : 0.0;
    const tare::log_statistics got = tare::log_statistics_of(x);
    CHECK(got.count == count);
    CHECK(got.largest == largest);
    CHECK(std::abs(got.mean - mean) <= tolerance);
}

std::vector<float> normals(std::size_t n, float scale) {
    const tare::random_stream random(3, 0);
    std::vector<float> x(n);
    for (std::size_t i = 0; i < n; ++i)
        x[i] = scale * random.normal(i);
    return x;
}

}  // namespace

TEST_CASE("mean logarithm and largest magnitude agree with double arithmetic at every size") {
    for (const std::size_t n : {0U, 1U, 2U, 15U, 16U, 17U, 31U, 1000U, 1023U, 1024U, 1025U, 1039U,
                                4095U, 4096U, 4097U, 12289U})
        for (const float scale : {1e-30F, 0.03F, 1.0F, 1e30F}) {
            CAPTURE(n);
            CAPTURE(scale);
            matches_doubles(normals(n, scale));
        }
}

TEST_CASE("products that grow as fast as they can do not overflow") {
    matches_doubles(std::vector<float>(5000, 1.9999999F));
    matches_doubles(std::vector<float>(5000, std::numeric_limits<float>::max()));
    matches_doubles(std::vector<float>(5000, std::numeric_limits<float>::min()));
}

TEST_CASE("zeros, NaN and infinities keep out, subnormal numbers count") {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    for (const float odd : {0.0F, -0.0F, std::numeric_limits<float>::quiet_NaN(), infinity,
                            -infinity, 1e-40F, std::numeric_limits<float>::denorm_min()})
        for (const std::size_t step : {1U, 3U, 700U}) {
            auto x = normals(6000, 0.5F);
            for (std::size_t i = 0; i < x.size(); i += step)
                x[i] = odd;
            CAPTURE(odd);
            CAPTURE(step);
            matches_doubles(x);
        }
}

TEST_CASE("the bits do not depend on the number of threads") {
    const auto x = normals(400'000, 1.0F);
    tare::set_threads(1);
    const auto one = tare::log_statistics_of(x);
    tare::set_threads(4);
    CHECK(tare::log_statistics_of(x).mean == one.mean);
    tare::set_threads(1);
}

TEST_CASE("a block of normal numbers gives the bits of any block, and other numbers are noticed") {
    using tare::detail::block_logs;
    using tare::detail::block_logs_of_normal;
    using tare::detail::log_sums;
    constexpr auto normal = std::numeric_limits<float>::min();
    constexpr auto most = std::numeric_limits<float>::max();
    constexpr auto infinity = std::numeric_limits<float>::infinity();
    for (const std::size_t n : {16U, 32U, 1008U, 1024U, 1040U, 4096U}) {
        auto x = normals(n, 0.03F);
        x[n / 2] = -most;
        x[n / 3] = normal;
        const auto count = static_cast<tare::extent>(n);
        log_sums fast, plain;
        REQUIRE(block_logs_of_normal(x.data(), count, fast));
        REQUIRE(block_logs(x.data(), count, plain));
        CHECK(fast.sum == plain.sum);
        CHECK(fast.largest == plain.largest);
        CHECK(fast.count == plain.count);
        for (const float odd :
             {0.0F, -0.0F, std::numeric_limits<float>::denorm_min(), std::nextafter(normal, 0.0F),
              -std::nextafter(normal, 0.0F), infinity, -infinity,
              std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN()})
            for (const std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
                auto spoilt = x;
                spoilt[at] = odd;
                CHECK_FALSE(block_logs_of_normal(spoilt.data(), count, fast));
            }
    }
    const auto x = normals(17, 1.0F);
    log_sums none;
    CHECK_FALSE(block_logs_of_normal(x.data(), 17, none));
    CHECK_FALSE(block_logs_of_normal(x.data(), 0, none));
}
