// SPDX-License-Identifier: MIT
// Losses over a vocabulary: by blocks of logits, by pieces of a row, and without the logits.
#include <limits>
#include <utility>

#include <tare/kernels/linear_log_softmax.hpp>
#include <tare/kernels/pick_log_softmax.hpp>
#include <tare/kernels/thin_log_softmax_backward.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

namespace {

/// Errors in units of 2^-24: twice the result, the sum's C / 2048 blocks and its 46 roundings; the
/// logits themselves are sums of K products of values below 3 and 1, each with an error of at most
/// (K + 2) 2^-24 sum |a b| <= (K + 2) 3 K 2^-24.
double bound_of(double result, extent columns, extent depth) {
    const auto c = static_cast<double>(columns);
    const auto k = static_cast<double>(depth);
    return std::ldexp(2.0 * std::abs(result) + c / 2048.0 + 46.0 + 6.0 * (k + 2.0) * k, -24);
}

struct layer_case {
    extent rows, columns, depth, extra;
    std::vector<float> x, w, bias, more;
    std::vector<std::int32_t> targets;

    layer_case(extent r, extent c, extent k, extent e)
        : rows(r),
          columns(c),
          depth(k),
          extra(e),
          x(uniform_values(r * k, 1)),
          w(uniform_values(c * k, 2, -1.0F, 1.0F)),
          bias(uniform_values(c, 3)),
          more(uniform_values(r * e, 4)) {
        for (extent i = 0; i < r; ++i)
            targets.push_back(static_cast<std::int32_t>(i * 7919 % (c + e)));
    }
    matrix_view<const float> more_view() const {
        return extra == 0 ? matrix_view<const float>{}
                          : matrix_view<const float>(more.data(), rows, extra);
    }
    std::vector<float> fast() const {
        std::vector<float> out(static_cast<std::size_t>(rows));
        const kernels::prepared_matrix packed({w.data(), columns, depth}, true);
        kernels::linear_log_softmax({x.data(), rows, depth}, packed, bias, more_view(), targets,
                                    out);
        return out;
    }
    /// The plain text in double.
    std::vector<double> exact() const {
        std::vector<double> z(static_cast<std::size_t>(rows * columns));
        const matrix_view<double> logits(z.data(), rows, columns);
        const std::vector<double> a = widen(x), b = widen(w), further = widen(more);
        kernels::matmul_reference<double>({a.data(), rows, depth}, {b.data(), columns, depth},
                                          logits, {.transpose_b = true});
        for (extent r = 0; r < rows; ++r)
            for (extent c = 0; c < columns; ++c)
                logits(r, c) += static_cast<double>(bias[static_cast<std::size_t>(c)]);
        std::vector<matrix_view<const double>> blocks{logits};
        if (extra > 0) blocks.emplace_back(further.data(), rows, extra);
        std::vector<double> out(targets.size()), top(out.size()), sum(out.size());
        kernels::plain::pick_log_softmax<double>(blocks, targets, out, {top, sum});
        return out;
    }
};

}  // namespace

TEST_CASE("a loss without logits is the loss of the logits") {
    for (const extent rows : {0, 1, 2, 47, 48, 49, 513})
        for (const auto& [columns, depth, extra] : {std::array<extent, 3>{1, 1, 0},
                                                    {33, 5, 2},
                                                    {257, 256, 2},
                                                    {2049, 4, 0},
                                                    {1025, 64, 1}}) {
            const layer_case c(rows, columns, depth, extra);
            CAPTURE(rows);
            CAPTURE(c.columns);
            const std::vector<float> got = c.fast();
            const std::vector<double> want = c.exact();
            for (std::size_t i = 0; i < want.size(); ++i)
                REQUIRE(std::abs(static_cast<double>(got[i]) - want[i]) <=
                        bound_of(want[i], columns + extra, depth));
        }
}

TEST_CASE("a loss without logits has the same bits for any threads") {
    const layer_case c(700, 3001, 37, 2);
    CHECK(same_for_any_threads([&] { return c.fast(); }));
}

