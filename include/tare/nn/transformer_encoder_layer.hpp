#pragma once
// SPDX-License-Identifier: MIT
// One encoder layer of a translation Transformer: self-attention, then a feed-forward network, each
// in a residual block. Source: Vaswani et al. 2017, section 3.1.

#include <string_view>

#include <tare/nn/feed_forward.hpp>
#include <tare/nn/layer_norm_layer.hpp>
#include <tare/nn/multi_head_attention_layer.hpp>
#include <tare/nn/residual_block.hpp>

namespace tare {

/// Modules self_attn, self_attn_layer_norm, fc1, fc2, final_layer_norm under `label`. `Norm` may be
/// another normalisation (residual_block.hpp).
template <class T, class Weight = T, class Norm = layer_norm_layer<T>>
class transformer_encoder_layer {
  public:
    template <class Source>
    constexpr transformer_encoder_layer(Source& source, const encoder_layer_sizes& sizes,
                                        std::string_view label, extent width, bool pre_norm,
                                        const linear_start& start)
        : label_(label),
          self_attn_(source, sizes.self, join(label, ".self_attn"), width, width, start),
          self_block_(source, join(label, ".self_attn_layer_norm"),
                      join(label, ".self_attn.out_proj"), width, pre_norm),
          feed_forward_(source, label, width, sizes.inner, start),
          last_block_(source, join(label, ".final_layer_norm"), join(label, ".fc2"), width,
                      pre_norm) {}

    /// **Shapes** x and result (S, B, width).
    [[nodiscard]] constexpr T operator()(const T& x, const attention_mask& mask,
                                         const attention_roles& roles = {}) const {
        [[maybe_unused]] const auto here = scope(x, label_);
        const T middle = self_block_(x, self_attn_.out_proj, [&](const T& y) {
            return self_attn_.heads(y, y, mask, roles);
        });
        return last_block_(middle, feed_forward_.fc2,
                           [&](const T& y) { return feed_forward_.inner(y); });
    }

    [[nodiscard]] constexpr const multi_head_attention_layer<T, Weight>& self_attn() const {
        return self_attn_;
    }
    /// Calls visitor(name, parameter) for every parameter, in the order of fairseq's model.
    template <class Visitor>
    constexpr void visit(Visitor&& visitor) {
        self_attn_.visit(visitor);
        self_block_.visit(visitor);
        feed_forward_.visit(visitor);
        last_block_.visit(visitor);
    }

  private:
    short_text label_;
    multi_head_attention_layer<T, Weight> self_attn_;
    residual_block<T, Norm> self_block_;
    feed_forward<T, Weight> feed_forward_;
    residual_block<T, Norm> last_block_;
};

}  // namespace tare
