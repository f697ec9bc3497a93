#pragma once
// SPDX-License-Identifier: MIT
// What a translation model says about a batch, and what it loses by it. Positions of padding leave
// before the output layer: their rows would cost as much as any and count nothing.

#include <span>
#include <utility>
#include <vector>

#include <tare/models/translation_transformer.hpp>
#include <tare/ops/gather.hpp>
#include <tare/ops/log_softmax_sums.hpp>
#include <tare/ops/reshape.hpp>
#include <tare/text/parallel_batching.hpp>
#include <tare/text/perplexity.hpp>

namespace tare::train {

/// One forward pass over a batch: everything that a loss may speak of.
template <class T>
struct translation_pass {
    const text::translation_batch* batch = nullptr;
    encoded_source<T> source;
    decoded_target<T> target;
    std::vector<token> words;  ///< the targets that are no padding, in the order of their places
    T logits;                  ///< (words, vocabulary), a row for each of them

    /// Target tokens, </s> included: what a loss is divided by.
    [[nodiscard]] double count() const { return static_cast<double>(words.size()); }
};

/// Runs a model over a batch. **Throws** tare::error on words outside the vocabularies.
template <class T, class Weight, class Norm>
[[nodiscard]] translation_pass<T> run_pass(const translation_transformer<T, Weight, Norm>& model,
                                           const text::translation_batch& batch) {
    translation_pass<T> out;
    out.batch = &batch;
    out.source = model.encode(batch.source.ids, batch.source.sentences);
    out.target = model.decode(batch.previous.ids, out.source);
    const std::vector<token>& ids = batch.target.ids;
    std::vector<token> rows;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] == text::padding_id) continue;
        rows.push_back(static_cast<token>(i));
        out.words.push_back(ids[i]);
    }
    const T& hidden = out.target.hidden;
    const T all = reshape(hidden, shape{static_cast<extent>(ids.size()), hidden.shape().columns()});
    out.logits =
        model.logits(rows.size() == ids.size() ? all : gather(all, std::span<const token>(rows)));
    return out;
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
        auto pass = run_pass(model, batch);
        const double count = pass.count();
        const auto sums = log_softmax_sums(pass.logits, std::move(pass.words));
        meter.add(-static_cast<double>(sums.values()[0]) / count, static_cast<extent>(count));
    }
    return meter;
}

}  // namespace tare::train
