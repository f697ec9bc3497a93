#pragma once
// SPDX-License-Identifier: MIT
// Random operands for the attention tests, and the comparison of two arrays.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <tare/core/random.hpp>
#include <tare/kernels/attention_layout.hpp>
#include <tare/kernels/attention_points.hpp>

namespace tare::testing {

using kernels::attention_layout;
using kernels::segment_layout;

/// `count` standard normal values.
template <class Scalar>
std::vector<Scalar> normals(extent count, std::uint64_t stream) {
    const random_stream random(20260731, stream);
    std::vector<Scalar> out(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<Scalar>(random.normal(i));
    return out;
}

/// The same numbers in another type.
template <class To, class From>
std::vector<To> as(const std::vector<From>& from) {
    return std::vector<To>(from.begin(), from.end());
}

/// Largest absolute difference; infinite where exactly one side is NaN or the sizes differ.
template <class A, class B>
double distance(const std::vector<A>& a, const std::vector<B>& b) {
    if (a.size() != b.size()) return HUGE_VAL;
    double worst = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double x = static_cast<double>(a[i]);
        const double y = static_cast<double>(b[i]);
        if (std::isnan(x) && std::isnan(y)) continue;
        const double d = std::abs(x - y);
        worst = std::isnan(d) ? HUGE_VAL : std::max(worst, d);
    }
    return worst;
}

/// Bounds on the distance between the float kernels and the plain form in double, for standard
/// normal operands (largest |x| about 4.5). A score is a sum of `width` products of size up to 20
/// with a factor near 1: its absolute error e is below width * 2^-24 * 20, and probabilities and
/// outputs change by at most 2 e * 4.5. That is the worst case; errors walk at random, so the bound
/// is generous but still 1e-3 of the values themselves.
inline double forward_tolerance(double width) {
    return width * 0x1p-24 * 20 * 2 * 4.5;
}
/// A gradient sums `terms` such values times another operand; errors of independent terms grow with
/// the square root.
inline double backward_tolerance(double width, double terms) {
    return forward_tolerance(width) * 4.5 * std::sqrt(terms);
}

/// One call of segment attention with everything it reads and writes.
template <class Scalar>
struct segment_case {
    segment_layout layout;
    bool has_memory;
    std::vector<Scalar> qkv, memory, positions, d_out;
    std::vector<Scalar> out, probabilities, d_qkv, d_positions, d_memory;

    segment_case(const segment_layout& l, bool with_memory) : layout(l), has_memory(with_memory) {
        const extent rows = l.tokens * l.batch;
        qkv = normals<Scalar>(rows * l.heads * l.head_width(), 1);
        memory = normals<Scalar>(l.window * l.batch * l.heads * l.memory_width(), 2);
        positions = normals<Scalar>(l.key_width * l.entries(), 3);
        d_out = normals<Scalar>(rows * l.heads * l.value_width, 4);
        out.resize(d_out.size());
        probabilities.resize(static_cast<std::size_t>(l.tokens * l.rows() * l.entries()));
        d_qkv.resize(qkv.size());
        d_positions.resize(positions.size());
        d_memory.resize(memory.size());
    }
    template <class Other>
    explicit segment_case(const segment_case<Other>& o)
        : layout(o.layout),
          has_memory(o.has_memory),
          qkv(as<Scalar>(o.qkv)),
          memory(as<Scalar>(o.memory)),
          positions(as<Scalar>(o.positions)),
          d_out(as<Scalar>(o.d_out)),
          out(o.out.size()),
          probabilities(o.probabilities.size()),
          d_qkv(o.d_qkv.size()),
          d_positions(o.d_positions.size()),
          d_memory(o.d_memory.size()) {}

    /// Fills what kernels write with a number they do not.
    void forget_results() {
        for (auto* const results : {&out, &probabilities, &d_qkv, &d_positions, &d_memory})
            std::fill(results->begin(), results->end(), Scalar(-77));
    }

    [[nodiscard]] extent rows() const { return layout.tokens * layout.batch; }
    [[nodiscard]] matrix_view<Scalar> qkv_like(std::vector<Scalar>& v) const {
        return {v.data(), rows(), layout.heads * layout.head_width()};
    }
    [[nodiscard]] matrix_view<Scalar> memory_like(std::vector<Scalar>& v) const {
        return {v.data(), layout.window * layout.batch, layout.heads * layout.memory_width()};
    }
    [[nodiscard]] matrix_view<Scalar> positions_like(std::vector<Scalar>& v) const {
        return {v.data(), layout.key_width, layout.entries()};
    }
    [[nodiscard]] matrix_view<Scalar> out_like(std::vector<Scalar>& v) const {
        return {v.data(), rows(), layout.heads * layout.value_width};
    }
    [[nodiscard]] matrix_view<Scalar> probabilities_view() {
        return {probabilities.data(), layout.tokens * layout.rows(), layout.entries()};
    }
    [[nodiscard]] kernels::segment_inputs<Scalar> inputs() {
        kernels::segment_inputs<Scalar> in{qkv_like(qkv), {}, positions_like(positions)};
        if (has_memory) in.memory = memory_like(memory);
        return in;
    }
    [[nodiscard]] kernels::segment_gradients<Scalar> gradients() {
        return {qkv_like(d_qkv), positions_like(d_positions), memory_like(d_memory)};
    }
};

/// One call of ordinary attention with everything it reads and writes.
template <class Scalar>
struct attention_case {
    attention_layout layout;
    bool padded;
    std::vector<Scalar> q, k, v, d_out;
    std::vector<std::uint8_t> padding;
    std::vector<Scalar> out, probabilities, mean, dq, dk, dv;

