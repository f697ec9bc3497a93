// SPDX-License-Identifier: MIT
#include <limits>

#include <tare/kernels/reduce.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;
using kernels::plain::min_max;

namespace {

constexpr double u = 0x1p-24;
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

std::vector<extent> sizes() {
    std::vector<extent> out = awkward_sizes;
    out.insert(out.end(), {4095, 4097, 16383, 16384, 16385, 50021});
    return out;
}

}  // namespace

TEST_CASE("sums and products agree with double") {
    for (const extent n : sizes()) {
        std::vector<float> memory = uniform_values(n + 1, 81);
        const std::span<const float> x = std::span(memory).subspan(1);
        const auto y = uniform_values(n, 82);
        double sum = 0;
        double dot = 0;
        double sizes_sum = 0;
        double sizes_dot = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double product = static_cast<double>(x[i]) * static_cast<double>(y[i]);
            sum += static_cast<double>(x[i]);
            dot += product;
            sizes_sum += std::abs(static_cast<double>(x[i]));
            sizes_dot += std::abs(product);
        }
        CHECK(std::abs(static_cast<double>(kernels::sum(x)) - sum) <= 137 * u * sizes_sum);
        CHECK(std::abs(static_cast<double>(kernels::dot(x, y)) - dot) <= 138 * u * sizes_dot);
    }
    CHECK_THROWS_AS(static_cast<void>(kernels::dot(std::vector<float>(3), std::vector<float>(4))),
                    error);
}

TEST_CASE("the tree of a sum is the stated one") {
    // 16384 values: lane l of 128 holds the values l, l + 128, ...; then folds, then blocks.
    const auto x = uniform_values(20'000, 83);
    double total = 0;
    for (std::size_t block = 0; block < x.size(); block += 16384) {
        float lane[128] = {};
        for (std::size_t i = block; i < std::min<std::size_t>(x.size(), block + 16384); ++i)
            lane[(i - block) % 128] += x[i];
        float pack[16];
        for (std::size_t l = 0; l < 16; ++l)
            pack[l] = ((lane[l] + lane[l + 16]) + (lane[l + 32] + lane[l + 48])) +
                      ((lane[l + 64] + lane[l + 80]) + (lane[l + 96] + lane[l + 112]));
        for (std::size_t half = 8; half > 0; half /= 2) {
            for (std::size_t l = 0; l < half; ++l)
                pack[l] += pack[l + half];
        }
        total += static_cast<double>(pack[0]);
    }
    CHECK(kernels::sum(x) == static_cast<float>(total));
}

TEST_CASE("extremes and their positions are exact") {
    for (const extent n : sizes()) {
        if (n == 0) continue;
        const auto x = uniform_values(n, 84);
        const std::span<const float> view(x);
        const auto want = min_max(view);
        const auto got = kernels::min_max(x);
        CHECK(got.minimum == want.minimum);
        CHECK(got.maximum == want.maximum);
        CHECK(kernels::abs_max(x) == kernels::plain::abs_max(view));
        CHECK(kernels::arg_max(x) == kernels::plain::arg_max(view));
    }
    const std::vector<float> ties(40'000, 2.0F);
    CHECK(kernels::arg_max(ties) == 0);
    CHECK(kernels::min_max({}).minimum == infinity);
    CHECK(kernels::abs_max({}) == 0.0F);
    CHECK_THROWS_AS(static_cast<void>(kernels::arg_max({})), error);
}

TEST_CASE("a NaN at any place wins") {
    for (const extent n : {1, 15, 16, 40, 64, 129, 20'000}) {
        for (const extent at : {extent{0}, n / 2, n - 1}) {
            auto x = uniform_values(n, 85);
            x[static_cast<std::size_t>(at)] = not_a_number;
            CHECK(std::isnan(kernels::sum(x)));
            CHECK(std::isnan(kernels::abs_max(x)));
            CHECK(std::isnan(kernels::min_max(x).minimum));
            CHECK(std::isnan(kernels::min_max(x).maximum));
            CHECK(std::isnan(kernels::mean_and_variance(x).variance));
            CHECK(kernels::arg_max(x) == at);
        }
    }
    // The second stretch of a block holds the maximum, and a tie behind it.
    auto x = uniform_values(20'000, 90);
    x[1500] = x[1501] = x[17'000] = 9.0F;
    CHECK(kernels::arg_max(x) == 1500);
    std::vector<float> low(5000, -infinity);
    CHECK(kernels::arg_max(low) == 0);
    CHECK(kernels::min_max(low).maximum == -infinity);
}

TEST_CASE("mean and variance survive a mean far from zero") {
    for (const extent n : sizes()) {
        if (n == 0) continue;
        // Both forms of a block's deviations, and the middle of them.
        for (const float center : {0.0F, 0.25F, 0.3F, 1000.0F}) {
            const auto x = uniform_values(n, 86, center - 1.0F, center + 1.0F);
            const auto wide = widen(x);
            const auto want = kernels::plain::mean_and_variance(std::span<const double>(wide));
            const auto got = kernels::mean_and_variance(x);
            const double mean_bound = 137 * u * (std::abs(want.mean) + 1);
            CHECK(std::abs(static_cast<double>(got.mean) - want.mean) <= mean_bound);
            CHECK(std::abs(static_cast<double>(got.variance) - want.variance) <=
                  300 * u * want.variance + mean_bound * mean_bound);
        }
    }
}

TEST_CASE("the variance of very small and very large values is neither lost nor infinite") {
    for (const auto& [size, center] :
         {std::pair(1e-25F, 0.0F), {1e-18F, 0.0F}, {1e17F, 0.0F}, {1e17F, 50.0F}}) {
        auto x = uniform_values(1000, 89, center - 1.0F, center + 1.0F);
        for (float& v : x)
            v *= size;
        const auto want = kernels::plain::mean_and_variance(std::span<const double>(widen(x)));
        const auto got = static_cast<double>(kernels::mean_and_variance(x).variance);
        // Deviations below 2^-63 have subnormal squares, each rounded to 2^-150 or to nothing.
        const double mean_bound = 137 * u * (std::abs(want.mean) + static_cast<double>(size));
        CHECK(std::abs(got - want.variance) <=
              300 * u * want.variance + mean_bound * mean_bound + 0x1p-149);
    }
}

TEST_CASE("any number of threads gives the same reductions") {
    const auto x = uniform_values(1'000'003, 87);
    CHECK(same_for_any_threads([&] {
        const auto moments = kernels::mean_and_variance(x);
        const auto range = kernels::min_max(x);
        return std::vector<float>{kernels::sum(x),     kernels::dot(x, x),
                                  moments.mean,        moments.variance,
                                  range.minimum,       range.maximum,
                                  kernels::abs_max(x), static_cast<float>(kernels::arg_max(x))};
    }));
    CHECK(same_for_any_threads([&] {
        std::vector<std::int32_t> out(1000);
        kernels::arg_max_rows({x.data(), 1000, 1000}, out);
        return std::vector<float>(out.begin(), out.end());
    }));
}

TEST_CASE("arg_max of rows") {
    const auto x = uniform_values(30 * 100, 88);
    std::vector<std::int32_t> out(30);
    kernels::arg_max_rows({x.data(), 30, 100}, out);
    for (std::size_t r = 0; r < 30; ++r)
        CHECK(out[r] == kernels::plain::arg_max(std::span<const float>(x).subspan(r * 100, 100)));
    CHECK_THROWS_AS(kernels::arg_max_rows({x.data(), 30, 0}, out), error);
}
