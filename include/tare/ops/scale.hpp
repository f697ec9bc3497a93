#pragma once
// SPDX-License-Identifier: MIT
// A tensor times one number: a constant of the model, or a trained scalar.

#include <span>

#include <tare/core/scalar.hpp>
#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// out = factor * x.
template <class Scalar>
void multiply_all(std::span<const Scalar> x, const Scalar& factor, std::span<Scalar> out) {
    if constexpr (std::is_same_v<Scalar, float>) {
        kernels::scale(x, factor, out);
    } else {
        kernels::plain::scale<Scalar>(x, factor, out);
    }
}
/// sum = sum + factor * x.
template <class Scalar>
void add_multiple(const Scalar& factor, std::span<const Scalar> x, std::span<Scalar> sum) {
    if constexpr (std::is_same_v<Scalar, float>) {
        kernels::axpy(factor, x, sum);
    } else {
        kernels::plain::axpy<Scalar>(factor, x, sum);
    }
}

/// x * factor, the factor a constant.
struct scale_by {
    static constexpr std::string_view name = "scale";
    static constexpr bool starts_gradients = true;
    double factor = 1.0;

    constexpr shape result_shape(std::span<const shape> in) const { return in[0]; }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        multiply_all<Scalar>(in[0].span(), constant<Scalar>(factor), out.span());
    }
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar>, array_view<const Scalar> grad_out,
                  const saved<Scalar>&, gradient_views<Scalar> grad_in) const {
        if (grad_in[0].empty)
            multiply_all<Scalar>(grad_out.span(), constant<Scalar>(factor), grad_in[0].span());
        else
            add_multiple<Scalar>(constant<Scalar>(factor), grad_out.span(), grad_in[0].span());
    }
    constexpr price cost(std::span<const operand>, const operand& out) const {
        return price{}.multiplications("scale", out.extents.size());
    }
    /// One common factor moves into the scale of a quantized tensor; its codes stay what they are.
    constexpr int result_bits(std::span<const operand> in) const { return in[0].bits; }
};

/// x * s, s a tensor of one element.
struct scale {
    static constexpr std::string_view name = "scale";

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 2 && in[1].size() == 1, "scale: the factor is ", in.back(),
                "; it must be a single number");
        return in[0];
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        multiply_all<Scalar>(in[0].span(), in[1][0], out.span());
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        if (grad_in[0]) add_multiple<Scalar>(in[1][0], grad_out.span(), grad_in[0].span());
        if (grad_in[1]) {
            wide<Scalar> sum = grad_in[1][0];
            for (extent i = 0; i < in[0].size(); ++i)
                sum = sum + wide<Scalar>(grad_out[i]) * in[0][i];
            grad_in[1][0] = static_cast<Scalar>(sum);
        }
    }
    constexpr price cost(std::span<const operand>, const operand& out) const {
        return price{}.multiplications("scale", out.extents.size());
    }
    constexpr int result_bits(std::span<const operand> in) const { return in[0].bits; }
};

}  // namespace op

/// x times a constant (rounded to float32). **Cost** one multiplication for each element. The
/// width of a quantized x is kept: the factor joins its scale.
template <class T>
[[nodiscard]] constexpr T scale_by(const T& x, double factor) {
    return apply(op::scale_by{factor}, x);
}

/// x times the single number `factor`. **Cost** and width as scale_by.
template <class T>
[[nodiscard]] constexpr T scale(const T& x, const T& factor) {
    return apply(op::scale{}, x, factor);
}

}  // namespace tare
