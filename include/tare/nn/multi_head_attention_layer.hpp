#pragma once
// SPDX-License-Identifier: MIT
// Multi-head attention with its projections: queries from one stream, keys and values from another
// or from the same.
//     q = (x Wq^T + bq) s,  k = y Wk^T + bk,  v = y Wv^T + bv,  out = attention(q, k, v) Wo^T + bo
// The query is scaled after its bias, by s = (width of a head's keys)^(-1/2) unless told. Widths of
// keys and of values are independent of the streams'. Source: Vaswani et al. 2017, section 3.2.2.

#include <string_view>
#include <type_traits>

#include <tare/core/root.hpp>
#include <tare/models/translation_transformer_config.hpp>
#include <tare/nn/activation_point.hpp>
#include <tare/nn/column_gate.hpp>
#include <tare/nn/linear_layer.hpp>
#include <tare/nn/linear_start.hpp>
#include <tare/ops/multi_head_attention.hpp>
#include <tare/ops/scale.hpp>

namespace tare {

/// Parameters `label`.{q,k,v,out}_proj.{weight,bias}; gates `label`_qk_c on the scaled queries and
/// `label`_vo_c on the heads' results; the point `label`.probabilities.
template <class T, class Weight = T>
struct multi_head_attention_layer {
    short_text label;
    attention_sizes sizes;
    linear_layer<T, Weight> k_proj;
    linear_layer<T, Weight> v_proj;
    linear_layer<T, Weight> q_proj;
    linear_layer<T, Weight> out_proj;
    column_gate<T> query_gate;
    column_gate<T> head_gate;
    activation_point<T> probability_point;

    /// `width` is that of the queries' stream and of the result, `memory_width` that of the stream
    /// keys and values are made from.
    template <class Source>
    constexpr multi_head_attention_layer(Source& source, const attention_sizes& sizes_,
                                         std::string_view label_, extent width, extent memory_width,
                                         const linear_start& start)
        : label(label_),
          sizes(sizes_),
          k_proj(source, join(label, ".k_proj"), memory_width, sizes.key_width,
                 start.projection(memory_width, sizes.key_width, width == memory_width)),
          v_proj(source, join(label, ".v_proj"), memory_width, sizes.value_width,
                 start.projection(memory_width, sizes.value_width, width == memory_width)),
          q_proj(source, join(label, ".q_proj"), width, sizes.key_width,
                 start.projection(width, sizes.key_width, width == memory_width)),
          out_proj(source, join(label, ".out_proj"), sizes.value_width, width,
                   start.output(sizes.value_width, width)),
          query_gate(gate_from<T>(source, join(label, "_qk_c"), sizes.key_width)),
          head_gate(gate_from<T>(source, join(label, "_vo_c"), sizes.value_width)),
          probability_point(point_from<T>(source, join(label, ".probabilities"))) {}

    /// The scaled queries. **Shapes** x (Tq, B, width); result (Tq, B, key_width).
    [[nodiscard]] constexpr T queries(const T& x) const { return scaled(q_proj(x)); }
    /// The same where the projection was made elsewhere.
    [[nodiscard]] constexpr T scaled(const T& projected) const {
        [[maybe_unused]] const auto here = scope(projected, label);
        return query_gate(scale_by(projected, sizes.factor()));
    }
    /// Attention over projected queries, keys and values: what out_proj is to be applied to.
    /// **Shapes** q (Tq, B, key_width), k (Tk, B, key_width), v (Tk, B, value_width); result
    /// (Tq, B, value_width).
    [[nodiscard]] constexpr T attend(const T& q, const T& k, const T& v,
                                     const attention_mask& mask) const {
        [[maybe_unused]] const auto here = scope(q, label);
        return head_gate(probability_point.with_rows([&](const auto& rows) {
            using attention = op::multi_head_attention<std::remove_cvref_t<decltype(rows)>>;
            return apply(attention{sizes.heads, 1.0, mask, rows}, q, k, v);
        }));
    }
    /// All but the output projection. **Shapes** x (Tq, B, width), y (Tk, B, memory_width).
    [[nodiscard]] constexpr T heads(const T& x, const T& y, const attention_mask& mask) const {
        return attend(queries(x), k_proj(y), v_proj(y), mask);
    }
    /// The layer. **Shapes** as heads(); result (Tq, B, width).
    [[nodiscard]] constexpr T operator()(const T& x, const T& y, const attention_mask& mask) const {
        return out_proj(heads(x, y, mask));
    }

    template <class Visitor>
    constexpr void visit(Visitor&& visitor) {
        k_proj.visit(visitor);
        v_proj.visit(visitor);
        q_proj.visit(visitor);
        out_proj.visit(visitor);
    }
};

}  // namespace tare
