// SPDX-License-Identifier: MIT
// The updates against their formulas, value by value in double, and the global norm.
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/train/adamw.hpp>
#include <tare/train/clip.hpp>
#include <tare/train/sgd.hpp>

#include "golden.hpp"

using namespace tare;

namespace {

/// Weights of size 1 after a few updates of at most 0.01: each rounds to half a unit in the last
/// place of 1 (6e-8) a few times.
constexpr double tolerance = 1e-6;
constexpr train::update_step first_of(extent number) {
    return {number, 0.01, 0.5F};
}

std::vector<float> draw(std::size_t n, std::uint64_t stream) {
    std::vector<float> out(n);
    for (std::size_t i = 0; i < n; ++i)
        out[i] = random_stream(7, stream).normal(i);
    return out;
}

/// Four updates of n weights starting at an offset of one float: packs are never aligned.
template <class Optimizer, class Reference>
void compare(const Optimizer& optimizer, std::size_t n, const Reference& reference) {
    INFO(Optimizer::name, " ", n);
    std::vector<float> weight = draw(n + 1, 1);
    std::vector<std::vector<float>> state(Optimizer::moments.size(), std::vector<float>(n + 1));
    std::vector<double> exact(weight.begin(), weight.end());
    std::vector<std::vector<double>> exact_state(state.size(), std::vector<double>(n + 1));
    for (extent t = 1; t <= 4; ++t) {
        const std::vector<float> g = draw(n + 1, 10 + static_cast<std::uint64_t>(t));
        std::vector<std::span<float>> spans;
        for (std::vector<float>& m : state)
            spans.push_back(std::span(m).subspan(1));
        optimizer.update(std::span(weight).subspan(1), std::span<const float>(g).subspan(1), spans,
                         first_of(t));
        for (std::size_t i = 1; i <= n; ++i)
            reference(exact[i], 0.5 * static_cast<double>(g[i]), exact_state, i, t);
    }
    for (std::size_t i = 0; i <= n; ++i)
        CHECK(std::abs(static_cast<double>(weight[i]) - exact[i]) <= tolerance);
}

constexpr std::size_t sizes[] = {0, 1, 15, 16, 17, 97, 1000};

}  // namespace

TEST_CASE("updates follow their formulas at every size") {
    const auto adam = [](double& w, double g, auto& s, std::size_t i, extent t) {
        s[0][i] = 0.9 * s[0][i] + 0.1 * g;
        s[1][i] = 0.999 * s[1][i] + 0.001 * g * g;
        const double m = s[0][i] / (1.0 - std::pow(0.9, static_cast<double>(t)));
        const double v = s[1][i] / (1.0 - std::pow(0.999, static_cast<double>(t)));
        w -= 0.01 * m / (std::sqrt(v) + 1e-8);
    };
    for (const std::size_t n : sizes) {
        compare(train::adam{}, n, adam);
        compare(train::adamw{{}, 0.1}, n,
                [&](double& w, double g, auto& s, std::size_t i, extent t) {
                    w *= 1.0 - 0.01 * 0.1;
                    adam(w, g, s, i, t);
                });
        compare(train::sgd{0.8, 0.05}, n, [](double& w, double g, auto& s, std::size_t i, extent) {
            s[0][i] = 0.8 * s[0][i] + g + 0.05 * w;
            w -= 0.01 * s[0][i];
        });
    }
}

TEST_CASE("arrays that do not fit are refused") {
    std::vector<float> w(4), m(4), v(3);
    const std::vector<float> g(4);
    const std::vector<std::span<float>> one{m};
    const std::vector<std::span<float>> uneven{m, v};
    CHECK_THROWS_AS(train::adam{}.update(w, g, one, first_of(1)), error);
    CHECK_THROWS_AS(train::adam{}.update(w, g, uneven, first_of(1)), error);
    CHECK_THROWS_AS(train::sgd{}.update(w, std::span(g).first(3), one, first_of(1)), error);
    const std::vector<std::span<float>> both{m, m};
    CHECK_THROWS_AS(train::adam{}.update(w, g, both, first_of(0)), error);
}

