#pragma once
// SPDX-License-Identifier: MIT
// Translations of sentences by a translation Transformer and beam search, in batches of about one
// length.

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <tare/kernels/softmax.hpp>
#include <tare/models/translation_stream.hpp>
#include <tare/search/beam_search.hpp>
#include <tare/text/byte_pair_encoding.hpp>
#include <tare/text/parallel_batching.hpp>

namespace tare::search {

/// The hypotheses of every sentence of one batch, best first.
/// **Throws** as translation_transformer::encode() and beam_search().
template <class Weight, class Norm>
[[nodiscard]] std::vector<std::vector<hypothesis>>
translate(const translation_transformer<tensor, Weight, Norm>& model,
          const text::padded_sentences& source, const beam_options& options) {
    const encoded_source<tensor> encoded = model.encode(source.ids, source.sentences);
    translation_stream<Weight, Norm> stream(model, encoded);
    return beam_search(source.sentences, model.config().decoder.vocabulary, options,
                       [&](const beam_rows& rows, matrix_view<float> log_probabilities) {
                           // The stream carries keys and values along when hypotheses change
                           // places.
                           const tensor logits = model.logits(stream.step(rows.last, rows.from));
                           kernels::log_softmax(logits.view().matrix(), log_probabilities);
                       });
}

/// How a text is translated.
struct translation_search {
    beam_options beam{};          ///< but for max_length
    double length_slope = 1.2;    ///< the greatest length is slope S + offset for sources of S
    double length_offset = 10.0;  ///< ids, </s> and the padding of their batch included
    extent positions = 1024;      ///< that the model has
    std::size_t batch_sentences = 64;
};

/// The best translation of every sentence, </s> included, in the order of the sentences.
/// **Throws** tare::error where a sentence has none, and as translate().
template <class Weight, class Norm>
[[nodiscard]] std::vector<std::vector<token>>
translate_all(const translation_transformer<tensor, Weight, Norm>& model,
              const text::sentence_ids& sources, const translation_search& how = {}) {
    require(how.batch_sentences >= 1, "translate_all: batches of ", how.batch_sentences,
            " sentences; expected at least 1");
    // Sentences of about one length side by side: padding is computed like words, and a batch lasts
    // as long as its longest translation.
    std::vector<std::size_t> order(sources.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return sources[i].size(); });
    std::vector<std::vector<token>> out(sources.size());
    for (std::size_t begin = 0; begin < order.size(); begin += how.batch_sentences) {
        const auto numbers =
            std::span(order).subspan(begin, std::min(how.batch_sentences, order.size() - begin));
        std::vector<std::span<const token>> sentences;
        for (const std::size_t i : numbers)
            sentences.push_back(sources[i]);
        const text::padded_sentences source = text::pad_sentences(sentences, text::pad_side::left);
        beam_options options = how.beam;
        // Padding counts: the bound is that of the batch, as in the reference's generator.
        options.max_length =
            longest_translation(source.length, how.length_slope, how.length_offset, how.positions);
        std::vector<std::vector<hypothesis>> found = translate(model, source, options);
        for (std::size_t b = 0; b < numbers.size(); ++b) {
            require(!found[b].empty(), "translate_all: no translation of sentence ", numbers[b] + 1,
                    " has a probability");
            // Back to the place that the sentence has in the text.
            out[numbers[b]] = std::move(found[b].front().tokens);
        }
    }
    return out;
}

/// The best translation of every sentence as a line of words, pieces of byte pairs joined.
/// **Throws** as translate_all().
template <class Weight, class Norm>
[[nodiscard]] std::vector<std::string>
translated_lines(const translation_transformer<tensor, Weight, Norm>& model,
                 const text::sentence_ids& sources, const text::vocabulary& words,
                 const translation_search& how = {}) {
    std::vector<std::string> out;
    for (const std::vector<token>& ids : translate_all(model, sources, how))
        out.push_back(text::join_pieces(text::to_words(ids, words)));
    return out;
}

}  // namespace tare::search
