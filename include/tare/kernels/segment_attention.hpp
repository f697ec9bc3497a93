#pragma once
// SPDX-License-Identifier: MIT
// Attention with memory and trained relative positions (formulas in segment_layout.hpp): one chunk,
// forward and backward, in float.

#include <tare/kernels/segment_attention_plain.hpp>

namespace tare::kernels {

/// Attention of a chunk.
///
/// **Shapes** out (T*B, H*nv); probabilities (T*B*H, S+1), the softmax before `points`, row
/// (t*B+b)*H+h, or no data. With `out` empty only the probabilities are computed.
/// **Throws** tare::error on shapes that do not fit and on overlap.
template <class Points = no_attention_points>
    requires(attention_points<Points, float>)
void segment_attention_forward(const segment_layout& layout, const segment_inputs<float>& in,
                               matrix_view<float> out, matrix_view<float> probabilities = {},
                               const Points& points = {}) {
    segment_attention_forward_plain(layout, in, out, probabilities, points);
}

/// Gradients of attention from the saved probabilities.
///
/// **Shapes** probabilities (T*B*H, S+1) as the forward call wrote them; d_out (T*B, H*nv).
/// **Throws** tare::error on shapes that do not fit and on overlap.
template <class Points = no_attention_points>
    requires(attention_points<Points, float>)
void segment_attention_backward(const segment_layout& layout, const segment_inputs<float>& in,
                                matrix_view<const float> probabilities,
                                matrix_view<const float> d_out,
                                const segment_gradients<float>& gradients,
                                const Points& points = {}) {
    segment_attention_backward_plain(layout, in, probabilities, d_out, gradients, points);
}

}  // namespace tare::kernels
