// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>
#include <numeric>

#include <tare/kernels/layer_norm.hpp>
#include <tare/kernels/softmax.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

constexpr double u = 0x1p-24;
constexpr float infinity = std::numeric_limits<float>::infinity();

/// exp 1.2 ulp, the difference x - max half an ulp of it (|x - max| <= 12 here: 12 u), quotient and
/// product 1.5 ulp, sum of positive terms (C / 2048 + 40) u.
double softmax_bound(extent columns) {
    return (2 * (1.2 + 1.5) + 12 + static_cast<double>(columns) / 2048 + 40) * u;
}
double log_softmax_bound(extent columns, double y) {
    return u * (2 * std::abs(y) + 12 + static_cast<double>(columns) / 2048 + 44);
}

const std::vector<extent> widths = {1, 2, 15, 16, 17, 31, 64, 65, 97, 257, 2048, 2049, 4099};

}  // namespace

TEST_CASE("softmax and log-softmax agree with the plain form in double") {
    for (const extent columns : widths) {
        const auto x = uniform_values(5 * columns, 21, -6.0F, 6.0F);
        guarded_matrix in(5, columns);
        guarded_matrix out(5, columns, 1);
        in.fill(x);
        const std::vector<double> wide = widen(x);
        std::vector<double> p(wide.size());
        std::vector<double> l(wide.size());
        std::vector<double> s(5);
        const matrix_view<const double> xd(wide.data(), 5, columns);
        kernels::plain::softmax(xd, matrix_view<double>(p.data(), 5, columns));
        kernels::plain::log_softmax(xd, matrix_view<double>(l.data(), 5, columns));
        kernels::plain::log_sum_exp(xd, std::span<double>(s));

        kernels::softmax(in.view(), out.view());
        const auto got_p = out.dense();
        kernels::log_softmax(in.view(), out.view());
        const auto got_l = out.dense();
        std::vector<float> got_s(5);
        kernels::log_sum_exp(in.view(), got_s);
        CHECK(out.intact());
        for (std::size_t i = 0; i < p.size(); ++i) {
            REQUIRE(std::abs(static_cast<double>(got_p[i]) - p[i]) <=
                    softmax_bound(columns) * p[i]);
            REQUIRE(std::abs(static_cast<double>(got_l[i]) - l[i]) <=
                    log_softmax_bound(columns, l[i]));
        }
        for (std::size_t r = 0; r < 5; ++r)
            CHECK(std::abs(static_cast<double>(got_s[r]) - s[r]) <=
                  log_softmax_bound(columns, s[r]));
        kernels::softmax(in.view(), in.view());
        CHECK(same_bits(in.dense(), got_p));
        CHECK(in.intact());
    }
}

TEST_CASE("softmax rows sum to one") {
    const auto x = uniform_values(3 * 21500, 22, -30.0F, 30.0F);
    std::vector<float> y(x.size());
    kernels::softmax({x.data(), 3, 21500}, {y.data(), 3, 21500});
    for (std::size_t r = 0; r < 3; ++r) {
        const double sum =
            std::accumulate(y.begin() + static_cast<std::ptrdiff_t>(r * 21500),
                            y.begin() + static_cast<std::ptrdiff_t>((r + 1) * 21500), 0.0);
        CHECK(std::abs(sum - 1) <= softmax_bound(21500));
    }
}

TEST_CASE("masked columns get exactly zero, and a bad row only spoils itself") {
    for (const extent columns : {3, 16, 33, 100}) {
        auto x = uniform_values(4 * columns, 23);
        const auto at = [&](extent r, extent c) -> float& {
            return x[static_cast<std::size_t>(r * columns + c)];
        };
        for (extent c = 0; c + 1 < columns; ++c)
            at(0, c) = -infinity;
        for (extent c = 0; c < columns; ++c)
            at(1, c) = -infinity;
        at(2, columns - 1) = std::numeric_limits<float>::quiet_NaN();
        at(3, 0) = -infinity;
        std::vector<float> y(x.size());
        kernels::softmax({x.data(), 4, columns}, {y.data(), 4, columns});
        const auto n = static_cast<std::size_t>(columns);
        CHECK(std::count(y.begin(), y.begin() + columns, 0.0F) == columns - 1);
        CHECK(y[n - 1] == 1.0F);
        for (std::size_t c = 0; c < n; ++c) {
            CHECK(std::isnan(y[n + c]));
            CHECK(std::isnan(y[2 * n + c]));
            CHECK(std::isfinite(y[3 * n + c]));
        }
        std::vector<float> s(4);
        kernels::log_sum_exp({x.data(), 4, columns}, s);
        CHECK(s[0] == at(0, columns - 1));
        CHECK(s[1] == -infinity);
        CHECK(std::isnan(s[2]));
        at(3, 1) = infinity;
        kernels::log_sum_exp({x.data(), 4, columns}, s);
        CHECK(s[3] == infinity);
    }
}

