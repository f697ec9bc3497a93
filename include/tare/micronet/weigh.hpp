#pragma once
// SPDX-License-Identifier: MIT
// Weighing a language model: the cost reading is fed tokens one at a time, each asking for the
// whole distribution of the next one, as the MicroNet rules say.

#include <concepts>
#include <span>
#include <type_traits>
#include <vector>

#include <tare/micronet/compressed_parameters.hpp>
#include <tare/micronet/compression.hpp>
#include <tare/models/transformer_xl.hpp>

namespace tare::micronet {

/// Numbers of test tokens in each bin of the vocabulary.
using bin_counts = std::vector<extent>;

/// WikiText-103's test split under cutoffs 3500 and 25000.
[[nodiscard]] inline constexpr bin_counts wikitext103_test_bins() {
    return {198232, 35479, 11858};
}

/// One token of a stream: hidden state, whole distribution.
template <class T, class Weight, class State>
constexpr T step(const transformer_xl<T, Weight>& model, token word, State& state,
                 const std::type_identity_t<neural_cache<T>>* cache, T& hidden) {
    const std::vector<token> one{word};
    hidden = model.hidden(one, 1, state);
    return model.softmax().distribution(hidden, cache);
}

/// A stream in full swing: windows and cache are full, each bin's tokens are represented by one
/// that counts as often as the bin occurs. Throws on counts that do not match the bins.
/// A template of one type: who only includes this header does not compile the model.
template <std::same_as<cost> T = cost>
[[nodiscard]] constexpr ledger weigh(const transformer_xl_config& config, const compression& how,
                                     const bin_counts& counts) {
    config.check();
    require(counts.size() == config.bins(), "weigh: ", counts.size(), " token counts for ",
            config.bins(), " bins of the vocabulary");
    ledger book;
    {
        compressed_parameters source(book, how);
        const transformer_xl<T> model(source, config);
        transformer_xl_state<T> state;
        neural_cache<T> cache(config.cache.capacity);
        book.repeat(0);
        {
            const T warm = model.hidden(
                std::vector<token>(static_cast<std::size_t>(config.window), token{0}), 1, state);
            if (config.cache.capacity > 0)
                cache.push(
                    T(book,
                      operand::dense(shape{config.cache.capacity, config.width}, warm.what().bits)),
                    std::vector<token>(static_cast<std::size_t>(config.cache.capacity), token{0}));
        }
        book.activations().forget_peak();
        // Full windows stay full: the bins share one state, so that none lives twice at the peak.
        for (std::size_t bin = 0; bin < config.bins(); ++bin) {
            book.repeat(counts[bin]);
            T hidden;
            static_cast<void>(step(model, static_cast<token>(config.bin_begin(bin)), state,
                                   config.cache.capacity > 0 ? &cache : nullptr, hidden));
            book.end_token();
        }
    }
    book.repeat(1);
    book.settle();
    return book;
}

/// A stream from its first token: empty windows, empty cache, the bins as they come.
/// Throws on an empty stream and on a word outside the vocabulary.
template <std::same_as<cost> T = cost>
[[nodiscard]] constexpr ledger weigh(const transformer_xl_config& config, const compression& how,
                                     std::span<const token> stream) {
    require(!stream.empty(), "weigh: the stream has no tokens");
    ledger book;
    {
        compressed_parameters source(book, how);
        const transformer_xl<T> model(source, config);
        transformer_xl_state<T> state;
        neural_cache<T> cache(config.cache.capacity);
        const bool cached = config.cache.capacity > 0;
        for (std::size_t t = 0; t < stream.size(); ++t) {
            T hidden;
            static_cast<void>(step(model, stream[t], state, cached ? &cache : nullptr, hidden));
            if (cached && t + 1 < stream.size()) cache.push(hidden, stream.subspan(t + 1, 1));
            book.end_token();
        }
    }
    book.settle();
    return book;
}

}  // namespace tare::micronet
