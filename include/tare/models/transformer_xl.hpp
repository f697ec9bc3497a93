#pragma once
// SPDX-License-Identifier: MIT
// The Transformer-XL language model, written once: over tensors it computes, over variables it
// learns, over costs it is weighed. Source: Dai et al. 2019; sizes and variations as in the
// WikiText-103 entry of MIT-HAN-Lab to the MicroNet Challenge 2019.

#include <span>
#include <vector>

#include <tare/models/transformer_xl_config.hpp>
#include <tare/nn/adaptive_embedding.hpp>
#include <tare/nn/adaptive_softmax.hpp>
#include <tare/nn/transformer_xl_layer.hpp>
#include <tare/ops/reshape.hpp>

namespace tare {

/// What one chunk leaves for the next: a memory for each layer. A fresh state is empty.
template <class T>
struct transformer_xl_state {
    std::vector<T> memory;
};

/// The same for the value reading when tokens come one at a time: nothing is copied from step to
/// step. The losses are those of chunks.
struct transformer_xl_stream {
    std::vector<rolling_memory> memory;
};

template <class T, class Weight = T>
class transformer_xl {
  public:
    using state_type = transformer_xl_state<T>;

    /// Asks `source` for every parameter. Throws on impossible sizes and what the source throws.
    template <class Source>
    constexpr transformer_xl(Source& source, const transformer_xl_config& config)
        : config_(checked(config)),
          embedding_(source, config_),
          layers_(make_layers(source, config_)),
          softmax_(source, config_, embedding_),
          embedding_point_(dropout_from<T>(source, "embed")),
          final_point_(point_from<T>(source, "final")) {}

    /// Hidden states of a chunk.
    /// **Shapes** words: T x batch word numbers, time outermost; result (T * batch, d).
    /// `state` is a state_type, or a transformer_xl_stream for T = 1.
    /// **Throws** tare::error on a word outside the vocabulary and when batch does not divide.
    template <class State>
    [[nodiscard]] constexpr T hidden(std::span<const token> words, extent batch,
                                     State& state) const {
        const extent count = static_cast<extent>(words.size());
        require(batch >= 1 && count >= 1 && count % batch == 0, "transformer_xl: ", count,
                " words cannot be ", batch, " streams of one length");
        if (state.memory.empty()) state.memory.resize(layers_.size());
        require(state.memory.size() == layers_.size(), "transformer_xl: the state has ",
                state.memory.size(), " layers, the model ", layers_.size());
        T x = reshape(embedding_point_(embedding_(words)),
                      shape{count / batch, batch, config_.width});
        for (std::size_t i = 0; i < layers_.size(); ++i)
            x = layers_[i](x, state.memory[i]);
        return final_point_(reshape(x, shape{count, config_.width}));
    }

    [[nodiscard]] constexpr const adaptive_embedding<T, Weight>& embedding() const {
        return embedding_;
    }
    [[nodiscard]] constexpr const adaptive_softmax<T, Weight>& softmax() const { return softmax_; }
    [[nodiscard]] constexpr std::span<const transformer_xl_layer<T, Weight>> layers() const {
        return layers_;
    }
    [[nodiscard]] constexpr const transformer_xl_config& config() const { return config_; }

    /// Calls visitor(name, parameter) for every parameter; tied tables once.
    template <class Visitor>
    constexpr void visit(Visitor&& visitor) {
        embedding_.visit(visitor);
        for (transformer_xl_layer<T, Weight>& layer : layers_)
            layer.visit(visitor);
        softmax_.visit(visitor);
    }

  private:
    using layer_type = transformer_xl_layer<T, Weight>;

    template <class Source>
    static constexpr std::vector<layer_type> make_layers(Source& source,
                                                         const transformer_xl_config& config) {
        std::vector<layer_type> layers;
        for (extent i = 0; i < config.layers; ++i)
            layers.emplace_back(source, config, join("layers.", i));
        return layers;
    }
    static constexpr const transformer_xl_config& checked(const transformer_xl_config& config) {
        config.check();
        return config;
    }

    transformer_xl_config config_;
    adaptive_embedding<T, Weight> embedding_;
    std::vector<layer_type> layers_;
    adaptive_softmax<T, Weight> softmax_;
    activation_point<T> embedding_point_;  ///< of dropout alone: embeddings are not quantized
    activation_point<T> final_point_;
};

}  // namespace tare