TEST_CASE("gradients of softmax and log-softmax agree with the plain form in double") {
    // Sums of C products below 1 in blocks, times values below 1, then a few roundings of
    // values below 2 |dy| C.
    for (const extent columns : widths) {
        const auto dy = uniform_values(3 * columns, 31);
        auto y = uniform_values(3 * columns, 32);
        kernels::softmax({y.data(), 3, columns}, {y.data(), 3, columns});
        std::vector<float> dx(y.size());
        kernels::softmax_backward({y.data(), 3, columns}, {dy.data(), 3, columns},
                                  {dx.data(), 3, columns});
        const auto yd = widen(y);
        const auto dyd = widen(dy);
        std::vector<double> want(y.size());
        kernels::plain::softmax_backward({yd.data(), 3, columns}, {dyd.data(), 3, columns},
                                         matrix_view<double>(want.data(), 3, columns));
        const double bound = 3 * 60 * u;
        for (std::size_t i = 0; i < want.size(); ++i)
            REQUIRE(std::abs(static_cast<double>(dx[i]) - want[i]) <= bound);

        std::vector<float> l(y.size());
        kernels::log_softmax({y.data(), 3, columns}, {l.data(), 3, columns});
        const auto ld = widen(l);
        kernels::log_softmax_backward({l.data(), 3, columns}, {dy.data(), 3, columns},
                                      {dx.data(), 3, columns});
        kernels::plain::log_softmax_backward({ld.data(), 3, columns}, {dyd.data(), 3, columns},
                                             matrix_view<double>(want.data(), 3, columns));
        // The sum has C terms below 3: its error is at most 60 u 3 C, times a probability <= e / C.
        for (std::size_t i = 0; i < want.size(); ++i)
            REQUIRE(std::abs(static_cast<double>(dx[i]) - want[i]) <= 3 * 60 * 2.8 * u);
    }
}

TEST_CASE("any number of threads gives the same softmax") {
    const auto x = uniform_values(70 * 3502, 41, -9.0F, 9.0F);
    CHECK(same_for_any_threads([&] {
        std::vector<float> y(4 * x.size() + 70);
        const matrix_view<const float> in(x.data(), 70, 3502);
        const auto part = [&](std::size_t i) {
            return matrix_view<float>(y.data() + i * x.size(), 70, 3502);
        };
        kernels::softmax(in, part(0));
        kernels::log_softmax(in, part(1));
        kernels::softmax_backward(part(0), in, part(2));
        kernels::log_softmax_backward(part(1), in, part(3));
        kernels::log_sum_exp(in, std::span(y).last(70));
        return y;
    }));
}

TEST_CASE("large outputs, written past the caches, hold the bits of small ones") {
    // 4099 columns: every alignment of a row's beginning occurs.
    constexpr extent columns = 4099;
    const extent rows = static_cast<extent>(kernels::streaming_bytes / sizeof(float)) / columns + 1;
    const auto one = uniform_values(columns, 57);
    std::vector<float> x(static_cast<std::size_t>(rows * columns));
    for (extent r = 0; r < rows; ++r)
        std::copy(one.begin(), one.end(), x.begin() + r * columns);
    guarded_matrix y(rows, columns, 0);
    const auto check = [&](auto kernel) {
        std::vector<float> want(one.size());
        kernel(matrix_view<const float>(one.data(), 1, columns),
               matrix_view<float>(want.data(), 1, columns));
        kernel(matrix_view<const float>(x.data(), rows, columns), y.view());
        CHECK(y.intact());
        extent differing = 0;
        for (extent r = 0; r < rows; ++r)
            differing += !std::equal(want.begin(), want.end(), y.view().row(r).begin());
        CHECK(differing == 0);
    };
    check([](auto from, auto to) { kernels::softmax(from, to); });
    check([](auto from, auto to) { kernels::log_softmax(from, to); });
    check([](auto from, auto to) { kernels::layer_norm(from, {}, {}, 1e-5F, to); });
}

TEST_CASE("empty rows and shapes that differ") {
    std::vector<float> y(6);
    kernels::softmax({y.data(), 0, 3}, {y.data(), 0, 3});
    kernels::softmax({y.data(), 3, 0}, {y.data(), 3, 0});
    std::vector<float> s(2);
    kernels::log_sum_exp({y.data(), 2, 0}, s);
    CHECK(s[0] == -infinity);
    CHECK_THROWS_AS(kernels::softmax({y.data(), 2, 3}, {y.data(), 3, 2}), error);
    CHECK_THROWS_AS(kernels::softmax({nullptr, 2, 3}, {y.data(), 2, 3}), error);
    CHECK_THROWS_AS(kernels::softmax({y.data(), 2, 2}, {y.data() + 1, 2, 2}), error);
}
