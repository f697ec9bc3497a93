// SPDX-License-Identifier: MIT
#include <limits>

#include <tare/kernels/layer_norm.hpp>
#include <tare/kernels/layer_norm_backward.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

constexpr double u = 0x1p-24;
constexpr float eps = 1e-5F;
const std::vector<extent> widths = {1, 2, 15, 16, 17, 33, 64, 100, 256, 257, 2049};

struct problem {
    extent rows;
    extent columns;
    std::vector<float> x, gamma, beta, dy;

    problem(extent rows_, extent columns_, float center)
        : rows(rows_),
          columns(columns_),
          x(uniform_values(rows * columns, 61, center - 2.0F, center + 2.0F)),
          gamma(uniform_values(columns, 62)),
          beta(uniform_values(columns, 63)),
          dy(uniform_values(rows * columns, 64)) {}
    [[nodiscard]] matrix_view<const float> in() const { return {x.data(), rows, columns}; }
    [[nodiscard]] matrix_view<const float> up() const { return {dy.data(), rows, columns}; }
};

}  // namespace

TEST_CASE("layer norm agrees with the plain form in double") {
    for (const extent columns : widths) {
        for (const extent rows : {1, 3, 4, 5, 9}) {
            for (const float center : {0.0F, 10.0F}) {
                const problem p(rows, columns, center);
                guarded_matrix in(rows, columns);
                guarded_matrix out(rows, columns, 2);
                in.fill(p.x);
                std::vector<float> mean(static_cast<std::size_t>(rows));
                std::vector<float> rstd(mean.size());
                kernels::layer_norm(in.view(), p.gamma, p.beta, eps, out.view(), {mean, rstd});
                const auto y = out.dense();
                CHECK(out.intact());

                const auto xd = widen(p.x);
                const auto gd = widen(p.gamma);
                const auto bd = widen(p.beta);
                std::vector<double> want(xd.size());
                std::vector<double> want_mean(mean.size());
                std::vector<double> want_rstd(mean.size());
                kernels::plain::layer_norm<double>(
                    {xd.data(), rows, columns}, gd, bd, static_cast<double>(eps),
                    {want.data(), rows, columns}, {want_mean, want_rstd});
                for (std::size_t i = 0; i < want.size(); ++i) {
                    const std::size_t r = i / static_cast<std::size_t>(columns);
                    const std::size_t c = i % static_cast<std::size_t>(columns);
                    // The stated bound; |x - mean| <= 4, and the mean carries the rounding of x.
                    const double scale =
                        std::abs(gd[c]) * (1 + (std::abs(want_mean[r]) + 4) * want_rstd[r]);
                    const double bound = u * (4 * std::abs(want[i]) + 4 * std::abs(bd[c]) +
                                              (8 + static_cast<double>(columns) / 2048) * scale);
                    REQUIRE(std::abs(static_cast<double>(y[i]) - want[i]) <= bound);
                }
                kernels::layer_norm(in.view(), p.gamma, p.beta, eps, in.view());
                CHECK(same_bits(in.dense(), y));
            }
        }
    }
}

TEST_CASE("missing gamma and beta are one and zero") {
    const problem p(5, 50, 0.0F);
    const std::vector<float> ones(50, 1.0F);
    const std::vector<float> zeros(50, 0.0F);
    std::vector<float> want(p.x.size());
    std::vector<float> y(p.x.size());
    kernels::layer_norm(p.in(), ones, zeros, eps, {want.data(), 5, 50});
    kernels::layer_norm(p.in(), {}, {}, eps, {y.data(), 5, 50});
    CHECK(y == want);
    kernels::layer_norm(p.in(), ones, {}, eps, {y.data(), 5, 50});
    CHECK(y == want);
    kernels::layer_norm(p.in(), {}, zeros, eps, {y.data(), 5, 50});
    CHECK(y == want);
}

TEST_CASE("gradients agree with the plain form in double") {
    for (const extent columns : widths) {
        for (const extent rows : {1, 5, 64, 131}) {
            const problem p(rows, columns, 1.0F);
            std::vector<float> y(p.x.size());
            std::vector<float> mean(static_cast<std::size_t>(rows));
            std::vector<float> rstd(mean.size());
            kernels::layer_norm(p.in(), p.gamma, p.beta, eps, {y.data(), rows, columns},
                                {mean, rstd});
            std::vector<float> dgamma(p.gamma.size(), 0.5F);
            std::vector<float> dbeta(p.gamma.size(), -0.5F);
            kernels::layer_norm_backward(p.in(), p.gamma, mean, rstd, p.up(),
                                         {y.data(), rows, columns}, dgamma, dbeta);

            const auto xd = widen(p.x);
            const auto gd = widen(p.gamma);
            const auto md = widen(mean);
            const auto sd = widen(rstd);
            const auto dyd = widen(p.dy);
            std::vector<double> dx(xd.size());
            std::vector<double> want_gamma(gd.size(), 0.5);
            std::vector<double> want_beta(gd.size(), -0.5);
            kernels::plain::layer_norm_backward<double>(
                {xd.data(), rows, columns}, gd, md, sd, {dyd.data(), rows, columns},
                {dx.data(), rows, columns}, want_gamma, want_beta);
            for (std::size_t i = 0; i < dx.size(); ++i) {
                // |g| <= 9; rstd is large (1 / sqrt(eps)) only for rows of one column.
                const double size = sd[i / static_cast<std::size_t>(columns)] * 9;
                REQUIRE(std::abs(static_cast<double>(y[i]) - dx[i]) <= 40 * u * size * 3);
            }
            // Sums of R terms below 3 * |h| (|h| <= 4), 64 + R / 64 additions deep.
            const double bound = u * (70 + static_cast<double>(rows)) * 12;
            for (std::size_t c = 0; c < want_gamma.size(); ++c) {
                REQUIRE(std::abs(static_cast<double>(dgamma[c]) - want_gamma[c]) <= bound);
                REQUIRE(std::abs(static_cast<double>(dbeta[c]) - want_beta[c]) <= bound);
            }
        }
    }
}

