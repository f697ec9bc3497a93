#pragma once
// SPDX-License-Identifier: MIT
// Quantize and dequantize with a range that is still being learned, the form of quantization-aware
// training:
//     y = round_half_to_even(scale clamp(x, -max_abs, max_abs)) / scale
// It divides by the full-precision scale where the stored form (ops/fake_quantize.hpp) multiplies
// by the cut inverse; the two differ in the last bits. Source: Distiller's fake-quantization
// wrapper as the MIT-HAN-Lab entry uses it.

#include <cmath>
#include <span>

#include <tare/ops/concept.hpp>
#include <tare/ops/fake_quantize.hpp>
#include <tare/readings/apply.hpp>

namespace tare::op {

struct clamp_quantize {
    static constexpr std::string_view name = "clamp_quantize";
    int bits = 8;
    float max_abs = 0.0F;
    float scale = 1.0F;  ///< codes per unit of value

    constexpr shape result_shape(std::span<const shape> in) const { return in[0]; }

    template <class Scalar>
    [[nodiscard]] bool inside(const Scalar& x) const {
        return !(x < Scalar(-max_abs)) && !(Scalar(max_abs) < x);
    }
    template <class Scalar>
    [[nodiscard]] Scalar one(const Scalar& x) const {
        using std::nearbyint;
        Scalar y = x < Scalar(-max_abs) ? Scalar(-max_abs) : x;
        y = Scalar(max_abs) < y ? Scalar(max_abs) : y;
        return nearbyint(y * Scalar(scale)) / Scalar(scale);
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        for (extent i = 0; i < out.size(); ++i)
            out[i] = one(in[0][i]);
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

}  // namespace tare::op
