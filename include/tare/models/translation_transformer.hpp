#pragma once
// SPDX-License-Identifier: MIT
// The encoder-decoder Transformer for translation, written once: over tensors it computes, over
// variables it learns, over costs it is weighed. Parameters have fairseq's names.
// Sources: Vaswani et al. 2017; attention to earlier encoder layers as in HAT, Wang et al. 2020,
// section 3.2; several passes through the same layers as in PET, PLOS ONE 18(7) e0288060 (2023).

#include <algorithm>
#include <concepts>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <tare/models/translation_transformer_config.hpp>
#include <tare/nn/token_embedding.hpp>
#include <tare/nn/transformer_decoder_layer.hpp>
#include <tare/nn/transformer_encoder_layer.hpp>
#include <tare/ops/concatenate.hpp>
#include <tare/ops/leading_linear.hpp>

namespace tare {

/// What the encoder makes of a batch.
template <class T>
struct encoded_source {
    T memory;               ///< the result, (S, B, width)
    std::vector<T> states;  ///< the embedding, then the output of each layer in each pass
    std::vector<std::uint8_t> padding;  ///< (B, S), empty where no position is padding
    extent batch = 0;

    /// The last output of the encoder, then `earlier` outputs before the last one, along time.
    [[nodiscard]] constexpr T memory_with(extent earlier) const {
        const std::size_t n = states.size();
        if (earlier == 0) return memory;
        if (earlier == 1) return concatenate(memory, states[n - 2]);
        return concatenate(memory, states[n - 2], states[n - 3]);
    }
    /// The padding of that memory: that of the source, repeated.
    [[nodiscard]] constexpr attention_mask mask_with(extent earlier) const {
        attention_mask mask;
        if (padding.empty()) return mask;
        const std::size_t length = padding.size() / static_cast<std::size_t>(batch);
        for (std::size_t b = 0; b < static_cast<std::size_t>(batch); ++b)
            for (extent copy = 0; copy <= earlier; ++copy)
                for (std::size_t s = 0; s < length; ++s)
                    mask.padding.push_back(padding[b * length + s]);
        return mask;
    }
};

/// What the decoder makes of a batch.
template <class T>
struct decoded_target {
    T hidden;               ///< what the output layer reads, (T, B, width)
    std::vector<T> states;  ///< the embedding, then the output of each layer in each pass
};

/// `Norm` may be another normalisation (nn/residual_block.hpp).
template <class T, class Weight = T, class Norm = layer_norm_layer<T>>
class translation_transformer {
  public:
    using encoder_layer = transformer_encoder_layer<T, Weight, Norm>;
    using decoder_layer = transformer_decoder_layer<T, Weight, Norm>;

    /// Asks `source` for every parameter. Throws on impossible sizes and what the source throws.
    /// Tables of packed weights that sides of different widths share are refused by the first
    /// product.
    template <class Source>
    constexpr translation_transformer(Source& source, const translation_transformer_config& config)
        : config_(checked(config)),
          encoder_embedding_(source, "encoder", config_.encoder, config_.padding,
                             table(source, "encoder", config_.encoder.vocabulary,
                                   config_.share_embeddings
                                       ? std::max(config_.encoder.width, config_.decoder.width)
                                       : config_.encoder.width)),
          decoder_embedding_(
              source, "decoder", config_.decoder, config_.padding,
              config_.share_embeddings
                  ? encoder_embedding_.table()
                  : table(source, "decoder", config_.decoder.vocabulary, config_.decoder.width)),
          output_gate_(gate_from<T>(source, "decoder.embedding_c", config_.decoder.width)) {
        const linear_start start{config_.zero_biases};
        for (std::size_t i = 0; i < config_.encoder_layers.size(); ++i)
            encoder_layers_.emplace_back(source, config_.encoder_layers[i],
                                         join("encoder.layers.", i), config_.encoder.width,
                                         config_.pre_norm, start);
        for (std::size_t i = 0; i < config_.decoder_layers.size(); ++i)
            decoder_layers_.emplace_back(source, config_.decoder_layers[i],
                                         join("decoder.layers.", i), config_.decoder.width,
                                         config_.encoder.width, config_.pre_norm, start,
                                         config_.share_queries);
        if (config_.pre_norm)
            encoder_norm_.emplace(source, "encoder.layer_norm", config_.encoder.width);
        if (config_.pre_norm && config_.decoder_final_norm)
            decoder_norm_.emplace(source, "decoder.layer_norm", config_.decoder.width);
        if (config_.tie_output)
            output_ = decoder_embedding_.table();
        else
            output_ = weight_from<Weight>(source, output_label,
                                          shape{config_.decoder.vocabulary, config_.decoder.width},
                                          table_start(config_.decoder.width));
    }

    /// **Shapes** words: S x batch word numbers, time outermost, padded on either side.
    /// **Throws** tare::error on a word outside the vocabulary and when batch does not divide.
    [[nodiscard]] constexpr encoded_source<T> encode(std::span<const token> words,
                                                     extent batch) const {
        require_batch(words, batch);
        encoded_source<T> out;
        out.batch = batch;
        out.padding = padded(words, batch);
        attention_mask mask;
        mask.padding = out.padding;
        T x = encoder_embedding_(words, token_positions(words, batch, config_.padding), batch);
        out.states.push_back(x);
        for (const attention_roles& roles : config_.encoder_passes)
            for (const encoder_layer& layer : encoder_layers_) {
                x = layer(x, mask, roles);
                out.states.push_back(x);
            }
        while (out.states.size() < config_.states() + 1)
            out.states.push_back(x);
        out.memory = encoder_norm_ ? (*encoder_norm_)(x) : x;
        return out;
    }

