#pragma once
// SPDX-License-Identifier: MIT
// What a translation model's hidden states say about the targets of a batch. Positions of padding
// leave before the output layer: their rows would cost as much as any and count nothing.

#include <span>
#include <vector>

#include <tare/ops/gather.hpp>
#include <tare/ops/log_softmax_sums.hpp>
#include <tare/ops/reshape.hpp>
#include <tare/text/parallel_batching.hpp>
#include <tare/text/perplexity.hpp>

namespace tare::train {

/// The two sums of log_softmax_sums() over all targets that are no padding.
/// **Shapes** hidden (T, B, width) as the model's decoder gives it; result (2), in nats.
template <class Model, class T>
[[nodiscard]] T target_sums(const Model& model, const T& hidden,
                            const text::translation_batch& batch) {
    const std::vector<token>& ids = batch.target.ids;
    std::vector<token> rows;
    std::vector<token> targets;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] == text::padding_id) continue;
        rows.push_back(static_cast<token>(i));
        targets.push_back(ids[i]);
    }
    const T all = reshape(hidden, shape{static_cast<extent>(ids.size()), hidden.shape().columns()});
    const T chosen = rows.size() == ids.size() ? all : gather(all, std::span<const token>(rows));
    return log_softmax_sums(model.logits(chosen), std::move(targets));
}

/// Mean loss of a corpus in nats per target token, </s> included, no smoothing.
/// **Throws** tare::error on words outside the vocabularies.
template <class Model>
[[nodiscard]] text::perplexity_meter translation_loss(const Model& model,
                                                      const text::parallel_corpus& corpus,
                                                      const text::batch_options& options = {}) {
    text::perplexity_meter meter;
    for (const auto& pairs : text::cut_batches(corpus, text::order_by_length(corpus), options)) {
        const text::translation_batch batch = text::make_batch(corpus, pairs);
        const auto encoded = model.encode(batch.source.ids, batch.source.sentences);
        const auto hidden = model.decode(batch.previous.ids, encoded).hidden;
        const double sum = -static_cast<double>(target_sums(model, hidden, batch).values()[0]);
        const auto count = static_cast<extent>(batch.target_tokens);
        meter.add(sum / static_cast<double>(count), count);
    }
    return meter;
}

}  // namespace tare::train
