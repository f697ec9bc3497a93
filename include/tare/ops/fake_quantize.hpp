#pragma once
// SPDX-License-Identifier: MIT
// Quantize and dequantize with a known range, the form in which a quantized model evaluates:
//     y = round_half_to_even(clamp(x, -max_abs, max_abs) / inverse_scale) * inverse_scale
// All in float32, each operation rounded. Source: Distiller's range-linear quantizer, explicit
// form.

#include <cmath>
#include <span>
#include <type_traits>

#include <tare/kernels/round_to_steps.hpp>
#include <tare/ops/concept.hpp>
#include <tare/ops/conversion_price.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

/// The gradient of a clamp to [-max_abs, max_abs] and of the rounding behind it: straight through
/// inside the range, nothing outside. Source: Bengio, Leonard, Courville 2013.
template <class Scalar>
void straight_through(float max_abs, const array_view<const Scalar>& x,
                      const array_view<const Scalar>& grad_out, const array_view<Scalar>& grad_in) {
    for (extent i = 0; i < grad_in.size(); ++i)
        if (!(x[i] < Scalar(-max_abs)) && !(Scalar(max_abs) < x[i]))
            grad_in[i] = grad_in[i] + grad_out[i];
}

namespace op {

struct fake_quantize {
    static constexpr std::string_view name = "fake_quantize";
    int bits = 8;
    float max_abs = 0.0F;
    float inverse_scale = 1.0F;

    constexpr shape result_shape(std::span<const shape> in) const { return in[0]; }

    template <class Scalar>
    [[nodiscard]] Scalar one(const Scalar& x) const {
        using std::nearbyint;
        Scalar y = x;
        if (y < Scalar(-max_abs)) y = Scalar(-max_abs);
        if (Scalar(max_abs) < y) y = Scalar(max_abs);
        return nearbyint(y / Scalar(inverse_scale)) * Scalar(inverse_scale);
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::round_to_steps(max_abs, inverse_scale)(in[0].span(), out.span());
        } else {
            for (extent i = 0; i < out.size(); ++i)
                out[i] = one(in[0][i]);
        }
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        straight_through(max_abs, in[0], grad_out, grad_in[0]);
    }
    constexpr price cost(std::span<const operand>, const operand& out) const {
        price p;
        return charge_conversion(p, out.extents.size());
    }
    constexpr int result_bits(std::span<const operand>) const { return bits; }
};

}  // namespace op

}  // namespace tare
