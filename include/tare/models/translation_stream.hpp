#pragma once
// SPDX-License-Identifier: MIT
// The decoder of a translation Transformer word by word, in the value reading: each layer keeps,
// for each pass, the keys and values of what was said, and those of the memory are made once. Rows
// are hypotheses, any number for each sentence; they may be exchanged, copied and dropped between
// steps, as beam search does.

#include <cstddef>
#include <span>
#include <vector>

#include <tare/core/parallel.hpp>
#include <tare/models/translation_transformer.hpp>
#include <tare/nn/growing_rows.hpp>

namespace tare {

template <class Weight = tensor, class Norm = layer_norm_layer<tensor>>
class translation_stream {
  public:
    using model_type = translation_transformer<tensor, Weight, Norm>;

    /// Before the first word. The model must outlive the stream.
    translation_stream(const model_type& model, const encoded_source<tensor>& source)
        : model_(&model), sentences_(source.batch) {
        std::vector<tensor> memories(3);
        const std::size_t layers = model.decoder_layers().size();
        for (std::size_t i = 0; i < layers; ++i) {
            const extent earlier = model.config().decoder_layers[i].earlier_states;
            tensor& memory = memories[static_cast<std::size_t>(earlier)];
            if (!memory.exists()) memory = source.memory_with(earlier);
            const auto& attention = model.decoder_layers()[i].encoder_attn();
            layers_.push_back({attention.k_proj(memory),
                               attention.v_proj(memory),
                               source.mask_with(earlier).padding,
                               {},
                               {}});
        }
        // Every pass says something of its own, and reads the same memory.
        for (std::size_t i = layers; i < layers * model.config().decoder_passes.size(); ++i)
            layers_.push_back(layer_state(layers_[i - layers]));
    }

    /// The next position of every row.
    /// **Shapes** last: the word before it, for each of N rows; from: the row of the step before
    /// that each goes on from, at the first step the number of its sentence. Rows of one sentence
    /// that lie side by side read its memory together. Result (N, width): what logits() takes.
    /// **Accuracy** that of the same positions in decode(), but for the order of sums of a product
    /// with fewer rows.
    /// **Throws** tare::error on words, rows and sentences that do not exist.
    [[nodiscard]] tensor step(std::span<const token> last, std::span<const token> from) {
        require(last.size() == from.size() && !last.empty(), "translation_stream: ", last.size(),
                " words for ", from.size(), " rows; one for each is needed");
        follow(from);
        const auto rows = static_cast<extent>(last.size());
        const auto place = static_cast<token>(model_->config().padding + 1 + position_);
        tensor x = model_->decoder_embedding()(last, std::vector<token>(last.size(), place), rows);
        const std::size_t layers = model_->decoder_layers().size();
        for (std::size_t i = 0; i < layers_.size(); ++i) {
            const auto& layer = model_->decoder_layers()[i % layers];
            const attention_roles& roles = model_->config().decoder_passes[i / layers];
            layer_state& state = layers_[i];
            x = layer.run(
                x,
                [&](const tensor& y) {
                    const auto& attention = layer.self_attn();
                    state.keys.push(attention.stored(roles.key)(y));
                    state.values.push(attention.stored(roles.value)(y));
                    return attention.attend(attention.scaled(attention.stored(roles.query)(y)),
                                            state.keys.all(), state.values.all(), {});
                },
                [&](const tensor& y) { return read_memory(layer.encoder_attn(), state, y); });
        }
        ++position_;
        return model_->finish(x).reshaped(shape{rows, model_->config().decoder.width});
    }

    /// Words said so far in every row.
    [[nodiscard]] extent position() const noexcept { return position_; }

  private:
    struct layer_state {
        tensor memory_keys;    ///< (S, sentences, key width)
        tensor memory_values;  ///< (S, sentences, value width)
        std::vector<std::uint8_t> padding;
        growing_rows keys;
        growing_rows values;
    };

    /// Carries every row's history along.
    void follow(std::span<const token> from) {
        const auto known = position_ == 0 ? sentences_ : static_cast<extent>(sentence_.size());
        std::vector<extent> next;
        for (const token row : from) {
            require(row >= 0 && row < known, "translation_stream: row ", row, " of ", known);
            next.push_back(position_ == 0 ? row : sentence_[static_cast<std::size_t>(row)]);
        }
        if (position_ > 0)
            for (layer_state& state : layers_) {
                state.keys.select(from);
                state.values.select(from);
            }
        sentence_ = std::move(next);
    }

    /// Attention of each row to the memory of its sentence: neighbours of one sentence are queries
    /// of one call.
    template <class Attention>
    [[nodiscard]] tensor read_memory(const Attention& attention, const layer_state& state,
                                     const tensor& y) const {
        const tensor q = attention.queries(y);
        const extent length = state.memory_keys.shape()[0];
        std::vector<extent> begin{0};
        for (std::size_t r = 1; r <= sentence_.size(); ++r)
            if (r == sentence_.size() || sentence_[r] != sentence_[r - 1])
                begin.push_back(static_cast<extent>(r));
        const auto groups = static_cast<extent>(begin.size()) - 1;
        // The rows of a sentence lie `sentences_` apart in what time-outermost tensors hold.
        const auto of_sentence = [&](const tensor& all, extent sentence) {
            const extent width = all.shape()[2];
            return matrix_view<const float>(all.values().data() + sentence * width, length, width,
                                            sentences_ * width);
        };
        return attention.head_gate(attention.probability_point.with_rows([&](const auto& points) {
            tensor out(y.shape().with_columns(attention.sizes.value_width));
            const matrix_view<float> rows = out.mutable_view().matrix();
            const extent work = length * (q.shape()[2] + rows.columns) / 8;
            parallel_for(groups, 1, work, [&](extent first, extent last) {
                for (extent g = first; g < last; ++g) {
                    const extent top = begin[static_cast<std::size_t>(g)];
                    const extent bottom = begin[static_cast<std::size_t>(g) + 1];
                    const extent sentence = sentence_[static_cast<std::size_t>(top)];
                    kernels::attention_inputs<float> in{q.view().matrix().rows_between(top, bottom),
                                                        of_sentence(state.memory_keys, sentence),
                                                        of_sentence(state.memory_values, sentence),
                                                        {}};
                    if (!state.padding.empty())
                        in.padding = {state.padding.data() + sentence * length, 1, length};
                    kernels::attention_forward(
                        {.queries = bottom - top,
                         .keys = length,
                         .batch = 1,
                         .heads = attention.sizes.heads,
                         .key_width = in.keys.columns / attention.sizes.heads,
                         .value_width = rows.columns / attention.sizes.heads,
                         .scale = 1.0},
                        in, rows.rows_between(top, bottom), {}, {}, points);
                }
            });
            return out;
        }));
    }

    const model_type* model_;
    extent sentences_;
    extent position_ = 0;
    std::vector<extent> sentence_;  ///< of each row
    std::vector<layer_state> layers_;
};

}  // namespace tare
