#pragma once
// SPDX-License-Identifier: MIT
// Evaluation of a language model on a stream: chunks of any length with memory and cache carried
// over, which gives what token-by-token prediction gives. Memory and cache start empty.
// The mean of each chunk is weighted by its length; perplexity = e^loss.

#include <functional>
#include <span>
#include <vector>

#include <tare/models/transformer_xl.hpp>
#include <tare/text/batching.hpp>
#include <tare/text/perplexity.hpp>

namespace tare::train {

struct evaluation_options {
    extent chunk = 4032;       ///< tokens of a stream for each call
    extent batch = 1;          ///< streams side by side (see text::evaluation_batches)
    bool keep_losses = false;  ///< hand out the loss of every token
    std::function<void(extent done, extent of)> progress{};  ///< called after each chunk
};

struct evaluation {
    text::perplexity_meter meter;
    std::vector<float> losses;  ///< nats; time outermost in each chunk, if asked for
};

/// Rearranges a (batch, length) block so that time is outermost.
[[nodiscard]] inline std::vector<token> time_major(std::span<const token> rows, extent batch) {
    const auto streams = static_cast<std::size_t>(batch);
    const std::size_t length = rows.size() / streams;
    std::vector<token> out(rows.size());
    for (std::size_t b = 0; b < streams; ++b)
        for (std::size_t t = 0; t < length; ++t)
            out[t * streams + b] = rows[b * length + t];
    return out;
}

namespace detail {

/// The rows of stream b in a time-major block.
inline std::vector<token> rows_of_stream(extent rows, extent batch, extent b) {
    std::vector<token> out;
    for (extent r = b; r < rows; r += batch)
        out.push_back(static_cast<token>(r));
    return out;
}

/// log p of every row: all streams with one cache, or each with its own; caches then remember.
template <class T, class Weight>
std::vector<float> evaluate_rows(const transformer_xl<T, Weight>& model, const T& h,
                                 std::span<const token> words, std::span<neural_cache<T>> caches) {
    std::vector<float> out(words.size());
    const auto streams = static_cast<extent>(caches.size());
    for (extent b = 0; b < streams; ++b) {
        const std::vector<token> rows =
            rows_of_stream(static_cast<extent>(words.size()), streams, b);
        std::vector<token> own;
        for (const token r : rows)
            own.push_back(words[static_cast<std::size_t>(r)]);
        neural_cache<T>& cache = caches[static_cast<std::size_t>(b)];
        const bool cached = cache.capacity() > 0;
        const T hidden = streams == 1 ? h : gather(h, std::span<const token>(rows));
        const T logp = model.softmax().log_probability(hidden, own, cached ? &cache : nullptr);
        for (std::size_t i = 0; i < rows.size(); ++i)
            out[static_cast<std::size_t>(rows[i])] = -static_cast<float>(logp.values()[i]);
        if (cached) cache.push(hidden, own);
    }
    return out;
}

}  // namespace detail

/// Loss and perplexity of `tokens`. With config.cache.shared all streams of a batch share one
/// interleaved cache, as the published code does; otherwise each has its own.
/// **Throws** tare::error when there is nothing to predict or a word is outside the vocabulary.
template <class T, class Weight>
[[nodiscard]] evaluation evaluate(const transformer_xl<T, Weight>& model,
                                  std::span<const token> tokens,
                                  const evaluation_options& options) {
    const text::evaluation_batches batches(tokens, options.batch, options.chunk);
    const cache_config& cache = model.config().cache;
    const bool together = cache.shared || cache.capacity == 0;
    std::vector<neural_cache<T>> caches(static_cast<std::size_t>(together ? 1 : options.batch),
                                        neural_cache<T>(cache.capacity));
    typename transformer_xl<T, Weight>::state_type state;
    evaluation out;
    for (extent i = 0; i < batches.chunks(); ++i) {
        const auto size = static_cast<std::size_t>(options.batch * batches.length(i));
        std::vector<token> inputs(size);
        std::vector<token> labels(size);
        batches.fill(i, inputs, labels);
        const std::vector<token> words = time_major(labels, options.batch);
        const T h = model.hidden(time_major(inputs, options.batch), options.batch, state);
        const std::vector<float> losses =
            detail::evaluate_rows(model, h, words, std::span<neural_cache<T>>(caches));
        double sum = 0.0;
        for (const float loss : losses)
            sum += static_cast<double>(loss);
        out.meter.add(sum / static_cast<double>(size), static_cast<extent>(size));
        if (options.keep_losses) out.losses.insert(out.losses.end(), losses.begin(), losses.end());
        if (options.progress) options.progress(i + 1, batches.chunks());
    }
    return out;
}

}  // namespace tare::train