TEST_CASE("the gradient is the slope of the result") {
    problem p(2, 19, 0.0F);
    auto x = widen(p.x);
    const auto gamma = widen(p.gamma);
    const auto beta = widen(p.beta);
    const auto dy = widen(p.dy);
    std::vector<double> y(x.size()), dx(x.size()), mean(2), rstd(2), none(19), other(19);
    const auto loss = [&] {
        kernels::plain::layer_norm<double>({x.data(), 2, 19}, gamma, beta, 1e-5, {y.data(), 2, 19},
                                           {mean, rstd});
        double sum = 0;
        for (std::size_t i = 0; i < y.size(); ++i)
            sum += y[i] * dy[i];
        return sum;
    };
    loss();
    kernels::plain::layer_norm_backward<double>(
        {x.data(), 2, 19}, gamma, mean, rstd, {dy.data(), 2, 19}, {dx.data(), 2, 19}, none, other);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double before = x[i];
        x[i] = before + 1e-5;
        const double up = loss();
        x[i] = before - 1e-5;
        const double down = loss();
        x[i] = before;
        // Central differences in double: 1e-10 of truncation and 1e-10 of rounding on sums of 100.
        REQUIRE(std::abs((up - down) / 2e-5 - dx[i]) <= 1e-8);
    }
}

TEST_CASE("any number of threads gives the same layer norm and gradients") {
    const problem p(517, 256, 0.0F);
    CHECK(same_for_any_threads([&] {
        std::vector<float> out(2 * p.x.size() + 512 + 2 * 517, 0.0F);
        const std::span<float> all(out);
        const auto mean = all.subspan(2 * p.x.size() + 512, 517);
        const auto rstd = all.subspan(2 * p.x.size() + 512 + 517, 517);
        kernels::layer_norm(p.in(), p.gamma, p.beta, eps, {out.data(), 517, 256}, {mean, rstd});
        kernels::layer_norm_backward(
            p.in(), p.gamma, mean, rstd, p.up(), {out.data() + p.x.size(), 517, 256},
            all.subspan(2 * p.x.size(), 256), all.subspan(2 * p.x.size() + 256, 256));
        return out;
    }));
}

TEST_CASE("an infinity spoils its row only, subnormal rows stay finite") {
    for (const extent columns : {1, 16, 40, 257}) {
        problem p(6, columns, 0.0F);
        const auto at = static_cast<std::size_t>(columns);
        p.x[3 * at] = std::numeric_limits<float>::infinity();
        for (std::size_t c = 0; c < at; ++c)
            p.x[4 * at + c] = c % 2 == 0 ? 0x1p-149F : -0x1p-140F;
        std::vector<float> y(p.x.size());
        kernels::layer_norm(p.in(), p.gamma, p.beta, eps, {y.data(), 6, columns});
        for (std::size_t i = 0; i < y.size(); ++i)
            CHECK(std::isfinite(y[i]) == (i / at != 3));
        // Far below eps: what is left is beta, but for a part of 2^-120 or so.
        for (std::size_t c = 0; c < at; ++c)
            CHECK(y[4 * at + c] == p.beta[c]);
    }
}

TEST_CASE("a NaN spoils its row only, and wrong shapes are errors") {
    problem p(6, 40, 0.0F);
    p.x[2 * 40 + 7] = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> y(p.x.size());
    kernels::layer_norm(p.in(), p.gamma, p.beta, eps, {y.data(), 6, 40});
    for (std::size_t i = 0; i < y.size(); ++i)
        CHECK(std::isnan(y[i]) == (i / 40 == 2));
    CHECK_THROWS_AS(
        kernels::layer_norm(p.in(), std::span(p.gamma).first(39), p.beta, eps, {y.data(), 6, 40}),
        error);
    CHECK_THROWS_AS(kernels::layer_norm(p.in(), p.gamma, p.beta, -1.0F, {y.data(), 6, 40}), error);
}
