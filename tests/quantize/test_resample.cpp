// SPDX-License-Identifier: MIT
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/quantize/resample.hpp>

#include "golden_distance.hpp"
#include "golden_manifest.hpp"

using tare::extent;
using tare::resampler;
using tare::testing::values;

namespace {

// The reference computes kernels and sums in float32, the library in double: the relative tolerance
// that the arrays state, and a few units in the last place of values near one.
constexpr double absolute = 2e-6;

std::size_t far_apart(std::span<const float> got, const std::vector<float>& want) {
    return tare::testing::far_apart(got, want, tare::testing::value_relative, absolute);
}

std::vector<float> resampled(const resampler& by, std::span<const float> x, extent rows,
                             extent columns) {
    std::vector<float> y(std::size_t(rows * columns));
    by.apply({x.data(), rows, extent(x.size()) / rows}, {y.data(), rows, columns});
    return y;
}

}  // namespace

TEST_CASE("kernels and resampled rows are those of the reference") {
    const auto golden = tare::testing::golden("daq/resample.npz");
    const auto cases = tare::testing::golden_cases("daq", "resample.npz");
    const auto x = values<float>(golden, "data.x");
    const extent rows = tare::testing::array(golden, "data.x").extents[0];
    const extent columns = extent(x.size()) / rows;
    for (const auto& [key, about] : cases.items()) {
        const std::string name = key;
        const auto& info = about.at("info");
        if (!info.contains("old")) continue;
        CAPTURE(name);
        const resampler by(info.at("old"), info.at("new"),
                           {.zeros = info.at("zeros"), .rolloff = info.at("rolloff")});
        CHECK(by.reach() == info.at("width").get<extent>());
        const auto kernel = by.kernel();
        CHECK(far_apart({kernel.data, std::size_t(kernel.rows * kernel.columns)},
                        values<float>(golden, name + ".kernel")) == 0);
        CHECK(far_apart(resampled(by, x, rows, by.length(columns)),
                        values<float>(golden, name + ".y")) == 0);
        CHECK(far_apart(resampled(by, x, rows, by.length(columns, true)),
                        values<float>(golden, name + ".y_full")) == 0);
    }
}

TEST_CASE("lengths round down, or up in full") {
    const resampler by(4, 3);
    CHECK(by.length(48) == 36);
    CHECK(by.length(49) == 36);
    CHECK(by.length(49, true) == 37);
    CHECK(resampler(6, 4).from() == 3);
    CHECK(tare::resampled_storage(by, 5, 49, 8).total_bits() == 5 * 37 * 8);
}

TEST_CASE("smooth rows survive, and constants stay what they are") {
    const extent columns = 64;
    std::vector<float> x(2 * std::size_t(columns));
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = i < 64 ? 3.0F : float(std::cos(0.2 * double(i - 64)));
    const resampler half(2, 1);
    const auto stored = resampled(half, x, 2, 32);
    const auto back = resampled(resampler(1, 2), stored, 2, 64);
    for (std::size_t i = 0; i < 64; ++i)
        CHECK(back[i] == 3.0F);  // kernels of sum 1 in double
    // Away from the ends, where a continued value is no cosine. A sinc under a squared cosine
    // (Hann) is true to 44 dB in its band, and there are two.
    constexpr double ripple = 2 * 0.0063;
    for (std::size_t i = 64 + 24; i < 128 - 24; ++i)
        CHECK(std::fabs(double(back[i]) - double(x[i])) <= ripple);
    CHECK(resampled(resampler(3, 3), x, 2, 64) == x);
}

TEST_CASE("the transposed operator is that of the operator") {
    const tare::random_stream random(3, 0);
    for (const auto& [from, to] : {std::pair<extent, extent>{2, 1}, {3, 4}, {5, 5}, {1, 3}}) {
        const resampler by(from, to, {.zeros = 6});
        for (const extent columns : {1, 2, 7, 20}) {
            const extent m = by.length(columns, true);
            std::vector<float> x(std::size_t(2 * columns)), dy(std::size_t(2 * m));
            for (std::size_t i = 0; i < x.size(); ++i)
                x[i] = random.normal(i);
            for (std::size_t i = 0; i < dy.size(); ++i)
                dy[i] = random.normal(1000 + i);
            const auto y = resampled(by, x, 2, m);
            std::vector<float> dx(x.size());
            by.apply_transposed({dy.data(), 2, m}, {dx.data(), 2, columns});
            double there = 0.0;
            double back = 0.0;
            for (std::size_t i = 0; i < y.size(); ++i)
                there += double(y[i]) * double(dy[i]);
            for (std::size_t i = 0; i < x.size(); ++i)
                back += double(x[i]) * double(dx[i]);
            constexpr double rounding = 1e-5;  // of a hundred float32 results, each rounded once
            CHECK(std::fabs(there - back) < rounding);
        }
    }
}

TEST_CASE("misuse of resampling is refused by name") {
    CHECK_THROWS_WITH_AS(resampler(0, 1), doctest::Contains("from 0 to 1"), tare::error);
    CHECK_THROWS_AS(resampler(1, 2, {.zeros = 0}), tare::error);
    std::vector<float> x(8), y(20);
    CHECK_THROWS_WITH_AS(resampler(2, 1).apply({x.data(), 1, 8}, {y.data(), 1, 5}),
                         doctest::Contains("at most 4 columns"), tare::error);
    CHECK_THROWS_AS(resampler(2, 1).apply({x.data(), 1, 0}, {y.data(), 1, 0}), tare::error);
}
