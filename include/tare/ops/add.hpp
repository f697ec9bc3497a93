#pragma once
// SPDX-License-Identifier: MIT
// Element-wise sum of two tensors of one shape: the residual connection.

#include <span>

#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

struct add {
    static constexpr std::string_view name = "add";

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 2 && in[0] == in[1], "add: shapes ", in[0], " and ", in[1],
                " differ; nothing is broadcast");
        return in[0];
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        for (extent i = 0; i < out.size(); ++i)
            out[i] = in[0][i] + in[1][i];
    }
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar>, array_view<const Scalar> grad_out,
                  const saved<Scalar>&, gradient_views<Scalar> grad_in) const {
        for (const array_view<Scalar>& grad : grad_in)
            if (grad)
                for (extent i = 0; i < grad.size(); ++i)
                    grad[i] = grad[i] + grad_out[i];
    }
    constexpr price cost(std::span<const operand>, const operand& out) const {
        return price{}.additions("sum", out.extents.size());
    }
};

}  // namespace op

/// x + y, element by element. **Throws** tare::error unless the shapes are equal.
/// **Cost** one addition for each element.
template <class T>
[[nodiscard]] constexpr T add(const T& x, const T& y) {
    return apply(op::add{}, x, y);
}

}  // namespace tare