TEST_CASE("a loss without logits passes on what is no number, and refuses what does not fit") {
    layer_case c(3, 40, 4, 2);
    c.x[5] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> got = c.fast();
    CHECK(!std::isnan(got[0]));
    CHECK(std::isnan(got[1]));
    c.targets[0] = 42;
    CHECK_THROWS_AS(c.fast(), error);
    c.targets[0] = -1;
    CHECK_THROWS_AS(c.fast(), error);
    c.targets[0] = 0;
    const kernels::prepared_matrix packed({c.w.data(), 40, 4}, true);
    std::vector<float> out(3), other(3);
    const auto run = [&](std::span<float> to, kernels::softmax_statistics<float> kept) {
        kernels::linear_log_softmax({c.x.data(), 3, 4}, packed, c.bias, {}, c.targets, to, kept);
    };
    CHECK_NOTHROW(run(out, {}));
    CHECK_THROWS_AS(run(out, {out, other}), error);
    CHECK_THROWS_AS(run(out, {other, other}), error);
    CHECK_THROWS_AS(run(out, {other, std::span(c.bias).first(3)}), error);
    CHECK_THROWS_AS(run(std::span(c.bias).first(3), {}), error);
    // Each size by itself.
    std::vector<float> kept_sums(3);
    const std::vector<float> bias = c.bias;
    const std::vector<std::int32_t> targets = c.targets;
    const auto sizes = [&](matrix_view<const float> x, std::span<const float> b,
                           matrix_view<const float> more, std::span<const std::int32_t> t,
                           std::span<float> to, kernels::softmax_statistics<float> kept) {
        kernels::linear_log_softmax(x, packed, b, more, t, to, kept);
    };
    const matrix_view<const float> x(c.x.data(), 3, 4);
    CHECK_NOTHROW(sizes(x, bias, c.more_view(), targets, out, {other, kept_sums}));
    CHECK_THROWS_AS(sizes({nullptr, 3, 4}, bias, {}, targets, out, {}), error);
    CHECK_THROWS_AS(sizes(x.columns_between(0, 3), bias, {}, targets, out, {}), error);
    CHECK_THROWS_AS(sizes(x, bias, {}, std::span(targets).first(2), out, {}), error);
    CHECK_THROWS_AS(sizes(x, bias, {}, targets, std::span(out).first(2), {}), error);
    CHECK_THROWS_AS(sizes(x, bias, c.more_view().rows_between(0, 2), targets, out, {}), error);
    CHECK_THROWS_AS(sizes(x, bias, {}, targets, out, {std::span(other).first(2), kept_sums}),
                    error);
    CHECK_THROWS_AS(sizes(x, bias, {}, targets, out, {other, std::span(kept_sums).first(2)}),
                    error);
    c.bias.pop_back();
    CHECK_THROWS_AS(c.fast(), error);
}

TEST_CASE("a loss without logits writes nowhere that it reads") {
    layer_case c(3, 40, 4, 2);
    const kernels::prepared_matrix packed({c.w.data(), 40, 4}, true);
    std::vector<float> out(9);
    const auto at = [&](std::size_t i) { return std::span(out).subspan(i, 3); };
    const auto run = [&](std::span<float> to, kernels::softmax_statistics<float> keep,
                         matrix_view<const float> more) {
        kernels::linear_log_softmax({c.x.data(), 3, 4}, packed, c.bias, more, c.targets, to, keep);
    };
    const matrix_view<const float> more = c.more_view();
    CHECK_NOTHROW(run(at(0), {at(3), at(6)}, more));
    CHECK_THROWS_AS(run(at(0), {at(2), at(6)}, more), error);
    CHECK_THROWS_AS(run(at(0), {at(3), at(1)}, more), error);
    CHECK_THROWS_AS(run(at(0), {at(3), at(4)}, more), error);
    CHECK_THROWS_AS(run(std::span(c.x).first(3), {}, more), error);
    CHECK_THROWS_AS(run(std::span(c.bias).first(3), {}, more), error);
    CHECK_THROWS_AS(run(at(0), {std::span(c.bias).first(3), at(3)}, more), error);
    CHECK_THROWS_AS(run(at(0), {}, {out.data() + 2, 3, 2}), error);
    CHECK_THROWS_AS(run(at(0), {}, {more.data, 3, 2, 1}), error);
}

