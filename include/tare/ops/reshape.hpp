#pragma once
// SPDX-License-Identifier: MIT
// The same elements under another shape. Nothing is computed, copied or recorded in the value
// reading; the gradient reading passes gradients on.

#include <algorithm>
#include <span>

#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

struct reshape {
    static constexpr std::string_view name = "reshape";
    static constexpr bool starts_gradients = true;
    shape extents;

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in[0].size() == extents.size(), "reshape: ", in[0], " has ", in[0].size(),
                " elements and cannot become ", extents);
        return extents;
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        std::copy_n(in[0].data, out.size(), out.data);
    }
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar>, array_view<const Scalar> grad_out,
                  const saved<Scalar>&, gradient_views<Scalar> grad_in) const {
        add_to(grad_in[0], grad_out.span());
    }
    constexpr price cost(std::span<const operand>, const operand&) const {
        return free_of_charge();
    }
    constexpr int result_bits(std::span<const operand> in) const { return in[0].bits; }
};

}  // namespace op

/// The elements of x under another shape of the same size. **Throws** tare::error otherwise.
template <class T>
[[nodiscard]] constexpr T reshape(const T& x, const shape& extents) {
    if constexpr (requires { x.reshaped(extents); }) {
        return x.reshaped(extents);
    } else {
        return apply(op::reshape{extents}, x);
    }
}

}  // namespace tare