TEST_CASE("the global norm is exact where it can be and the same for any threads") {
    const std::vector<float> a{3.0F};
    const std::vector<float> b{0.0F, -4.0F};
    const std::vector<std::span<const float>> both{a, b};
    CHECK(train::global_norm(both) == 5.0);
    CHECK(train::global_norm({}) == 0.0);
    const std::vector<float> huge(2, 1e30F);
    CHECK(train::sum_of_squares(huge) == doctest::Approx(2e60));
    const std::vector<float> many = draw(1'000'003, 3);
    const double alone = train::sum_of_squares(many);
    set_threads(4);
    CHECK(train::sum_of_squares(many) == alone);
    set_threads(1);
    double plain = 0.0;
    for (const float v : many)
        plain += static_cast<double>(v) * static_cast<double>(v);
    // n additions of positive numbers in double: relative error below n 2^-53.
    CHECK(std::abs(alone - plain) <= plain * 1e6 * 0x1p-53);
}

TEST_CASE("clipping scales only what is longer than the limit") {
    CHECK(train::clip_factor(0.4, 0.5) == 1.0F);
    CHECK(train::clip_factor(2.0, 0.5) == doctest::Approx(0.25));
    CHECK(train::clip_factor(1e9, 0.0) == 1.0F);
    CHECK(train::clip_factor(0.0, 0.5) == 1.0F);
}

namespace {

/// Updates of an array whose values and gradients stand in an archive, from number 1 on.
struct golden_updates {
    io::npz_archive archive;
    std::string weight;
    std::string gradient;
    int first_gradient;  ///< its number in the gradients' names
};

void check_golden(const golden_updates& g, double decay, double rate, double rate_step) {
    const auto numbered = [&](const std::string& name, int i) {
        return testing::values<float>(g.archive, message(name, i));
    };
    std::vector<float> w = numbered(g.weight, 0);
    std::vector<float> m(w.size()), v(w.size());
    const std::vector<std::span<float>> moments{m, v};
    const train::adamw adam{{0.9, 0.98, 1e-8, true}, decay};
    int t = 1;
    for (; g.archive.contains(message(g.weight, t)); ++t) {
        const std::vector<float> gradient = numbered(g.gradient, t - 1 + g.first_gradient);
        adam.update(w, gradient, moments, {t, rate + rate_step * (t - 1), 1.0F});
        const std::vector<float> want = numbered(g.weight, t);
        for (std::size_t i = 0; i < w.size(); ++i)
            CHECK(std::abs(w[i] - want[i]) <= static_cast<float>(tolerance));
    }
    CHECK(t > 3);
}

}  // namespace

TEST_CASE("Adam with epsilon before the correction equals the reference") {
    check_golden({testing::golden("daq/misc.npz"), "adam.p", "adam.g", 1}, 1e-4, 1e-3, 0.0);
    check_golden({testing::golden("pet/schedule.npz"), "adam.p", "adam.g", 0}, 1e-2, 5e-4, 5e-4);
}

TEST_CASE("where epsilon is added matters for the smallest gradients only") {
    const std::vector<float> g{1e-8F, 1.0F};
    const auto step = [&](bool first) {
        std::vector<float> w(2), m(2), v(2);
        const std::vector<std::span<float>> moments{m, v};
        train::adam{0.9, 0.98, 1e-8, first}.update(w, g, moments, {1, 0.01, 1.0F});
        return w;
    };
    // m / (1 - b1) = g and sqrt(v / (1 - b2)) = |g|: g / (|g| + epsilon) against
    // g / (|g| + epsilon / sqrt(1 - b2)).
    CHECK(step(false)[0] == doctest::Approx(-0.01 * 0.5));
    CHECK(step(true)[0] == doctest::Approx(-0.01 / (1.0 + 1.0 / std::sqrt(0.02))));
    CHECK(step(true)[1] == doctest::Approx(-0.01));
}