    /// The decoder over whole sentences.
    /// **Shapes** previous: T x batch word numbers, time outermost: what was said before each
    /// position. **Throws** as encode(), and on another batch than the source's.
    [[nodiscard]] constexpr decoded_target<T> decode(std::span<const token> previous,
                                                     const encoded_source<T>& source) const {
        require_batch(previous, source.batch);
        attention_mask mask;
        mask.causal = true;
        if (config_.mask_target_padding) mask.padding = padded(previous, source.batch);
        decoded_target<T> out;
        T x = decoder_embedding_(previous, token_positions(previous, source.batch, config_.padding),
                                 source.batch);
        out.states.push_back(x);
        std::vector<T> memories(most_memories);
        for (const attention_roles& roles : config_.decoder_passes)
            for (std::size_t i = 0; i < decoder_layers_.size(); ++i) {
                const extent earlier = config_.decoder_layers[i].earlier_states;
                T& memory = memories[static_cast<std::size_t>(earlier)];
                if (!memory.exists()) memory = source.memory_with(earlier);
                x = decoder_layers_[i](x, mask, memory, source.mask_with(earlier), roles);
                out.states.push_back(x);
            }
        out.hidden = finish(x);
        return out;
    }
    /// What follows the decoder's last layer before the output layer.
    [[nodiscard]] constexpr T finish(const T& x) const {
        return output_gate_(decoder_norm_ ? (*decoder_norm_)(x) : x);
    }

    /// Unnormalised log probabilities of every word. **Shapes** hidden (..., width), result
    /// (..., vocabulary).
    [[nodiscard]] constexpr T logits(const T& hidden) const {
        [[maybe_unused]] const auto here = scope(hidden, "decoder.output_projection");
        // A table that both sides share may be wider than this one's stream.
        if constexpr (std::same_as<T, Weight>)
            return leading_linear(hidden, output_);
        else
            return linear(hidden, output_);
    }

    [[nodiscard]] constexpr const translation_transformer_config& config() const { return config_; }
    [[nodiscard]] constexpr std::span<const encoder_layer> encoder_layers() const {
        return encoder_layers_;
    }
    [[nodiscard]] constexpr std::span<const decoder_layer> decoder_layers() const {
        return decoder_layers_;
    }
    [[nodiscard]] constexpr const token_embedding<T, Weight>& decoder_embedding() const {
        return decoder_embedding_;
    }

    /// Calls visitor(name, parameter) for every parameter; shared tables once.
    template <class Visitor>
    constexpr void visit(Visitor&& visitor) {
        visitor(short_text("encoder.embed_tokens.weight"), encoder_embedding_.mutable_table());
        for (encoder_layer& layer : encoder_layers_)
            layer.visit(visitor);
        if (encoder_norm_) encoder_norm_->visit(visitor);
        if (!config_.share_embeddings)
            visitor(short_text("decoder.embed_tokens.weight"), decoder_embedding_.mutable_table());
        for (decoder_layer& layer : decoder_layers_)
            layer.visit(visitor);
        if (decoder_norm_) decoder_norm_->visit(visitor);
        if (!config_.tie_output) visitor(short_text(output_label), output_);
    }

  private:
    static constexpr std::string_view output_label = "decoder.output_projection.weight";
    /// Memories differ by the number of earlier states alone.
    static constexpr std::size_t most_memories = 3;

    static constexpr const translation_transformer_config&
    checked(const translation_transformer_config& config) {
        config.check();
        return config;
    }
    constexpr initial table_start(extent width) const {
        initial start = initial::normal(1.0 / square_root(static_cast<double>(width)));
        start.zero_row = config_.padding;
        return start;
    }
    template <class Source>
    constexpr Weight table(Source& source, std::string_view side, extent vocabulary,
                           extent width) const {
        return weight_from<Weight>(source, join(side, ".embed_tokens.weight"),
                                   shape{vocabulary, width}, table_start(width));
    }
    static constexpr void require_batch(std::span<const token> words, extent batch) {
        const auto count = static_cast<extent>(words.size());
        require(batch >= 1 && count >= 1 && count % batch == 0, "translation_transformer: ", count,
                " words cannot be ", batch, " sentences of one length");
    }
    /// (batch, T), non-zero at padding; empty where there is none.
    constexpr std::vector<std::uint8_t> padded(std::span<const token> words, extent batch) const {
        std::vector<std::uint8_t> mask;
        if (std::find(words.begin(), words.end(), config_.padding) == words.end()) return mask;
        const auto streams = static_cast<std::size_t>(batch);
        for (std::size_t b = 0; b < streams; ++b)
            for (std::size_t i = b; i < words.size(); i += streams)
                mask.push_back(words[i] == config_.padding ? 1 : 0);
        return mask;
    }

    translation_transformer_config config_;
    token_embedding<T, Weight> encoder_embedding_;
    token_embedding<T, Weight> decoder_embedding_;
    column_gate<T> output_gate_;
    std::vector<encoder_layer> encoder_layers_;
    std::vector<decoder_layer> decoder_layers_;
    std::optional<Norm> encoder_norm_;
    std::optional<Norm> decoder_norm_;
    Weight output_;
};

}  // namespace tare