    attention_case(const attention_layout& l, bool with_padding) : layout(l), padded(with_padding) {
        q = normals<Scalar>(l.queries * l.batch * l.heads * l.key_width, 11);
        k = normals<Scalar>(l.keys * l.batch * l.heads * l.key_width, 12);
        v = normals<Scalar>(l.keys * l.batch * l.heads * l.value_width, 13);
        d_out = normals<Scalar>(l.queries * l.batch * l.heads * l.value_width, 14);
        const random_stream random(7, 15);
        padding.resize(static_cast<std::size_t>(l.batch * l.keys));
        for (std::size_t i = 0; i < padding.size(); ++i)
            padding[i] = static_cast<std::uint8_t>(random.below(i, 3) == 0);
        allocate();
    }
    template <class Other>
    explicit attention_case(const attention_case<Other>& o)
        : layout(o.layout),
          padded(o.padded),
          q(as<Scalar>(o.q)),
          k(as<Scalar>(o.k)),
          v(as<Scalar>(o.v)),
          d_out(as<Scalar>(o.d_out)),
          padding(o.padding) {
        allocate();
    }
    void allocate() {
        out.resize(d_out.size());
        probabilities.resize(
            static_cast<std::size_t>(layout.queries * layout.batch * layout.heads * layout.keys));
        mean.resize(static_cast<std::size_t>(layout.queries * layout.batch * layout.keys));
        dq.resize(q.size());
        dk.resize(k.size());
        dv.resize(v.size());
    }
    /// Fills what kernels write with a number they do not.
    void forget_results() {
        for (auto* const results : {&out, &probabilities, &mean, &dq, &dk, &dv})
            std::fill(results->begin(), results->end(), Scalar(-77));
    }

    [[nodiscard]] matrix_view<Scalar> query_like(std::vector<Scalar>& x) const {
        return {x.data(), layout.queries * layout.batch, layout.heads * layout.key_width};
    }
    [[nodiscard]] matrix_view<Scalar> key_like(std::vector<Scalar>& x) const {
        return {x.data(), layout.keys * layout.batch, layout.heads * layout.key_width};
    }
    [[nodiscard]] matrix_view<Scalar> value_like(std::vector<Scalar>& x) const {
        return {x.data(), layout.keys * layout.batch, layout.heads * layout.value_width};
    }
    [[nodiscard]] matrix_view<Scalar> out_like(std::vector<Scalar>& x) const {
        return {x.data(), layout.queries * layout.batch, layout.heads * layout.value_width};
    }
    [[nodiscard]] matrix_view<Scalar> probabilities_view() {
        return {probabilities.data(), layout.queries * layout.batch * layout.heads, layout.keys};
    }
    [[nodiscard]] matrix_view<Scalar> mean_view() {
        return {mean.data(), layout.queries * layout.batch, layout.keys};
    }
    [[nodiscard]] kernels::attention_inputs<Scalar> inputs() {
        kernels::attention_inputs<Scalar> in{query_like(q), key_like(k), value_like(v), {}};
        if (padded) in.padding = {padding.data(), layout.batch, layout.keys};
        return in;
    }
    [[nodiscard]] kernels::attention_gradients<Scalar> gradients() {
        return {query_like(dq), key_like(dk), value_like(dv)};
    }
};

/// A policy with a gradient of its own: weights 1.5 p^2 where (row + column) is even, else p.
/// Smooth, so finite differences can check it.
struct squaring_points {
    static constexpr bool changes_probabilities = true;
    static constexpr bool changes_output = false;
    static bool hit(extent row, std::size_t column) {
        return (static_cast<std::size_t>(row) + column) % 2 == 0;
    }
    template <class Scalar>
    void probabilities(std::span<Scalar> p, extent row) const {
        for (std::size_t j = 0; j < p.size(); ++j)
            if (hit(row, j)) p[j] = static_cast<Scalar>(1.5) * p[j] * p[j];
    }
    template <class Scalar>
    void d_probabilities(std::span<const Scalar> p, std::span<Scalar> dp, extent row) const {
        for (std::size_t j = 0; j < p.size(); ++j)
            if (hit(row, j)) dp[j] = static_cast<Scalar>(3) * p[j] * dp[j];
    }
    template <class Scalar>
    void output(std::span<Scalar>, extent) const {}
};

}  // namespace tare::testing