TEST_CASE("blocks of logits give the loss and gradient of one row") {
    for (const extent n : awkward_sizes) {
        if (n == 0) continue;
        const extent rows = 5;
        const std::vector<float> a = uniform_values(rows * n, 6), b = uniform_values(rows * 2, 7);
        const std::vector<double> wide_a = widen(a), wide_b = widen(b);
        std::vector<std::int32_t> targets;
        for (extent r = 0; r < rows; ++r)
            targets.push_back(static_cast<std::int32_t>(r * 31 % (n + 2)));
        const std::vector<float> d_out = uniform_values(rows, 8);
        const std::vector<double> wide_d = widen(d_out);
        const auto run = [&]<class S>(const std::vector<S>& first, const std::vector<S>& second,
                                      const std::vector<S>& d, auto forward, auto backward) {
            const std::vector<matrix_view<const S>> blocks{{first.data(), rows, n},
                                                           {second.data(), rows, 2}};
            std::vector<S> out(targets.size()), top(out.size()), sum(out.size());
            forward(blocks, out, top, sum);
            std::vector<S> da(first.size(), S(0.25)), db(second.size(), S(0.5));
            const std::vector<matrix_view<S>> gradients{{da.data(), rows, n}, {db.data(), rows, 2}};
            backward(blocks, top, sum, d, gradients);
            out.insert(out.end(), da.begin(), da.end());
            out.insert(out.end(), db.begin(), db.end());
            return out;
        };
        const auto got = run(
            a, b, d_out,
            [&](auto& blocks, auto& out, auto& top, auto& sum) {
                kernels::pick_log_softmax(blocks, targets, out, {top, sum});
            },
            [&](auto& blocks, auto& top, auto& sum, auto& d, auto& gradients) {
                const std::vector<kernels::logit_gradient> to{{gradients[0]}, {gradients[1]}};
                kernels::pick_log_softmax_backward(blocks, targets, {top, sum}, d, to);
            });
        const auto started = run(
            a, b, d_out,
            [&](auto& blocks, auto& out, auto& top, auto& sum) {
                kernels::pick_log_softmax(blocks, targets, out, {top, sum});
            },
            [&](auto& blocks, auto& top, auto& sum, auto& d, auto& gradients) {
                const std::vector<kernels::logit_gradient> to{{gradients[0], true}, {gradients[1]}};
                kernels::pick_log_softmax_backward(blocks, targets, {top, sum}, d, to);
            });
        const auto want = run(
            wide_a, wide_b, wide_d,
            [&](auto& blocks, auto& out, auto& top, auto& sum) {
                kernels::plain::pick_log_softmax<double>(blocks, targets, out, {top, sum});
            },
            [&](auto& blocks, auto& top, auto& sum, auto& d, auto& gradients) {
                kernels::plain::pick_log_softmax_backward<double>(blocks, targets, {top, sum}, d,
                                                                  gradients);
            });
        for (std::size_t i = 0; i < want.size(); ++i)
            REQUIRE(std::abs(static_cast<double>(got[i]) - want[i]) <= bound_of(want[i], n + 2, 0));
        // A started gradient is what the other one has beyond its 0.25.
        for (std::size_t i = 0; i < want.size(); ++i) {
            const bool first =
                i >= static_cast<std::size_t>(rows) && i < static_cast<std::size_t>(rows * (n + 1));
            const double lacks = first ? 0.25 : 0.0;
            REQUIRE(std::abs(static_cast<double>(started[i]) + lacks - want[i]) <=
                    bound_of(want[i], n + 2, 0));
        }
    }
}

TEST_CASE("picked logarithms and their gradients have the same bits for any threads") {
    constexpr extent rows = 61, columns = 3001;
    const std::vector<float> z = uniform_values(rows * columns, 10), d = uniform_values(rows, 11);
    const std::vector<std::int32_t> targets(rows, 2999);
    const matrix_view<const float> block(z.data(), rows, columns);
    CHECK(same_for_any_threads([&] {
        std::vector<float> out(3 * rows + z.size());
        const std::span<float> top = std::span(out).subspan(rows, rows);
        const std::span<float> sum = std::span(out).subspan(2 * rows, rows);
        kernels::pick_log_softmax(std::span(&block, 1), targets, std::span(out).first(rows),
                                  {top, sum});
        const kernels::logit_gradient to{{out.data() + 3 * rows, rows, columns}, true};
        kernels::pick_log_softmax_backward(std::span(&block, 1), targets, {top, sum}, d,
                                           std::span(&to, 1));
        return out;
    }));
}

