#pragma once
// SPDX-License-Identifier: MIT
// One decoder layer of a translation Transformer: self-attention over what has been said, attention
// over the encoder's memory, a feed-forward network, each in a residual block.
// Source: Vaswani et al. 2017, section 3.1.

#include <optional>
#include <string_view>

#include <tare/nn/feed_forward.hpp>
#include <tare/nn/layer_norm_layer.hpp>
#include <tare/nn/multi_head_attention_layer.hpp>
#include <tare/nn/residual_block.hpp>

namespace tare {

/// Modules self_attn, self_attn_layer_norm, encoder_attn, encoder_attn_layer_norm, fc1, fc2,
/// final_layer_norm under `label`. `Norm` may be another normalisation (residual_block.hpp).
template <class T, class Weight = T, class Norm = layer_norm_layer<T>>
class transformer_decoder_layer {
  public:
    /// `share_queries`: one query projection for both attentions, under self_attn's name; it starts
    /// as cross-attention's would.
    template <class Source>
    constexpr transformer_decoder_layer(Source& source, const decoder_layer_sizes& sizes,
                                        std::string_view label, extent width, extent memory_width,
                                        bool pre_norm, const linear_start& start,
                                        bool share_queries = false)
        : transformer_decoder_layer(
              source, sizes, label, width, memory_width, pre_norm, start,
              share_queries ? queries_from(source, sizes, label, width, memory_width, start)
                            : std::nullopt) {}

    /// **Shapes** x and result (T, B, width), memory (S, B, memory width).
    [[nodiscard]] constexpr T operator()(const T& x, const attention_mask& mask, const T& memory,
                                         const attention_mask& memory_mask,
                                         const attention_roles& roles = {}) const {
        return run(
            x, [&](const T& y) { return self_attn_.heads(y, y, mask, roles); },
            [&](const T& y) { return encoder_attn_.heads(y, memory, memory_mask); });
    }
    /// The layer with attentions of the caller's: each is given its block's input and returns what
    /// the output projection is to be applied to.
    template <class Self, class Cross>
    [[nodiscard]] constexpr T run(const T& x, Self&& self, Cross&& cross) const {
        [[maybe_unused]] const auto here = scope(x, label_);
        const T said = self_block_(x, self_attn_.out_proj, self);
        const T seen = encoder_block_(said, encoder_attn_.out_proj, cross);
        return last_block_(seen, feed_forward_.fc2,
                           [&](const T& y) { return feed_forward_.inner(y); });
    }

    [[nodiscard]] constexpr const multi_head_attention_layer<T, Weight>& self_attn() const {
        return self_attn_;
    }
    [[nodiscard]] constexpr const multi_head_attention_layer<T, Weight>& encoder_attn() const {
        return encoder_attn_;
    }
    /// Calls visitor(name, parameter) for every parameter, in the order of fairseq's model.
    template <class Visitor>
    constexpr void visit(Visitor&& visitor) {
        self_attn_.visit(visitor);
        self_block_.visit(visitor);
        encoder_attn_.visit(visitor);
        encoder_block_.visit(visitor);
        feed_forward_.visit(visitor);
        last_block_.visit(visitor);
    }

  private:
    using projection = linear_layer<T, Weight>;

    template <class Source>
    constexpr transformer_decoder_layer(Source& source, const decoder_layer_sizes& sizes,
                                        std::string_view label, extent width, extent memory_width,
                                        bool pre_norm, const linear_start& start,
                                        const std::optional<projection>& queries)
        : label_(label),
          self_attn_(source, sizes.self, join(label, ".self_attn"), width, width, start,
                     queries ? &*queries : nullptr),
          self_block_(source, join(label, ".self_attn_layer_norm"),
                      join(label, ".self_attn.out_proj"), width, pre_norm),
          encoder_attn_(source, sizes.cross, join(label, ".encoder_attn"), width, memory_width,
                        start, queries ? &*queries : nullptr),
          encoder_block_(source, join(label, ".encoder_attn_layer_norm"),
                         join(label, ".encoder_attn.out_proj"), width, pre_norm),
          feed_forward_(source, label, width, sizes.inner, start),
          last_block_(source, join(label, ".final_layer_norm"), join(label, ".fc2"), width,
                      pre_norm) {
        self_attn_.own_queries = true;
    }
    template <class Source>
    static constexpr std::optional<projection>
    queries_from(Source& source, const decoder_layer_sizes& sizes, std::string_view label,
                 extent width, extent memory_width, const linear_start& start) {
        return projection(source, join(label, ".self_attn.q_proj"), width, sizes.cross.key_width,
                          start.projection(width, sizes.cross.key_width, width == memory_width));
    }

    short_text label_;
    multi_head_attention_layer<T, Weight> self_attn_;
    residual_block<T, Norm> self_block_;
    multi_head_attention_layer<T, Weight> encoder_attn_;
    residual_block<T, Norm> encoder_block_;
    feed_forward<T, Weight> feed_forward_;
    residual_block<T, Norm> last_block_;
};

}  // namespace tare
