// SPDX-License-Identifier: MIT
#include <functional>
#include <numeric>

#include <doctest/doctest.h>

#include <tare/kernels/attention_plain.hpp>
#include <tare/kernels/segment_attention_plain.hpp>

#include "attention_cases.hpp"

using namespace tare::testing;
using tare::extent;

namespace {

// Central difference with step h = 2^-17 of a function of order 1 to 100 in double: truncation
// h^2 f'''/6 and rounding 1e-14 / h are both near 1e-9; a factor of a hundred is left.
constexpr double step = 0x1p-17;
constexpr double gradient_tolerance = 1e-7;

/// Largest difference between `gradient` and the central differences of `loss` along `x`.
double gradient_error(std::vector<double>& x, const std::vector<double>& gradient,
                      const std::function<double()>& loss) {
    double worst = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double kept = x[i];
        x[i] = kept + step;
        const double above = loss();
        x[i] = kept - step;
        const double below = loss();
        x[i] = kept;
        worst = std::max(worst, std::abs((above - below) / (2 * step) - gradient[i]));
    }
    return worst;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

template <class Points>
void check_segment_gradients(const segment_layout& layout, bool has_memory, const Points& points) {
    segment_case<double> c(layout, has_memory);
    const auto loss = [&] {
        tare::kernels::segment_attention_forward_plain(layout, c.inputs(), c.out_like(c.out),
                                                       c.probabilities_view(), points);
        return dot(c.out, c.d_out);
    };
    loss();
    tare::kernels::segment_attention_backward_plain<double, Points>(
        layout, c.inputs(), c.probabilities_view(), c.out_like(c.d_out), c.gradients(), points);
    CHECK(gradient_error(c.qkv, c.d_qkv, loss) < gradient_tolerance);
    CHECK(gradient_error(c.positions, c.d_positions, loss) < gradient_tolerance);
    if (has_memory) CHECK(gradient_error(c.memory, c.d_memory, loss) < gradient_tolerance);
}

}  // namespace

TEST_CASE("segment attention's plain gradients agree with finite differences") {
    for (const bool has_memory : {false, true})
        for (const bool empty : {false, true}) {
            const segment_layout layout{5, 2, 2, 3, 2, 3, 0.7, empty};
            check_segment_gradients(layout, has_memory, tare::kernels::no_attention_points{});
            check_segment_gradients(layout, has_memory, squaring_points{});
        }
}

TEST_CASE("ordinary attention's plain gradients agree with finite differences") {
    for (const bool causal : {false, true})
        for (const bool padded : {false, true}) {
            attention_case<double> c({3, 5, 2, 2, 3, 2, 0.0, causal}, padded);
            const squaring_points points;
            const auto loss = [&] {
                tare::kernels::attention_forward_plain(c.layout, c.inputs(), c.out_like(c.out),
                                                       c.probabilities_view(), {}, points);
                return dot(c.out, c.d_out);
            };
            loss();
            tare::kernels::attention_backward_plain<double>(
                c.layout, c.inputs(), c.probabilities_view(), c.out_like(c.d_out), c.gradients(),
                points);
            CHECK(gradient_error(c.q, c.dq, loss) < gradient_tolerance);
            CHECK(gradient_error(c.k, c.dk, loss) < gradient_tolerance);
            CHECK(gradient_error(c.v, c.dv, loss) < gradient_tolerance);
        }
}
