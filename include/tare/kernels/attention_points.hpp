#pragma once
// SPDX-License-Identifier: MIT
// What may happen to a row of attention probabilities between softmax and value product, and to a
// row of the output: quantization points, dropout, nothing. A policy, chosen at compile time, so
// that the plain case costs nothing.
//
// A training step calls the policy twice with the same row: forward (in place), and backward, where
// the weights are computed again from the saved probabilities and the gradient is turned. A policy
// must therefore be a function of its arguments alone; a dropout mask comes from a counter-based
// generator addressed by `row` and column.

#include <concepts>
#include <span>

#include <tare/core/shape.hpp>

namespace tare::kernels {

/// A policy applied to attention rows. `row` numbers the rows as the probabilities are stored:
/// (t * batch + b) * heads + h.
/// - `changes_probabilities`, `changes_output`: false lets the kernels skip the call.
/// - `probabilities(p, row)`: turns probabilities into the weights of the value product, in place.
/// - `d_probabilities(p, dp, row)`: turns the gradient of the weights into that of `p`, in place.
/// - `output(o, row)`: changes one head's output row, in place. Its gradient is the caller's: the
///   output leaves the kernel, so whoever holds it can turn `d_out` before the backward call.
template <class Points, class Scalar>
concept attention_points = requires(const Points points, std::span<Scalar> row,
                                    std::span<const Scalar> fixed, extent index) {
    { Points::changes_probabilities } -> std::convertible_to<bool>;
    { Points::changes_output } -> std::convertible_to<bool>;
    points.probabilities(row, index);
    points.d_probabilities(fixed, row, index);
    points.output(row, index);
};

/// The identity: probabilities and outputs stay what they are.
struct no_attention_points {
    static constexpr bool changes_probabilities = false;
    static constexpr bool changes_output = false;
    template <class Scalar>
    constexpr void probabilities(std::span<Scalar>, extent) const {}
    template <class Scalar>
    constexpr void d_probabilities(std::span<const Scalar>, std::span<Scalar>, extent) const {}
    template <class Scalar>
    constexpr void output(std::span<Scalar>, extent) const {}
};

}  // namespace tare::kernels
