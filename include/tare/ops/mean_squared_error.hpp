#pragma once
// SPDX-License-Identifier: MIT
// The mean of the squared differences of two tensors, a single number.

#include <span>

#include <tare/core/scalar.hpp>
#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

struct mean_squared_error {
    static constexpr std::string_view name = "mean_squared_error";

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 2 && in[0] == in[1] && in[0].size() > 0, name, ": a is ", in[0],
                ", b is ", in.back(), "; the shapes must be equal and not empty");
        return shape{};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        wide<Scalar> sum{};
        for (extent i = 0; i < in[0].size(); ++i) {
            const wide<Scalar> d = wide<Scalar>(in[0][i]) - wide<Scalar>(in[1][i]);
            sum = i == 0 ? d * d : sum + d * d;
        }
        out[0] =
            static_cast<Scalar>(sum / constant<wide<Scalar>>(static_cast<double>(in[0].size())));
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        const Scalar share =
            grad_out[0] * constant<Scalar>(2.0 / static_cast<double>(in[0].size()));
        for (extent i = 0; i < in[0].size(); ++i) {
            const Scalar slope = share * (in[0][i] - in[1][i]);
            if (grad_in[0]) grad_in[0][i] = grad_in[0][i] + slope;
            if (grad_in[1]) grad_in[1][i] = grad_in[1][i] - slope;
        }
    }
    constexpr price cost(std::span<const operand> in, const operand&) const {
        const extent n = in[0].extents.size();
        return price{}
            .additions("difference", n)
            .multiplications("square", n)
            .additions("sum", n - 1)
            .others("division", 1);
    }
};

}  // namespace op

/// sum (a - b)^2 over the number of elements, added in double.
/// **Throws** tare::error on shapes that differ and on empty tensors.
template <class T>
[[nodiscard]] constexpr T mean_squared_error(const T& a, const T& b) {
    return apply(op::mean_squared_error{}, a, b);
}

}  // namespace tare
