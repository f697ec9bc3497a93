#pragma once
// SPDX-License-Identifier: MIT
// max(x, 0), element by element.

#include <span>

#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

struct relu {
    static constexpr std::string_view name = "relu";

    constexpr shape result_shape(std::span<const shape> in) const { return in[0]; }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        // "not below" keeps NaN: it must not become a silent zero.
        for (extent i = 0; i < out.size(); ++i)
            out[i] = in[0][i] < Scalar(0) ? Scalar(0) : in[0][i];
    }
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar> out,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        for (extent i = 0; i < grad_in[0].size(); ++i)
            if (out[i] > Scalar(0)) grad_in[0][i] = grad_in[0][i] + grad_out[i];
    }
    constexpr price cost(std::span<const operand> in, const operand& out) const {
        return price{}.others("comparison", out.extents.size(), in[0].bits);
    }
    constexpr int result_bits(std::span<const operand> in) const { return in[0].bits; }
};

}  // namespace op

/// max(x, 0). **NaN** stays NaN. **Cost** one comparison for each element.
template <class T>
[[nodiscard]] constexpr T relu(const T& x) {
    return apply(op::relu{}, x);
}

}  // namespace tare
