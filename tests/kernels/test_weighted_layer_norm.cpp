// SPDX-License-Identifier: MIT
#include <limits>

#include <tare/kernels/weighted_layer_norm.hpp>
#include <tare/kernels/weighted_layer_norm_backward.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

constexpr double u = 0x1p-24;
constexpr float eps = 1e-5F;

struct problem {
    extent rows;
    extent columns;
    std::vector<float> x, weight, gamma, beta, dy;

    problem(extent rows_, extent columns_)
        : rows(rows_),
          columns(columns_),
          x(uniform_values(rows * columns, 71)),
          weight(uniform_values(columns, 72, 0.3F, 1.0F)),
          gamma(uniform_values(columns, 73)),
          beta(uniform_values(columns, 74)),
          dy(uniform_values(rows * columns, 75)) {}
};

/// Everything forward and backward gives, in one list: y, dx, dweight, dgamma, dbeta.
template <class Scalar>
std::vector<Scalar> run_plain(const problem& p, bool weighted, extent created) {
    const auto cast = [](const std::vector<float>& v) {
        return std::vector<Scalar>(v.begin(), v.end());
    };
    const auto x = cast(p.x);
    const auto weight = weighted ? cast(p.weight) : std::vector<Scalar>();
    const auto gamma = cast(p.gamma);
    const auto beta = cast(p.beta);
    const auto dy = cast(p.dy);
    const std::size_t size = x.size();
    const std::size_t n = gamma.size();
    const auto rows = static_cast<std::size_t>(p.rows);
    std::vector<Scalar> out(2 * size + 3 * n);
    std::vector<Scalar> mean(rows), deviation(rows);
    const std::span<Scalar> all(out);
    kernels::plain::weighted_layer_norm<Scalar>({x.data(), p.rows, p.columns}, weight, created,
                                                gamma, beta, Scalar(eps),
                                                {out.data(), p.rows, p.columns}, {mean, deviation});
    kernels::plain::weighted_layer_norm_backward<Scalar>(
        {x.data(), p.rows, p.columns}, weight, created, gamma, Scalar(eps), {mean, deviation},
        {dy.data(), p.rows, p.columns},
        {{out.data() + size, p.rows, p.columns},
         all.subspan(2 * size, n),
         all.subspan(2 * size + n, n),
         all.subspan(2 * size + 2 * n, n)});
    return out;
}
std::vector<float> run_fast(const problem& p, bool weighted, extent created) {
    const std::size_t size = p.x.size();
    const std::size_t n = p.gamma.size();
    const auto rows = static_cast<std::size_t>(p.rows);
    std::vector<float> out(2 * size + 3 * n);
    std::vector<float> mean(rows), deviation(rows);
    const std::span<float> all(out);
    const std::span<const float> weight =
        weighted ? std::span<const float>(p.weight) : std::span<const float>();
    kernels::weighted_layer_norm({p.x.data(), p.rows, p.columns}, weight, created, p.gamma, p.beta,
                                 eps, {out.data(), p.rows, p.columns}, {mean, deviation});
    kernels::weighted_layer_norm_backward({p.x.data(), p.rows, p.columns}, weight, created, p.gamma,
                                          eps, {mean, deviation}, {p.dy.data(), p.rows, p.columns},
                                          {{out.data() + size, p.rows, p.columns},
                                           all.subspan(2 * size, n),
                                           all.subspan(2 * size + n, n),
                                           all.subspan(2 * size + 2 * n, n)});
    return out;
}

}  // namespace

TEST_CASE("the weighted layer norm and its gradients agree with the plain form in double") {
    for (const extent columns : {3, 15, 16, 17, 40, 257}) {
        for (const extent rows : {1, 5, 67}) {
            const problem p(rows, columns);
            for (const bool weighted : {true, false}) {
                const extent created = weighted ? 0 : columns + 7;
                const auto fast = run_fast(p, weighted, created);
                const auto want = run_plain<double>(p, weighted, created);
                // Results of size 10 after sums of C terms; columns add R rows of size 30.
                const double bound =
                    u * (60 + static_cast<double>(rows) + static_cast<double>(columns) / 8) * 60;
                for (std::size_t i = 0; i < want.size(); ++i)
                    REQUIRE(std::abs(static_cast<double>(fast[i]) - want[i]) <= bound);
            }
        }
    }
}

