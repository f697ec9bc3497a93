// SPDX-License-Identifier: MIT
#include <limits>

#include <doctest/doctest.h>

#include <tare/kernels/attention_backward.hpp>

#include "attention_cases.hpp"

using namespace tare::testing;
using tare::extent;
using tare::kernels::no_attention_points;

namespace {

template <class Points>
void forward(attention_case<float>& c, const Points& points) {
    tare::kernels::attention_forward(c.layout, c.inputs(), c.out_like(c.out),
                                     c.probabilities_view(), c.mean_view(), points);
}
template <class Points>
void backward(attention_case<float>& c, const Points& points) {
    tare::kernels::attention_backward(c.layout, c.inputs(), c.probabilities_view(),
                                      c.out_like(c.d_out), c.gradients(), points);
}
template <class Points>
void run_plain(attention_case<double>& d, const Points& points) {
    tare::kernels::attention_forward_plain<double>(d.layout, d.inputs(), d.out_like(d.out),
                                                   d.probabilities_view(), d.mean_view(), points);
    tare::kernels::attention_backward_plain<double>(d.layout, d.inputs(), d.probabilities_view(),
                                                    d.out_like(d.d_out), d.gradients(), points);
}

template <class Points>
void check_against_plain(const attention_layout& layout, bool padded, const Points& points) {
    attention_case<float> c(layout, padded);
    attention_case<double> d(c);
    forward(c, points);
    backward(c, points);
    run_plain(d, points);
    const auto width = static_cast<double>(layout.key_width + layout.value_width);
    const double forward_bound = forward_tolerance(width);
    const double sums = static_cast<double>(std::max(layout.queries, layout.keys));
    const double backward_bound = backward_tolerance(width, sums);
    CHECK(distance(c.out, d.out) < forward_bound);
    CHECK(distance(c.probabilities, d.probabilities) < forward_bound);
    CHECK(distance(c.mean, d.mean) < forward_bound);
    CHECK(distance(c.dq, d.dq) < backward_bound);
    CHECK(distance(c.dk, d.dk) < backward_bound);
    CHECK(distance(c.dv, d.dv) < backward_bound);
}

}  // namespace

TEST_CASE("ordinary attention agrees with the plain form in double") {
    for (const bool causal : {false, true})
        for (const bool padded : {false, true})
            for (const extent queries : {1, 7, 8, 9, 33})
                for (const extent keys : {1, 8, 15, 16, 17, 61}) {
                    if (causal && keys < queries) continue;
                    CAPTURE(causal);
                    CAPTURE(padded);
                    CAPTURE(queries);
                    CAPTURE(keys);
                    check_against_plain({queries, keys, 2, 3, 5, 7, 0.0, causal}, padded,
                                        no_attention_points{});
                    check_against_plain({queries, keys, 1, 2, 24, 33, 0.5, causal}, padded,
                                        squaring_points{});
                }
    // Longer than a stretch of queries and than a group of the backward walk.
    check_against_plain({530, 70, 1, 1, 16, 16}, true, no_attention_points{});
    check_against_plain({130, 600, 1, 2, 64, 64, 0.0, true}, true, no_attention_points{});
}

TEST_CASE("ordinary attention gives the same bits for 1 to 4 threads, with or without extras") {
    attention_case<float> one({200, 210, 2, 3, 24, 24, 0.0, true}, true);
    forward(one, no_attention_points{});
    backward(one, no_attention_points{});
    for (const int threads : {1, 2, 3, 4}) {
        attention_case<float> c(one);
        c.forget_results();
        tare::set_threads(threads);
        forward(c, no_attention_points{});
        backward(c, no_attention_points{});
        tare::set_threads(1);
        CHECK(c.out == one.out);
        CHECK(c.probabilities == one.probabilities);
        CHECK(c.mean == one.mean);
        CHECK(c.dq == one.dq);
        CHECK(c.dk == one.dk);
        CHECK(c.dv == one.dv);
        c.forget_results();
        tare::set_threads(threads);
        tare::kernels::attention_forward(c.layout, c.inputs(), c.out_like(c.out));
        tare::set_threads(1);
        CHECK(c.out == one.out);
    }
}