TEST_CASE("thin layers get the gradients of products around a softmax, without its logits") {
    for (const extent depth : {1, 3, 4, 5, 16}) {
        const std::pair<extent, extent> sizes[] = {{1, 1},  {3, 31},  {2, 32},
                                                   {5, 33}, {7, 515}, {2, 40000}};
        for (const auto& size : sizes) {
            const extent rows = size.first, columns = size.second;
            layer_case c(rows, columns, depth, 0);
            // Far below the zeros that stand behind the last column.
            for (float& b : c.bias)
                b -= 200.0F;
            const auto n = static_cast<std::size_t>(rows);
            const std::vector<float> d_out = uniform_values(rows, 8);
            const kernels::prepared_matrix packed({c.w.data(), columns, depth}, true);
            const auto run = [&] {
                std::vector<float> out(n), top(n), sum(n), dx(c.x.size()), dw(c.w.size(), 7.0F),
                    db(c.bias.size(), 7.0F);
                const matrix_view<const float> x(c.x.data(), rows, depth);
                kernels::linear_log_softmax(x, packed, c.bias, {}, c.targets, out, {top, sum});
                kernels::thin_log_softmax_backward(
                    x, packed, c.bias, c.targets, {top, sum}, d_out,
                    {{dx.data(), rows, depth}, {dw.data(), columns, depth}, db});
                dx.insert(dx.end(), dw.begin(), dw.end());
                dx.insert(dx.end(), db.begin(), db.end());
                return dx;
            };
            const std::vector<float> got = run();
            CHECK(same_for_any_threads(run));
            // The plain text in double.
            const std::vector<double> x = widen(c.x), w = widen(c.w), d = widen(d_out);
            std::vector<double> z(static_cast<std::size_t>(rows * columns)), dz(z.size());
            const matrix_view<double> logits(z.data(), rows, columns);
            const matrix_view<double> gradient(dz.data(), rows, columns);
            kernels::matmul_reference<double>({x.data(), rows, depth}, {w.data(), columns, depth},
                                              logits, {.transpose_b = true});
            for (extent r = 0; r < rows; ++r)
                for (extent k = 0; k < columns; ++k)
                    logits(r, k) += static_cast<double>(c.bias[static_cast<std::size_t>(k)]);
            const matrix_view<const double> block = logits;
            std::vector<double> out(n), top(n), sum(n);
            kernels::plain::pick_log_softmax<double>(std::span(&block, 1), c.targets, out,
                                                     {top, sum});
            kernels::plain::pick_log_softmax_backward<double>(
                std::span(&block, 1), c.targets, {top, sum}, d, std::span(&gradient, 1));
            std::vector<double> want(got.size());
            const matrix_view<double> dx(want.data(), rows, depth);
            const matrix_view<double> dw(want.data() + c.x.size(), columns, depth);
            const std::span<double> db =
                std::span(want).subspan(c.x.size() + c.w.size(), c.bias.size());
            kernels::matmul_reference<double>({dz.data(), rows, columns},
                                              {w.data(), columns, depth}, dx, {});
            kernels::matmul_reference<double>({dz.data(), rows, columns}, {x.data(), rows, depth},
                                              dw, {.transpose_a = true});
            for (std::size_t i = 0; i < dz.size(); ++i)
                db[i % db.size()] += dz[i];
            // A dz is off by its logit's error, 6 (K + 2) K 2^-24 relative, by the sum's C / 2048 +
            // 46, by 4 of its own and 200 of the bias; |dz| of a row adds up to at most 2 |d_out|
            // <= 6 and |x|, |w|
            // <= 3. A sum of n terms loses n more: columns / 32 + 40 in dx, rows in dw and db.
            const auto share = static_cast<double>(columns) / 32.0 +
                               static_cast<double>(6 * (depth + 2) * depth + rows) + 300.0;
            for (std::size_t i = 0; i < got.size(); ++i)
                REQUIRE(std::abs(static_cast<double>(got[i]) - want[i]) <=
                        std::ldexp(share * 6.0 * 3.0 * static_cast<double>(rows), -24));
        }
    }
}