TEST_CASE("masking a column and removing it give the same result") {
    problem p(4, 20);
    problem removed(4, 13);
    std::vector<extent> kept;
    for (extent c = 0; c < 20; ++c) {
        const bool stays = c % 3 != 1;
        p.weight[static_cast<std::size_t>(c)] = stays ? 1.0F : 0.0F;
        if (stays) kept.push_back(c);
    }
    REQUIRE(kept.size() == 13);
    for (extent r = 0; r < 4; ++r) {
        for (std::size_t j = 0; j < 13; ++j) {
            const auto from = static_cast<std::size_t>(r * 20 + kept[j]);
            removed.x[static_cast<std::size_t>(r) * 13 + j] = p.x[from];
            removed.gamma[j] = p.gamma[static_cast<std::size_t>(kept[j])];
            removed.beta[j] = p.beta[static_cast<std::size_t>(kept[j])];
        }
    }
    const auto masked = run_plain<double>(p, true, 0);
    const auto small = run_plain<double>(removed, false, 0);
    for (std::size_t r = 0; r < 4; ++r) {
        for (std::size_t j = 0; j < 13; ++j)
            CHECK(masked[r * 20 + static_cast<std::size_t>(kept[j])] ==
                  doctest::Approx(small[r * 13 + j]).epsilon(1e-12));
    }
    // The other kind: columns multiplied by zero stand for absent ones.
    for (std::size_t i = 0; i < p.x.size(); ++i)
        p.x[i] *= p.weight[i % 20];
    const auto zeroed = run_plain<double>(p, false, 0);
    const auto absent = run_plain<double>(removed, false, 20);
    for (std::size_t r = 0; r < 4; ++r) {
        for (std::size_t j = 0; j < 13; ++j)
            CHECK(zeroed[r * 20 + static_cast<std::size_t>(kept[j])] ==
                  doctest::Approx(absent[r * 13 + j]).epsilon(1e-12));
    }
}

TEST_CASE("the gradients are the slopes of the result, also towards the weights") {
    problem p(2, 11);
    const auto loss = [&](const std::vector<double>& x, const std::vector<double>& weight) {
        const auto gamma = widen(p.gamma);
        std::vector<double> y(x.size());
        kernels::plain::weighted_layer_norm<double>({x.data(), 2, 11}, weight, 0, gamma, {},
                                                    static_cast<double>(eps), {y.data(), 2, 11});
        double sum = 0;
        for (std::size_t i = 0; i < y.size(); ++i)
            sum += y[i] * static_cast<double>(p.dy[i]);
        return sum;
    };
    const auto all = run_plain<double>(p, true, 0);
    const auto slope = [&](std::vector<double> x, std::vector<double> weight, bool of_weight,
                           std::size_t i) {
        double& v = of_weight ? weight[i] : x[i];
        const double before = v;
        v = before + 1e-5;
        const double up = loss(x, weight);
        v = before - 1e-5;
        return (up - loss(x, weight)) / 2e-5;
    };
    // Central differences in double: 1e-10 of truncation and 1e-10 of rounding on sums of 50.
    for (std::size_t i = 0; i < p.x.size(); ++i)
        REQUIRE(std::abs(slope(widen(p.x), widen(p.weight), false, i) - all[22 + i]) <= 1e-8);
    for (std::size_t i = 0; i < 11; ++i)
        REQUIRE(std::abs(slope(widen(p.x), widen(p.weight), true, i) - all[44 + i]) <= 1e-8);
}

TEST_CASE("a constant row has finite gradients") {
    problem p(1, 18);
    std::fill(p.x.begin(), p.x.end(), 2.0F);
    for (const float v : run_fast(p, true, 0))
        CHECK(std::isfinite(v));
}

TEST_CASE("a NaN or an infinity spoils its row only, subnormal rows stay finite") {
    problem p(5, 40);
    p.x[40] = std::numeric_limits<float>::quiet_NaN();
    p.x[2 * 40 + 39] = -std::numeric_limits<float>::infinity();
    std::fill_n(p.x.begin() + 3 * 40, 40, 0x1p-149F);
    for (const bool weighted : {false, true}) {
        std::vector<float> y(p.x.size());
        kernels::weighted_layer_norm(
            {p.x.data(), 5, 40}, weighted ? std::span<const float>(p.weight) : std::span<float>(),
            0, p.gamma, p.beta, eps, {y.data(), 5, 40});
        for (std::size_t i = 0; i < y.size(); ++i)
            CHECK(std::isnan(y[i]) == (i / 40 == 1 || i / 40 == 2));
    }
}

TEST_CASE("any number of threads gives the same bits") {
    const problem p(300, 256);
    CHECK(same_for_any_threads([&] { return run_fast(p, true, 0); }));
}

TEST_CASE("wrong widths are errors") {
    const problem p(2, 8);
    std::vector<float> y(16);
    CHECK_THROWS_AS(
        kernels::weighted_layer_norm({p.x.data(), 2, 8}, {}, 7, {}, {}, eps, {y.data(), 2, 8}),
        error);
    CHECK_THROWS_AS(kernels::weighted_layer_norm({p.x.data(), 2, 8}, std::span(p.weight).first(7),
                                                 0, {}, {}, eps, {y.data(), 2, 8}),
                    error);
}
