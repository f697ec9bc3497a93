#pragma once
// SPDX-License-Identifier: MIT
// One pre-norm decoder layer of a Transformer-XL: attention over a segment with memory, then a
// feed-forward network, each added to its input. Seven places where activations may be quantized.
//     x' = x + out(attention(ln1(x)))        y = x' + fc3(relu(fc0(ln2(x'))))

#include <string_view>
#include <utility>

#include <tare/models/transformer_xl_config.hpp>
#include <tare/nn/activation_point.hpp>
#include <tare/nn/finished_linear.hpp>
#include <tare/nn/layer_norm_layer.hpp>
#include <tare/nn/rolling_memory.hpp>
#include <tare/ops/attention_memory.hpp>
#include <tare/ops/segment_attention.hpp>

namespace tare {

/// The layer. **Shapes** x (T, B, d); memory (at most S, B, H (nk + nv)).
template <class T, class Weight = T>
class transformer_xl_layer {
  public:
    template <class Source>
    constexpr transformer_xl_layer(Source& source, const transformer_xl_config& config,
                                   std::string_view label)
        : label_(label),
          heads_(config.heads),
          key_width_(config.key_width),
          value_width_(config.value_width),
          window_(config.window),
          positions_(source.parameter(join(label, ".pos_emb"),
                                      shape{config.key_width, config.window + 1},
                                      initial::normal(0.02))),
          ln1_(source, join(label, ".ln1"), config.width),
          qkv_(source, join(label, ".qkv"), config.width,
               config.heads * (2 * config.key_width + config.value_width), true),
          out_(source, join(label, ".out"), config.heads * config.value_width, config.width, false),
          ln2_(source, join(label, ".ln2"), config.width),
          fc0_(source, join(label, ".fc.0"), config.width, config.inner, true),
          fc3_(source, join(label, ".fc.3"), config.inner, config.width, true),
          ln1_point_(point_from<T>(source, join(label, ".ln1"))),
          qkv_point_(point_from<T>(source, join(label, ".qkv"))),
          probability_point_(point_from<T>(source, join(label, ".attn"))),
          attention_point_(point_from<T>(source, join(label, ".attn_out"))),
          ln2_point_(point_from<T>(source, join(label, ".ln2"))),
          relu_point_(point_from<T>(source, join(label, ".relu"))),
          fc3_point_(point_from<T>(source, join(label, ".fc.3"))) {}

    /// The layer's result; `memory` is read and then replaced by what the next chunk needs. Pass a
    /// tensor that does not exist for none: positions before the chunk are then masked. With a
    /// rolling_memory (value reading), x is one position.
    template <class Memory>
    [[nodiscard]] constexpr T operator()(const T& x, Memory& memory) const {
        [[maybe_unused]] const auto here = scope(x, label_);
        const T qkv = pointed(qkv_, qkv_point_, ln1_point_(ln1_(x)));
        const T attended = attention_point_(attend(qkv, memory));
        const T middle = summed(x, out_, attended);
        const T inner = rectified(fc0_, relu_point_, ln2_point_(ln2_(middle)));
        return summed(middle, fc3_, fc3_point_, inner);
    }

    /// Calls visitor(name, parameter) for every parameter, in the order of the published model.
    template <class Visitor>
    constexpr void visit(Visitor&& visitor) {
        visitor(join(label_, ".pos_emb"), positions_);
        ln1_.visit(visitor);
        qkv_.visit(visitor);
        out_.visit(visitor);
        ln2_.visit(visitor);
        fc0_.visit(visitor);
        fc3_.visit(visitor);
    }

  private:
    [[nodiscard]] constexpr T attend(const T& qkv, T& memory) const {
        [[maybe_unused]] const auto here = scope(qkv, join(label_, ".attn"));
        return probability_point_.with_rows(
            [&](const auto& rows) { return attend_chunk(qkv, memory, rows); });
    }
    [[nodiscard]] T attend(const T& qkv, rolling_memory& memory) const {
        const kernels::segment_layout layout{
            .heads = heads_, .key_width = key_width_, .value_width = value_width_};
        return probability_point_.with_rows([&](const auto& rows) {
            return memory.attend(qkv, positions_, layout, rows, qkv_point_.step());
        });
    }
    template <class Points>
    [[nodiscard]] constexpr T attend_chunk(const T& qkv, T& memory, const Points& rows) const {
        const op::segment_attention<Points> attention{heads_, key_width_, value_width_, rows};
        const op::attention_memory next{heads_, key_width_, value_width_, window_};
        if (!memory.exists()) {
            memory = apply(next, detach(qkv));
            return apply(attention, qkv, positions_);
        }
        const T earlier = std::exchange(memory, apply(next, detach(qkv), memory));
        return apply(attention, qkv, positions_, earlier);
    }

    short_text label_;
    extent heads_;
    extent key_width_;
    extent value_width_;
    extent window_;
    T positions_;
    layer_norm_layer<T> ln1_;
    linear_layer<T, Weight> qkv_;
    linear_layer<T, Weight> out_;
    layer_norm_layer<T> ln2_;
    linear_layer<T, Weight> fc0_;
    linear_layer<T, Weight> fc3_;
    activation_point<T> ln1_point_;
    activation_point<T> qkv_point_;
    activation_point<T> probability_point_;
    activation_point<T> attention_point_;
    activation_point<T> ln2_point_;
    activation_point<T> relu_point_;
    activation_point<T> fc3_point_;
};

}  // namespace tare
