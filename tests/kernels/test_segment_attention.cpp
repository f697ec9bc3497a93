// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>

#include <doctest/doctest.h>

#include <tare/kernels/segment_attention_backward.hpp>

#include "attention_cases.hpp"

using namespace tare::testing;
using tare::extent;
using tare::kernels::no_attention_points;

namespace {

template <class Points>
void forward(segment_case<float>& c, const Points& points) {
    tare::kernels::segment_attention_forward(c.layout, c.inputs(), c.out_like(c.out),
                                             c.probabilities_view(), points);
}
template <class Points>
void backward(segment_case<float>& c, const Points& points) {
    tare::kernels::segment_attention_backward(c.layout, c.inputs(), c.probabilities_view(),
                                              c.out_like(c.d_out), c.gradients(), points);
}

template <class Points>
void check_against_plain(const segment_layout& layout, bool has_memory, const Points& points) {
    segment_case<float> c(layout, has_memory);
    segment_case<double> d(c);
    forward(c, points);
    backward(c, points);
    tare::kernels::segment_attention_forward_plain<double>(layout, d.inputs(), d.out_like(d.out),
                                                           d.probabilities_view(), points);
    tare::kernels::segment_attention_backward_plain<double>(
        layout, d.inputs(), d.probabilities_view(), d.out_like(d.d_out), d.gradients(), points);
    const auto width = static_cast<double>(2 * layout.key_width + layout.value_width);
    const double forward_bound = forward_tolerance(width);
    CHECK(distance(c.out, d.out) < forward_bound);
    CHECK(distance(c.probabilities, d.probabilities) < forward_bound);
    const auto window = static_cast<double>(layout.entries());
    CHECK(distance(c.d_qkv, d.d_qkv) < backward_tolerance(width, window));
    CHECK(distance(c.d_memory, d.d_memory) < backward_tolerance(width, window));
    const auto readers = static_cast<double>(layout.tokens * layout.rows());
    CHECK(distance(c.d_positions, d.d_positions) < backward_tolerance(width, readers));
}

/// A policy that dims the output, to see that it is called.
struct halved_output : no_attention_points {
    static constexpr bool changes_output = true;
    template <class Scalar>
    void output(std::span<Scalar> o, extent row) const {
        for (Scalar& x : o)
            x = x / static_cast<Scalar>(row % 2 + 2);
    }
};

}  // namespace

TEST_CASE("segment attention agrees with the plain form in double") {
    for (const bool has_memory : {false, true})
        for (const bool empty : {false, true})
            for (const extent tokens : {1, 7, 8, 9, 41})
                for (const extent window : {1, 6, 7, 8, 15, 16, 31}) {
                    CAPTURE(has_memory);
                    CAPTURE(empty);
                    CAPTURE(tokens);
                    CAPTURE(window);
                    check_against_plain({tokens, 2, 3, 5, 3, window, 0.0, empty}, has_memory,
                                        no_attention_points{});
                    check_against_plain({tokens, 1, 2, 17, 50, window, 0.2, empty}, has_memory,
                                        squaring_points{});
                }
    // Longer than a stretch of the forward pass and than two groups of the backward one.
    check_against_plain({1040, 1, 1, 24, 24, 96}, true, no_attention_points{});
    check_against_plain({600, 1, 2, 4, 6, 250}, false, no_attention_points{});
}

TEST_CASE("segment attention gives the same bits for 1 to 4 threads, with or without extras") {
    segment_case<float> one({650, 2, 3, 24, 24, 96}, true);
    forward(one, no_attention_points{});
    backward(one, no_attention_points{});
    for (const int threads : {1, 2, 3, 4}) {
        segment_case<float> c(one);
        c.forget_results();
        tare::set_threads(threads);
        forward(c, no_attention_points{});
        backward(c, no_attention_points{});
        CHECK(c.out == one.out);
        CHECK(c.probabilities == one.probabilities);
        CHECK(c.d_qkv == one.d_qkv);
        CHECK(c.d_positions == one.d_positions);
        CHECK(c.d_memory == one.d_memory);
        c.forget_results();
        tare::kernels::segment_attention_forward(c.layout, c.inputs(), c.out_like(c.out));
        CHECK(c.out == one.out);
        c.forget_results();
        tare::kernels::segment_attention_forward(c.layout, c.inputs(), {}, c.probabilities_view());
        tare::set_threads(1);
        CHECK(c.probabilities == one.probabilities);
    }
}

TEST_CASE("what an earlier call left in memory does not matter") {
    // Blocks of rows read before the first position and behind the last, times weights of zero.
    for (const bool has_memory : {false, true})
        for (const extent tokens : {1, 5, 9, 41}) {
            const auto outputs_after = [&](float left) {
                segment_case<float> before({64, 1, 2, 6, 4, 12}, true);
                std::ranges::fill(before.qkv, left);
                std::ranges::fill(before.memory, left);
                forward(before, no_attention_points{});
                segment_case<float> c({tokens, 1, 2, 6, 4, 12}, has_memory);
                forward(c, no_attention_points{});
                backward(c, no_attention_points{});
                c.out.insert(c.out.end(), c.d_qkv.begin(), c.d_qkv.end());
                return c.out;
            };
            CHECK(outputs_after(std::numeric_limits<float>::quiet_NaN()) == outputs_after(1.0F));
        }
}

