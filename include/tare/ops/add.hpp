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
    static constexpr bool starts_gradients = true;

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 2 && in[0] == in[1], "add: shapes ", in[0], " and ", in[1],
                " differ; nothing is broadcast");
        return in[0];
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::add(in[0].span(), in[1].span(), out.span());
        } else {
            kernels::plain::add<Scalar>(in[0].span(), in[1].span(), out.span());
        }
    }
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar>, array_view<const Scalar> grad_out,
                  const saved<Scalar>&, gradient_views<Scalar> grad_in) const {
        for (const gradient_view<Scalar>& grad : grad_in)
            add_to(grad, grad_out.span());
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
