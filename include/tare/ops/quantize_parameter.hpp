#pragma once
// SPDX-License-Identifier: MIT
// A parameter as quantization-aware training sees it: fake-quantized from its float copy in every
// forward pass, transparent for the gradient.
//     q = round_half_to_even(scale w),  w_q = q / scale,  scale = (1/m) n,  n = 2^(bits-1) - 1
// m is the largest magnitude of a row or of the whole tensor. Source: the MIT-HAN-Lab entry's
// quantizer (quantize/linear.hpp); Bengio, Leonard, Courville 2013 for the gradient.

#include <algorithm>
#include <span>
#include <type_traits>

#include <tare/ops/concept.hpp>
#include <tare/ops/fake_quantize.hpp>
#include <tare/quantize/fit_and_quantize.hpp>
#include <tare/quantize/linear.hpp>
#include <tare/readings/apply.hpp>

namespace tare::op {

struct quantize_parameter {
    static constexpr std::string_view name = "quantize_parameter";
    int bits = 8;
    bool by_row = false;  ///< one scale for each row (all axes but the last), else one for all

    constexpr shape result_shape(std::span<const shape> in) const { return in[0]; }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        static_assert(std::is_same_v<Scalar, float>, "the quantizer is defined in float32");
        const auto run = [&](const auto& quantizer) {
            fit_and_quantize(quantizer, in[0].span(), out.span());
        };
        if (out.size() == 0) return;
        if (by_row) {
            run(linear_quantizer<symmetric_levels, per_row>(bits, {in[0].extents.columns()}));
        } else {
            run(linear_quantizer<symmetric_levels, per_tensor>(bits));
        }
    }
    /// Straight through: the scale counts as a constant and nothing is clamped.
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar>, array_view<const Scalar> grad_out,
                  const saved<Scalar>&, gradient_views<Scalar> grad_in) const {
        for (extent i = 0; i < grad_out.size(); ++i)
            grad_in[0][i] = grad_in[0][i] + grad_out[i];
    }
    constexpr price cost(std::span<const operand>, const operand& out) const {
        price p;
        return charge_conversion(p, out.extents.size());
    }
    constexpr int result_bits(std::span<const operand>) const { return bits; }
};

}  // namespace tare::op