TEST_CASE("a query without any allowed key gets zeros") {
    attention_case<float> c({4, 4, 1, 2, 3, 3, 0.0, true}, true);
    c.padding = {1, 1, 0, 0};
    forward(c, no_attention_points{});
    backward(c, no_attention_points{});
    for (std::size_t i = 0; i < 12; ++i) {
        CHECK(c.out[i] == 0.0F);
        CHECK(c.dq[i] == 0.0F);
        CHECK(c.dk[i] == 0.0F);
    }
    CHECK(c.probabilities[static_cast<std::size_t>(2 * 2 * 4 + 2)] == 1.0F);
}

TEST_CASE("what a forbidden key holds does not matter") {
    for (const bool causal : {false, true}) {
        attention_case<float> clean({19, 19, 1, 1, 5, 6, 0.0, causal}, true);
        forward(clean, no_attention_points{});
        backward(clean, no_attention_points{});
        attention_case<float> dirty(clean);
        for (std::size_t j = 0; j < 19; ++j)
            if (dirty.padding[j] != 0) {
                dirty.k[5 * j] = std::numeric_limits<float>::quiet_NaN();
                dirty.v[6 * j] = std::numeric_limits<float>::infinity();
            }
        forward(dirty, no_attention_points{});
        backward(dirty, no_attention_points{});
        CHECK(dirty.out == clean.out);
        CHECK(dirty.dq == clean.dq);
        CHECK(dirty.dk == clean.dk);
        CHECK(dirty.dv == clean.dv);
    }
}

TEST_CASE("a NaN in a later key or value does not reach earlier queries") {
    attention_case<float> c({21, 21, 1, 1, 5, 6, 0.0, true}, false);
    const std::size_t at = 11;
    c.k[5 * at] = std::numeric_limits<float>::quiet_NaN();
    c.v[6 * at] = std::numeric_limits<float>::infinity();
    forward(c, no_attention_points{});
    for (std::size_t i = 0; i < c.out.size(); ++i)
        CHECK(std::isfinite(c.out[i]) == (i < 6 * at));
}

