#pragma once
// SPDX-License-Identifier: MIT
// Batches of sentence pairs of about one length: the pairs are shuffled, sorted by their lengths,
// cut into batches of at most so many tokens (sentences times the longest side of any of them), and
// the batches shuffled. Sources are padded on the left, targets on the right, and the decoder reads
// </s> and the target without its last id.
// Source: the batches of fairseq.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/random.hpp>
#include <tare/core/shape.hpp>
#include <tare/text/parallel_corpus.hpp>

namespace tare::text {

/// How pairs are put together.
struct batch_options {
    std::size_t most_tokens = 4096;  ///< sentences times the longest side of any, at most
    std::size_t multiple = 8;        ///< of which larger batches have a multiple of sentences
};

/// Numbers of the pairs of each batch.
using batch_list = std::vector<std::vector<std::size_t>>;

/// Cuts the pairs `order` into batches, in that order. What a full batch has beyond a multiple
/// begins the next one.
/// **Throws** tare::error on a pair that alone is more than a batch holds.
[[nodiscard]] inline batch_list cut_batches(const parallel_corpus& corpus,
                                            std::span<const std::size_t> order,
                                            const batch_options& options) {
    require(options.multiple >= 1, "cut_batches: batches of multiples of ", options.multiple,
            " sentences; expected at least 1");
    batch_list out;
    std::vector<std::size_t> batch;
    std::size_t longest = 0;
    for (const std::size_t i : order) {
        require(corpus.longer(i) <= options.most_tokens, "cut_batches: pair ", i + 1, " has ",
                corpus.longer(i), " tokens and a batch holds ", options.most_tokens,
                "; raise most_tokens or remove the pair");
        longest = std::max(longest, corpus.longer(i));
        // Padding is computed as words are, so the longest sentence counts for each.
        if ((batch.size() + 1) * longest > options.most_tokens) {
            // Less than a multiple is taken as it is: it would never grow to one.
            const std::size_t whole = batch.size() / options.multiple * options.multiple;
            const auto cut = static_cast<std::ptrdiff_t>(whole > 0 ? whole : batch.size());
            out.emplace_back(batch.begin(), batch.begin() + cut);
            batch.erase(batch.begin(), batch.begin() + cut);
            longest = corpus.longer(i);
            for (const std::size_t kept : batch)
                longest = std::max(longest, corpus.longer(kept));
        }
        batch.push_back(i);
    }
    if (!batch.empty()) out.push_back(std::move(batch));
    return out;
}

namespace detail {

/// Fisher and Yates; the order depends on the stream alone.
template <class T>
void shuffle(std::vector<T>& values, const random_stream& draws) {
    for (std::size_t i = values.size(); i > 1; --i)
        std::swap(values[i - 1], values[draws.below(i, static_cast<std::uint32_t>(i))]);
}

}  // namespace detail

/// Numbers of all pairs, shuffled with the seed or (0) as they stand, sorted by the length of the
/// source, then of the target.
[[nodiscard]] inline std::vector<std::size_t> order_by_length(const parallel_corpus& corpus,
                                                              std::uint64_t seed = 0) {
    std::vector<std::size_t> order(corpus.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (seed != 0) detail::shuffle(order, random_stream(seed, 0x6F72646572U));
    // Stable: pairs of one length keep the order that was drawn, so epochs differ inside batches.
    std::ranges::stable_sort(order, {}, [&](std::size_t i) {
        return std::pair(corpus.source[i].size(), corpus.target[i].size());
    });
    return order;
}

/// The batches of an epoch: a function of seed and epoch alone, so that a training can be resumed
/// anywhere. **Throws** as cut_batches.
[[nodiscard]] inline batch_list epoch_batches(const parallel_corpus& corpus,
                                              const batch_options& options, std::uint64_t seed,
                                              std::uint64_t epoch) {
    // 0 would mean "as they stand".
    const std::uint64_t drawn = seed_of_call(seed, epoch) | 1U;  // never 0
    batch_list out = cut_batches(corpus, order_by_length(corpus, drawn), options);
    detail::shuffle(out, random_stream(drawn, 0x6261746368U));
    return out;
}

/// Sentences of one length: position p of sentence b stands at [p * sentences + b], time outermost.
struct padded_sentences {
    std::vector<std::int32_t> ids;
    extent sentences = 0;
    extent length = 0;
};

/// Which side of a sentence the padding stands on.
enum class pad_side { left, right };

/// Pads sentences to the longest. **Throws** tare::error where there is none.
[[nodiscard]] inline padded_sentences
pad_sentences(std::span<const std::span<const std::int32_t>> sentences, pad_side side) {
    require(!sentences.empty(), "pad_sentences: no sentence; expected at least 1");
    const std::size_t count = sentences.size();
    std::size_t longest = 0;
    for (const auto& ids : sentences)
        longest = std::max(longest, ids.size());
    padded_sentences out{{}, static_cast<extent>(count), static_cast<extent>(longest)};
    out.ids.assign(longest * count, padding_id);
    for (std::size_t b = 0; b < count; ++b) {
        const std::size_t first = side == pad_side::left ? longest - sentences[b].size() : 0;
        for (std::size_t t = 0; t < sentences[b].size(); ++t)
            out.ids[(first + t) * count + b] = sentences[b][t];
    }
    return out;
}

/// What one update learns from.
struct translation_batch {
    padded_sentences source;
    padded_sentences previous;      ///< what the decoder reads: </s>, then the target but its last
    padded_sentences target;        ///< what it is to say
    std::size_t source_tokens = 0;  ///< without padding, </s> included
    std::size_t target_tokens = 0;
};

/// The pairs of that numbers, padded. **Throws** tare::error on a number beyond the corpus.
[[nodiscard]] inline translation_batch make_batch(const parallel_corpus& corpus,
                                                  std::span<const std::size_t> pairs) {
    translation_batch out;
    std::vector<std::span<const std::int32_t>> sources;
    std::vector<std::span<const std::int32_t>> targets;
    for (const std::size_t i : pairs) {
        require(i < corpus.size(), "make_batch: pair ", i, " of ", corpus.size());
        sources.push_back(corpus.source[i]);
        targets.push_back(corpus.target[i]);
        out.source_tokens += sources.back().size();
        out.target_tokens += targets.back().size();
    }
    out.source = pad_sentences(sources, pad_side::left);
    out.target = pad_sentences(targets, pad_side::right);
    out.previous = out.target;
    const std::size_t count = pairs.size();
    // One step later in time; the last id of a target is not read, and what follows is padding.
    std::copy_backward(out.target.ids.begin(), out.target.ids.end() - static_cast<extent>(count),
                       out.previous.ids.end());
    std::fill_n(out.previous.ids.begin(), count, end_id);
    for (std::size_t b = 0; b < count; ++b)
        for (std::size_t t = targets[b].size(); t < static_cast<std::size_t>(out.target.length);
             ++t)
            out.previous.ids[t * count + b] = padding_id;
    return out;
}

}  // namespace tare::text
