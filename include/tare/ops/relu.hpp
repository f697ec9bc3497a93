#pragma once
// SPDX-License-Identifier: MIT
// max(x, 0), element by element.

#include <span>
#include <type_traits>

#include <tare/kernels/activation.hpp>
#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

struct relu {
    static constexpr std::string_view name = "relu";
    static constexpr bool starts_gradients = true;

    constexpr shape result_shape(std::span<const shape> in) const { return in[0]; }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::activate<kernels::relu>(in[0].span(), out.span());
        } else {
            kernels::plain::activate<kernels::relu, Scalar>(in[0].span(), out.span());
        }
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        // By the input: a compressed result need not be zero where the function is.
        add_written(grad_in[0], in[0].extents, [&](array_view<Scalar> dx) {
            if constexpr (std::is_same_v<Scalar, float>) {
                kernels::activate_backward<kernels::relu>(in[0].span(), grad_out.span(), dx.span());
            } else {
                kernels::plain::activate_backward<kernels::relu, Scalar>(
                    in[0].span(), grad_out.span(), dx.span());
            }
        });
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