TEST_CASE("a chunk in two calls gives the bits of one") {
    for (const bool has_memory : {false, true})
        for (const extent half : {3, 12, 31}) {
            segment_case<float> c({50, 2, 2, 6, 4, 12}, has_memory);
            forward(c, no_attention_points{});
            const extent b = c.layout.batch;
            const extent kept = has_memory ? c.layout.window : std::min(c.layout.window, half);
            std::vector<float> next(c.memory.size());
            std::vector<float> out(c.out.size());
            auto layout = c.layout;
            auto in = c.inputs();
            layout.tokens = half;
            in.qkv = c.inputs().qkv.rows_between(0, half * b);
            tare::kernels::segment_attention_forward(layout, in,
                                                     c.out_like(out).rows_between(0, half * b));
            const auto memory = c.memory_like(next).rows_between(0, kept * b);
            tare::kernels::segment_memory(layout, in, memory);
            layout.tokens = 50 - half;
            in.qkv = c.inputs().qkv.rows_between(half * b, 50 * b);
            in.memory = memory;
            tare::kernels::segment_attention_forward(
                layout, in, c.out_like(out).rows_between(half * b, 50 * b));
            CHECK(out == c.out);
        }
}

TEST_CASE("rows of any stride are read and written in place") {
    const segment_layout layout{21, 2, 2, 5, 3, 9};
    segment_case<float> c(layout, true);
    forward(c, no_attention_points{});
    constexpr extent gap = 7;
    const auto widen = [](tare::matrix_view<const float> m) {
        std::vector<float> wide(static_cast<std::size_t>(m.rows * (m.columns + gap)), -7.0F);
        for (extent r = 0; r < m.rows; ++r)
            std::copy_n(&m(r, 0), m.columns,
                        &wide[static_cast<std::size_t>(r * (m.columns + gap))]);
        return wide;
    };
    const auto view = [](std::vector<float>& v, auto like) {
        return tare::matrix_view<float>(v.data(), like.rows, like.columns, like.columns + gap);
    };
    const auto in = c.inputs();
    std::vector<float> qkv = widen(in.qkv);
    std::vector<float> memory = widen(in.memory);
    std::vector<float> positions = widen(in.positions);
    std::vector<float> out = widen(c.out_like(c.d_out));
    const std::vector<float> expected = widen(c.out_like(c.out));
    tare::kernels::segment_attention_forward(
        layout, {view(qkv, in.qkv), view(memory, in.memory), view(positions, in.positions)},
        view(out, c.out_like(c.out)));
    CHECK(out == expected);
}

TEST_CASE("a NaN or infinity reaches exactly the rows whose window holds it") {
    for (const bool in_value : {false, true}) {
        const segment_layout layout{60, 1, 1, 4, 3, 11};
        segment_case<float> c(layout, true);
        const std::size_t at = 20;
        const std::size_t width = 2 * 4 + 3;
        c.qkv[at * width + (in_value ? 8 : 4)] = in_value ? std::numeric_limits<float>::infinity()
                                                          : std::numeric_limits<float>::quiet_NaN();
        forward(c, no_attention_points{});
        for (std::size_t t = 0; t < 60; ++t)
            CHECK(std::isfinite(c.out[3 * t]) == (t < at || t > at + 11));
    }
}

TEST_CASE("huge scores saturate to one entry and do not overflow") {
    segment_case<float> c({30, 1, 2, 4, 3, 8}, true);
    for (float& x : c.qkv)
        x *= 1e15F;
    forward(c, no_attention_points{});
    for (extent row = 0; row < 60; ++row) {
        float sum = 0.0F;
        for (extent j = 0; j < 9; ++j)
            sum += c.probabilities[static_cast<std::size_t>(row * 9 + j)];
        CHECK(sum == doctest::Approx(1.0F));
    }
}

TEST_CASE("a policy changes the output of each head's row") {
    segment_case<float> c({10, 1, 2, 4, 3, 8}, true);
    segment_case<float> halved(c);
    forward(c, no_attention_points{});
    forward(halved, halved_output{});
    for (std::size_t i = 0; i < c.out.size(); ++i)
        CHECK(halved.out[i] == c.out[i] / static_cast<float>(i / 3 % 2 + 2));
}

