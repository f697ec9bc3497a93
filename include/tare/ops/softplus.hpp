#pragma once
// SPDX-License-Identifier: MIT
// log(1 + exp(x)): keeps a trained number positive.

#include <cmath>
#include <span>

#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

struct softplus {
    static constexpr std::string_view name = "softplus";

    constexpr shape result_shape(std::span<const shape> in) const { return in[0]; }
    /// max(x, 0) + log(1 + exp(-|x|)): no overflow at either end.
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        using std::exp;
        using std::log;
        for (extent i = 0; i < out.size(); ++i) {
            const Scalar x = in[0][i];
            const bool positive = Scalar(0) < x;
            const Scalar tail = log(Scalar(1) + exp(positive ? Scalar(0) - x : Scalar(0) + x));
            out[i] = (positive ? x : Scalar(0)) + tail;
        }
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        using std::exp;
        for (extent i = 0; i < grad_in[0].size(); ++i)
            grad_in[0][i] = grad_in[0][i] + grad_out[i] / (Scalar(1) + exp(Scalar(0) - in[0][i]));
    }
    constexpr price cost(std::span<const operand>, const operand& out) const {
        const extent n = out.extents.size();
        return price{}.others("function", 3 * n).additions("function", 3 * n);
    }
};

}  // namespace op

/// log(1 + exp(x)), element by element. **Cost** a comparison, an exponential, a logarithm and
/// three additions for each element.
template <class T>
[[nodiscard]] constexpr T softplus(const T& x) {
    return apply(op::softplus{}, x);
}

}  // namespace tare
