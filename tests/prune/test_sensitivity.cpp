// SPDX-License-Identifier: MIT
// The sensitivity scan: what it measures, what it puts back, what it proposes.
#include <limits>

#include <doctest/doctest.h>

#include <tare/prune/sensitivity.hpp>

using namespace tare;
using prune::sensitivity_curve;

TEST_CASE("a measurement prunes the tensor and puts it back") {
    std::vector<float> w{1.0F, -2.0F, 3.0F, -4.0F};
    const std::vector<float> before = w;
    const std::vector<double> shares{0.25, 0.5};
    std::vector<extent> zeros;
    const sensitivity_curve c = prune::measure_sensitivity("w", w, shares, [&] {
        zeros.push_back(std::count(w.begin(), w.end(), 0.0F));
        return 10.0 + static_cast<double>(zeros.back());
    });
    CHECK(w == before);
    CHECK(zeros == std::vector<extent>{1, 2});
    CHECK(c.points[1].perplexity == 12.0);
    CHECK_THROWS(static_cast<void>(
        prune::measure_sensitivity("w", w, shares, [&]() -> double { throw error("stop"); })));
    CHECK(w == before);
}

TEST_CASE("the largest sparsity under a bound is linear between points and ignores later dips") {
    const sensitivity_curve c{"w", 10, {{0.2, 12.0}, {0.4, 16.0}, {0.6, 11.0}}};
    CHECK(c.largest_below(14.0, 10.0) == doctest::Approx(0.3));
    CHECK(c.largest_below(10.0, 10.0) == doctest::Approx(0.0));
    CHECK(c.largest_below(20.0, 10.0) == doctest::Approx(0.6));
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(sensitivity_curve{"w", 1, {{0.5, nan}}}.largest_below(1e9, 1.0) == 0.0);
}

TEST_CASE("a plan reaches its target with one bound for all tensors") {
    const std::vector<sensitivity_curve> curves{{"hard", 100, {{0.5, 20.0}, {0.9, 60.0}}},
                                                {"easy", 300, {{0.5, 11.0}, {0.9, 15.0}}}};
    const prune::sparsity_plan plan = prune::propose(curves, 10.0, 0.4, 500);
    CHECK(plan.sparsity >= 0.4);
    CHECK(plan.sparsity == doctest::Approx(0.4).epsilon(1e-5));
    CHECK(plan.tensors[1].second > plan.tensors[0].second);
    CHECK(curves[0].largest_below(plan.bound, 10.0) == plan.tensors[0].second);
    CHECK_THROWS_WITH_AS(static_cast<void>(prune::propose(curves, 10.0, 0.8, 500)),
                         doctest::Contains("reach"), error);
}
