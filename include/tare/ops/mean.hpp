#pragma once
// SPDX-License-Identifier: MIT
// The mean of all elements, a single number: how a loss ends.

#include <span>

#include <tare/core/scalar.hpp>
#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

struct mean {
    static constexpr std::string_view name = "mean";

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in[0].size() > 0, "mean: the tensor ", in[0], " is empty and has no mean");
        return shape{};
    }
    /// Pairwise summation: error O(log n) and one fixed tree for any number of threads.
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        out[0] = sum(in[0].span()) / constant<Scalar>(static_cast<double>(in[0].size()));
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        const Scalar share = grad_out[0] / constant<Scalar>(static_cast<double>(in[0].size()));
        for (extent i = 0; i < grad_in[0].size(); ++i)
            grad_in[0][i] = grad_in[0][i] + share;
    }
    constexpr price cost(std::span<const operand> in, const operand&) const {
        return price{}.additions("sum", in[0].extents.size() - 1).others("division", 1);
    }

  private:
    template <class Scalar>
    static Scalar sum(std::span<const Scalar> x) {
        if (x.size() == 1) return x[0];
        const std::size_t half = x.size() / 2;
        return sum(x.first(half)) + sum(x.subspan(half));
    }
};

}  // namespace op

/// Sum of the elements over their number. **Throws** tare::error on an empty tensor.
template <class T>
[[nodiscard]] constexpr T mean(const T& x) {
    return apply(op::mean{}, x);
}

}  // namespace tare