TEST_CASE("gradients of thin layers check what they are given") {
    layer_case c(3, 40, 4, 0);
    const kernels::prepared_matrix packed({c.w.data(), 40, 4}, true);
    std::vector<float> top(3, 0.0F), sum(3, 1.0F), d(3), dx(12), dw(160), db(40);
    const matrix_view<const float> x(c.x.data(), 3, 4);
    const kernels::thin_gradients to{{dx.data(), 3, 4}, {dw.data(), 40, 4}, db};
    const auto run = [&](const kernels::thin_gradients& out, std::span<const float> up) {
        kernels::thin_log_softmax_backward(x, packed, c.bias, c.targets, {top, sum}, up, out);
    };
    CHECK_NOTHROW(run(to, d));
    CHECK_THROWS_AS(run(to, std::span(d).first(2)), error);
    CHECK_THROWS_AS(run({{dx.data(), 4, 3}, to.dw, to.db}, d), error);
    CHECK_THROWS_AS(run({to.dx, {dw.data(), 4, 40}, to.db}, d), error);
    CHECK_THROWS_AS(run({to.dx, to.dw, to.db.first(39)}, d), error);
    CHECK_THROWS_AS(run({{c.x.data() + 1, 3, 4}, to.dw, to.db}, d), error);
    CHECK_THROWS_AS(run({to.dx, {dx.data(), 40, 4}, to.db}, d), error);
    CHECK_THROWS_AS(run({to.dx, to.dw, c.bias}, d), error);
    CHECK_THROWS_AS(run({to.dx, to.dw, std::span(dw).first(40)}, d), error);
    CHECK_THROWS_AS(run({to.dx, to.dw, db}, std::span(db).first(3)), error);
    CHECK_THROWS_AS(run({{dw.data(), 3, 4}, to.dw, to.db}, d), error);
    CHECK_THROWS_AS(run({to.dx, to.dw, std::span(dw).last(40)}, d), error);
    CHECK_THROWS_AS(run({to.dx, {dw.data(), 40, 4}, to.db}, std::span(dw).last(3)), error);
    // Each of what is read by itself.
    const auto reads = [&](matrix_view<const float> from, std::span<const float> bias,
                           std::span<const std::int32_t> targets,
                           kernels::softmax_statistics<const float> kept) {
        kernels::thin_log_softmax_backward(from, packed, bias, targets, kept, d, to);
    };
    const std::span<const float> bias(c.bias);
    const std::span<const std::int32_t> targets(c.targets);
    const std::span<const float> tops(top);
    const std::span<const float> sums(sum);
    CHECK_THROWS_AS(reads({nullptr, 3, 4}, bias, targets, {tops, sums}), error);
    CHECK_THROWS_AS(reads(x, bias.first(39), targets, {tops, sums}), error);
    CHECK_THROWS_AS(reads(x, bias, targets.first(2), {tops, sums}), error);
    CHECK_THROWS_AS(reads(x, bias, targets, {tops.first(2), sums}), error);
    CHECK_THROWS_AS(reads(x, bias, targets, {tops, sums.first(2)}), error);
    CHECK_THROWS_AS(run({{nullptr, 3, 4}, to.dw, to.db}, d), error);
    CHECK_THROWS_AS(run({to.dx, {nullptr, 40, 4}, to.db}, d), error);
    c.targets[1] = 40;
    CHECK_THROWS_AS(run(to, d), error);
    const kernels::prepared_matrix deep({c.w.data(), 9, 17}, true);
    CHECK_THROWS_AS(kernels::thin_log_softmax_backward({c.w.data(), 3, 17}, deep, c.bias, c.targets,
                                                       {top, sum}, d, to),
                    error);
}

TEST_CASE("a row cut into pieces has the softmax of the whole") {
    for (const extent n : {1, 100, 8191, 8192, 8193, 50000}) {
        // Far apart, so that pieces have maxima of their own.
        std::vector<float> x = uniform_values(n, 9, -8.0F, 8.0F);
        x[static_cast<std::size_t>(n / 2)] = 20.0F;
        const std::vector<double> wide = widen(x);
        std::vector<double> want(x.size());
        kernels::plain::softmax<double>({wide.data(), 1, n}, {want.data(), 1, n});
        const auto run = [&] {
            std::vector<float> y(x.size());
            const kernels::piecewise_softmax row(x, y);
            row.finish(row.whole().maximum, 1.0F / row.whole().sum);
            return y;
        };
        const std::vector<float> got = run();
        for (std::size_t i = 0; i < x.size(); ++i)
            REQUIRE(std::abs(static_cast<double>(got[i]) - want[i]) <=
                    std::ldexp(want[i] * (static_cast<double>(n) / 2048.0 + 46.0), -24) + 1e-38);
        CHECK(same_for_any_threads(run));
    }
}

TEST_CASE("parts of a softmax join in any constellation") {
    const float infinite = std::numeric_limits<float>::infinity();
    const kernels::softmax_part none{}, some{2.0F, 3.0F}, high{infinite, std::nanf("")};
    CHECK(kernels::join(none, some).sum == 3.0F);
    CHECK(kernels::join(some, none).sum == 3.0F);
    CHECK(kernels::join(none, none).sum == 0.0F);
    CHECK(std::isnan(kernels::join(some, high).sum));
    CHECK(std::isnan(kernels::join(high, some).sum));
}
