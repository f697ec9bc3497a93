// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/quantize/mean_magnitude.hpp>

TEST_CASE("the mean is of finite magnitudes strictly above the bound") {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> x{1.0F, -2.0F, 0.0F, nan, infinity, -infinity, 4.0F, -0.0F};
    const tare::magnitude_mean all = tare::mean_magnitude(x);
    CHECK(all.count == 5);  // zeros count where nothing is left out
    CHECK(all.mean == 7.0F / 5.0F);
    const tare::magnitude_mean above = tare::mean_magnitude(x, 1.0F);
    CHECK(above.count == 2);
    CHECK(above.mean == 3.0F);
    for (const float bound : {4.0F, 1e30F}) {
        CHECK(tare::mean_magnitude(x, bound).count == 0);
        CHECK(tare::mean_magnitude(x, bound).mean == 0.0F);
    }
    CHECK(tare::mean_magnitude({}).count == 0);
    const std::vector<float> nothing{nan, infinity};
    CHECK(tare::mean_magnitude(nothing).mean == 0.0F);
}

TEST_CASE("the mean is that of one long sum, with the same bits for any number of threads") {
    const tare::random_stream draws(3, 0);
    std::vector<float> x(200'003);
    double sum = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = draws.normal(i);
        sum += static_cast<double>(std::fabs(x[i]));
    }
    const float one = tare::mean_magnitude(x).mean;
    // Sums in double of 2e5 numbers err by 2e5 2^-53 at most; float32 rounds at 2^-24.
    constexpr double tolerance = 0x1p-23;
    CHECK(static_cast<double>(one) ==
          doctest::Approx(sum / static_cast<double>(x.size())).epsilon(tolerance));
    for (const int threads : {2, 3, 4}) {
        tare::set_threads(threads);
        CHECK(tare::mean_magnitude(x).mean == one);
    }
    tare::set_threads(1);
}
