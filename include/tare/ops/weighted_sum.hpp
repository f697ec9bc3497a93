#pragma once
// SPDX-License-Identifier: MIT
// A sum of all elements, each times a constant of its own: how several losses become one.

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include <tare/core/scalar.hpp>
#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

struct weighted_sum {
    static constexpr std::string_view name = "weighted_sum";
    std::vector<double> weight;  ///< one for each element

    constexpr shape result_shape(std::span<const shape> in) const {
        require(!weight.empty() && in[0].size() == static_cast<extent>(weight.size()),
                "weighted_sum: ", weight.size(), " weights for a tensor ", in[0],
                "; expected one for each element, and at least one");
        return shape{};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        wide<Scalar> sum = constant<wide<Scalar>>(weight[0]) * in[0][0];
        for (std::size_t i = 1; i < weight.size(); ++i)
            sum = sum + constant<wide<Scalar>>(weight[i]) * in[0][static_cast<extent>(i)];
        out[0] = static_cast<Scalar>(sum);
    }
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar>, array_view<const Scalar> grad_out,
                  const saved<Scalar>&, gradient_views<Scalar> grad_in) const {
        for (std::size_t i = 0; i < weight.size(); ++i) {
            Scalar& to = grad_in[0][static_cast<extent>(i)];
            to = to + constant<Scalar>(weight[i]) * grad_out[0];
        }
    }
    constexpr price cost(std::span<const operand> in, const operand&) const {
        const extent n = in[0].extents.size();
        return price{}.multiplications("weights", n).additions("sum", n - 1);
    }
};

}  // namespace op

/// sum_i weight_i x_i over all elements of x, row-major; a single number, added in double.
/// **Throws** tare::error unless there is one weight for each element.
template <class T>
[[nodiscard]] constexpr T weighted_sum(const T& x, std::vector<double> weight) {
    return apply(op::weighted_sum{std::move(weight)}, x);
}

}  // namespace tare