TEST_CASE("every entry of ordinary attention refuses each size and shape that does not fit") {
    using namespace tare::kernels;
    attention_case<float> c({4, 5, 1, 2, 3, 3}, true);
    forward(c, no_attention_points{});
    const auto in = c.inputs();
    const auto out = c.out_like(c.out);
    const auto d_out = c.out_like(c.d_out);
    const auto p = c.probabilities_view();
    const auto to = c.gradients();
    const auto none_takes = [&](const attention_layout& layout, const attention_inputs<float>& x) {
        const auto results = out.rows_between(0, std::max<extent>(0, layout.queries));
        CHECK_THROWS_AS(attention_forward(layout, x, results), tare::error);
        CHECK_THROWS_AS(attention_forward_plain<float>(layout, x, results), tare::error);
        CHECK_THROWS_AS(attention_backward(layout, x, p, d_out, to), tare::error);
        CHECK_THROWS_AS(attention_backward_plain<float>(layout, x, p, d_out, to), tare::error);
    };
    // No queries, in inputs and results alike: nothing but the size itself is wrong.
    attention_layout layout = c.layout;
    attention_inputs<float> x = in;
    layout.queries = 0;
    x.queries = in.queries.rows_between(0, 0);
    none_takes(layout, x);
    layout = c.layout;
    layout.scale = std::numeric_limits<double>::infinity();
    none_takes(layout, in);
    // Causal with fewer keys than queries, all shapes as the layout says.
    layout = c.layout;
    layout.causal = true;
    layout.keys = 3;
    x = in;
    x.keys = in.keys.rows_between(0, 3);
    x.values = in.values.rows_between(0, 3);
    x.padding = in.padding.columns_between(0, 3);
    none_takes(layout, x);
    const auto wrong = [&](auto attention_inputs<float>::*operand) {
        for (const auto& bad : {(in.*operand).rows_between(0, (in.*operand).rows - 1),
                                (in.*operand).columns_between(0, (in.*operand).columns - 1)}) {
            x = in;
            x.*operand = bad;
            if (bad.rows > 0) none_takes(c.layout, x);
        }
    };
    wrong(&attention_inputs<float>::queries);
    wrong(&attention_inputs<float>::keys);
    wrong(&attention_inputs<float>::values);
    wrong(&attention_inputs<float>::padding);
    const auto mean = c.mean_view();
    CHECK_THROWS_AS(attention_forward(c.layout, in, out, p.columns_between(0, 4)), tare::error);
    CHECK_THROWS_AS(attention_forward(c.layout, in, out, p, mean.columns_between(0, 4)),
                    tare::error);
    CHECK_THROWS_AS(attention_forward_plain<float>(c.layout, in, out, p.rows_between(0, 7)),
                    tare::error);
    const auto no_gradient = [&](auto probabilities, auto d, const auto& gradients) {
        CHECK_THROWS_AS(attention_backward(c.layout, in, probabilities, d, gradients), tare::error);
        CHECK_THROWS_AS(attention_backward_plain<float>(c.layout, in, probabilities, d, gradients),
                        tare::error);
    };
    no_gradient(p.columns_between(0, 4), d_out, to);
    no_gradient(p, d_out.rows_between(0, 3), to);
    auto narrow = to;
    narrow.values = to.values.columns_between(0, 5);
    no_gradient(p, d_out, narrow);
}

TEST_CASE("ordinary attention refuses what does not fit") {
    attention_case<float> c({4, 5, 1, 2, 3, 3}, true);
    const auto refused = [](auto&& call) { CHECK_THROWS_AS(call(), tare::error); };
    auto in = c.inputs();
    const auto out = c.out_like(c.out);
    refused([&] { tare::kernels::attention_forward_plain(c.layout, in, out.rows_between(0, 3)); });
    refused([&] {
        auto wrong = in;
        wrong.keys = wrong.keys.rows_between(0, 4);
        tare::kernels::attention_forward_plain(c.layout, wrong, out);
    });
    refused([&] { tare::kernels::attention_forward(c.layout, in, out.rows_between(0, 3)); });
    refused([&] { tare::kernels::attention_forward(c.layout, in, c.query_like(c.q)); });
    refused([&] { tare::kernels::attention_forward(c.layout, in, {}); });
    auto layout = c.layout;
    layout.heads = 0;
    refused([&] { tare::kernels::attention_forward(layout, in, out); });
    layout = c.layout;
    layout.keys = 3;
    refused([&] { tare::kernels::attention_forward(layout, in, out); });
    layout.causal = true;
    refused([&] { tare::kernels::attention_forward(layout, in, out); });
    in.padding.columns = 4;
    refused([&] { tare::kernels::attention_forward(c.layout, in, out); });
    in = c.inputs();
    in.keys.stride = std::numeric_limits<extent>::max() / 2;
    refused([&] { tare::kernels::attention_forward(c.layout, in, out); });
    layout = c.layout;
    layout.heads = extent{1} << 30;
    refused([&] { tare::kernels::attention_forward(layout, c.inputs(), out); });
    refused([&] {
        tare::kernels::attention_forward(c.layout, c.inputs(), out, {}, {c.out.data(), 4, 5});
    });
    auto gradients = c.gradients();
    gradients.queries = c.query_like(c.q);
    refused([&] {
        tare::kernels::attention_backward(c.layout, c.inputs(), c.probabilities_view(),
                                          c.out_like(c.d_out), gradients);
    });
}
