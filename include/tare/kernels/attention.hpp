#pragma once
// SPDX-License-Identifier: MIT
// Ordinary multi-head attention (formulas in attention_layout.hpp), forward and backward, in float.

#include <tare/kernels/attention_plain.hpp>

namespace tare::kernels {

/// Multi-head attention.
///
/// **Shapes** out (Tq*B, H*nv); probabilities (Tq*B*H, Tk), the softmax before `points`, or no
/// data; mean_weights (Tq*B, Tk), the mean of the probabilities over the heads, or no data.
/// **Throws** tare::error on shapes that do not fit and on overlap.
template <class Points = no_attention_points>
    requires(attention_points<Points, float>)
void attention_forward(const attention_layout& layout, const attention_inputs<float>& in,
                       matrix_view<float> out, matrix_view<float> probabilities = {},
                       matrix_view<float> mean_weights = {}, const Points& points = {}) {
    attention_forward_plain(layout, in, out, probabilities, mean_weights, points);
}

/// Gradients of multi-head attention from the saved probabilities.
///
/// **Shapes** probabilities (Tq*B*H, Tk) as the forward call wrote them; d_out (Tq*B, H*nv).
/// **Throws** tare::error on shapes that do not fit and on overlap.
template <class Points = no_attention_points>
    requires(attention_points<Points, float>)
void attention_backward(const attention_layout& layout, const attention_inputs<float>& in,
                        matrix_view<const float> probabilities, matrix_view<const float> d_out,
                        const attention_gradients<float>& gradients, const Points& points = {}) {
    attention_backward_plain(layout, in, probabilities, d_out, gradients, points);
}

}  // namespace tare::kernels
