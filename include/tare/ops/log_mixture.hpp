#pragma once
// SPDX-License-Identifier: MIT
// log((1 - lambda) exp(a) + lambda exp(b)), element by element: two models mixed in the log domain.
// Source: Grave, Joulin, Usunier 2017, equation 4.

#include <cmath>
#include <span>

#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs a (N), b (N), lambda (one number in (0, 1)). Result (N).
struct log_mixture {
    static constexpr std::string_view name = "log_mixture";

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 3 && in[0] == in[1] && in[2].size() == 1, name, ": a is ", in[0],
                ", b is ", in[1 % in.size()], "; both need one shape, lambda one number");
        return in[0];
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        using std::exp;
        using std::log;
        const Scalar lambda = in[2][0];
        const Scalar log_a = log(Scalar(1) - lambda);
        const Scalar log_b = log(lambda);
        for (extent i = 0; i < out.size(); ++i) {
            const Scalar a = log_a + in[0][i];
            const Scalar b = log_b + in[1][i];
            const bool first = b < a;
            const Scalar top = first ? a : b;
            const Scalar difference = first ? b - a : a - b;
            out[i] = top + log(Scalar(1) + exp(difference));
        }
    }
    /// Shares of the two parts: w = exp(log(1-lambda) + a - out), 1 - w.
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar> out,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        using std::exp;
        const Scalar lambda = in[2][0];
        wide<Scalar> d_lambda{};
        for (extent i = 0; i < out.size(); ++i) {
            // exp(a - out) and exp(b - out): derivatives with respect to the weights themselves.
            const Scalar a = exp(in[0][i] - out[i]);
            const Scalar b = exp(in[1][i] - out[i]);
            if (grad_in[0]) grad_in[0][i] = grad_in[0][i] + grad_out[i] * (Scalar(1) - lambda) * a;
            if (grad_in[1]) grad_in[1][i] = grad_in[1][i] + grad_out[i] * lambda * b;
            d_lambda = d_lambda + wide<Scalar>(grad_out[i]) * (b - a);
        }
        if (grad_in[2]) grad_in[2][0] = static_cast<Scalar>(grad_in[2][0] + d_lambda);
    }
    constexpr price cost(std::span<const operand>, const operand& out) const {
        const extent n = out.extents.size();
        return price{}
            .additions("weights", 1)
            .others("weights", 2)
            .additions("mixture", 5 * n)
            .others("mixture", 3 * n);
    }
};

}  // namespace op

/// log((1 - lambda) exp(a) + lambda exp(b)). **Shapes** a, b (N), lambda one number.
/// **Throws** tare::error on shapes that do not fit.
template <class T>
[[nodiscard]] constexpr T log_mixture(const T& a, const T& b, const T& lambda) {
    return apply(op::log_mixture{}, a, b, lambda);
}

}  // namespace tare