TEST_CASE("every entry of segment attention refuses each size and shape that does not fit") {
    using namespace tare::kernels;
    segment_case<float> c({6, 1, 2, 4, 3, 5}, true);
    forward(c, no_attention_points{});
    const auto in = c.inputs();
    const auto out = c.out_like(c.out);
    const auto d_out = c.out_like(c.d_out);
    const auto p = c.probabilities_view();
    const auto to = c.gradients();
    const auto none_takes = [&](const segment_layout& layout, const segment_inputs<float>& x) {
        const auto results = out.rows_between(0, layout.tokens);
        CHECK_THROWS_AS(segment_attention_forward(layout, x, results), tare::error);
        CHECK_THROWS_AS(segment_attention_forward_plain<float>(layout, x, results), tare::error);
        CHECK_THROWS_AS(segment_attention_backward(layout, x, p, d_out, to), tare::error);
        CHECK_THROWS_AS(segment_attention_backward_plain<float>(layout, x, p, d_out, to),
                        tare::error);
    };
    segment_layout layout = c.layout;
    segment_inputs<float> x = in;
    layout.tokens = 0;
    x.qkv = in.qkv.rows_between(0, 0);
    none_takes(layout, x);
    layout = c.layout;
    layout.scale = std::numeric_limits<double>::quiet_NaN();
    none_takes(layout, in);
    x = in;
    x.positions = in.positions.columns_between(0, 5);
    none_takes(c.layout, x);
    x = in;
    x.qkv = in.qkv.columns_between(0, in.qkv.columns - 1);
    none_takes(c.layout, x);
    x = in;
    x.qkv.stride = in.qkv.columns - 1;
    none_takes(c.layout, x);
    x = in;
    x.positions.data = nullptr;
    none_takes(c.layout, x);
    // More positions in memory than the window has.
    layout = c.layout;
    layout.window = 4;
    x = in;
    x.positions = in.positions.columns_between(0, 5);
    none_takes(layout, x);
    CHECK_THROWS_AS(segment_attention_forward_plain<float>(c.layout, in, out.rows_between(0, 5)),
                    tare::error);
    const auto no_gradient = [&](auto probabilities, auto d, const auto& gradients) {
        CHECK_THROWS_AS(segment_attention_backward(c.layout, in, probabilities, d, gradients),
                        tare::error);
        CHECK_THROWS_AS(
            segment_attention_backward_plain<float>(c.layout, in, probabilities, d, gradients),
            tare::error);
    };
    no_gradient(p.columns_between(0, 5), d_out, to);
    no_gradient(p, d_out.rows_between(0, 5), to);
    auto bad = to;
    bad.qkv = to.qkv.rows_between(0, 5);
    no_gradient(p, d_out, bad);
    bad = to;
    bad.positions = to.positions.columns_between(0, 5);
    no_gradient(p, d_out, bad);
    bad = to;
    bad.memory = to.memory.rows_between(0, 4);
    no_gradient(p, d_out, bad);
}

TEST_CASE("segment attention refuses what does not fit") {
    segment_case<float> c({6, 1, 2, 4, 3, 5}, true);
    const auto refused = [](auto&& call) { CHECK_THROWS_AS(call(), tare::error); };
    const auto in = c.inputs();
    const auto out = c.out_like(c.out);
    const auto p = c.probabilities_view();
    refused([&] { tare::kernels::segment_attention_forward(c.layout, in, {}); });
    refused(
        [&] { tare::kernels::segment_attention_forward(c.layout, in, out.rows_between(0, 5)); });
    refused([&] { tare::kernels::segment_attention_forward(c.layout, in, {c.qkv.data(), 6, 6}); });
    refused([&] {
        tare::kernels::segment_attention_forward(c.layout, in, out, p.columns_between(0, 5));
    });
    for (const segment_layout& bad :
         {segment_layout{6, 1, 2, 4, 3, 4}, segment_layout{6, 1, 0, 4, 3, 5},
          // Three widths of 2^30 - 1 by as many heads: just below 2^63.
          segment_layout{6, 1, (1 << 30) - 1, (1 << 30) - 1, (1 << 30) - 1, 5},
          segment_layout{6, 1, 2, 4, 3, extent{1} << 30}, segment_layout{-6, 1, 2, 4, 3, 5},
          segment_layout{6, 1, 2, 4, 3, extent{1} << 62},
          segment_layout{6, 1, 2, 4, 3, 5, std::numeric_limits<double>::infinity()}})
        refused([&] { tare::kernels::segment_attention_forward(bad, in, out); });
    // A row of every other float of the address space.
    auto far = in;
    far.qkv.stride = std::numeric_limits<extent>::max() / 2;
    refused([&] { tare::kernels::segment_attention_forward(c.layout, far, out); });
    auto narrow = in;
    narrow.memory = narrow.memory.columns_between(0, 13);
    refused([&] { tare::kernels::segment_attention_forward(c.layout, narrow, out); });
    auto gradients = c.gradients();
    gradients.qkv = c.qkv_like(c.qkv);
    refused([&] {
        tare::kernels::segment_attention_backward(c.layout, in, p, c.out_like(c.d_out), gradients);
    });
    refused([&] { tare::kernels::segment_memory(c.layout, in, c.memory_like(c.memory)); });
}
