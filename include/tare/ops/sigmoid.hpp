#pragma once
// SPDX-License-Identifier: MIT
// 1 / (1 + exp(-x)), element by element.

#include <cmath>
#include <span>

#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

struct sigmoid {
    static constexpr std::string_view name = "sigmoid";

    constexpr shape result_shape(std::span<const shape> in) const { return in[0]; }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        using std::exp;
        for (extent i = 0; i < out.size(); ++i)
            out[i] = Scalar(1) / (Scalar(1) + exp(Scalar(0) - in[0][i]));
    }
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar> out,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        for (extent i = 0; i < grad_in[0].size(); ++i)
            grad_in[0][i] = grad_in[0][i] + grad_out[i] * out[i] * (Scalar(1) - out[i]);
    }
    constexpr price cost(std::span<const operand>, const operand& out) const {
        const extent n = out.extents.size();
        return price{}.others("function", 2 * n).additions("function", 2 * n);
    }
};

}  // namespace op

/// 1 / (1 + exp(-x)). **Cost** an exponential, a division, a negation and an addition for each
/// element.
template <class T>
[[nodiscard]] constexpr T sigmoid(const T& x) {
    return apply(op::sigmoid{}, x);
}

}  // namespace tare
