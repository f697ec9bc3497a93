#pragma once
// SPDX-License-Identifier: MIT
// Weighing a translation model: the cost reading translates one sentence. Keys and values are made
// once for each position, as a decoder with a cache does, so the whole sentence at once charges
// what word by word would.

#include <concepts>
#include <vector>

#include <tare/micronet/compressed_parameters.hpp>
#include <tare/micronet/compression.hpp>
#include <tare/models/translation_transformer.hpp>

namespace tare::micronet {

/// One hypothesis of `target_length` words for a source of `source_length`, without padding, with
/// the logits of every word, of a model whose parameters `source` enters into the ledger.
/// **Throws** tare::error on impossible sizes and lengths below 1.
template <std::same_as<cost> T, class Weight = T, class Source>
constexpr void translate_sentence(ledger& book, Source& source,
                                  const translation_transformer_config& config,
                                  extent source_length, extent target_length) {
    require(source_length >= 1 && target_length >= 1, "weigh: a source of ", source_length,
            " words and a target of ", target_length, "; both need one");
    {
        const translation_transformer<T, Weight> model(source, config);
        const auto words = [&config](extent length) {
            return std::vector<token>(static_cast<std::size_t>(length), config.end);
        };
        const encoded_source<T> encoded = model.encode(words(source_length), 1);
        const decoded_target<T> decoded = model.decode(words(target_length), encoded);
        static_cast<void>(model.logits(decoded.hidden));
        for (extent word = 0; word < target_length; ++word)
            book.end_token();
    }
    book.settle();
}

/// The same of a model that is compressed so; counts are a mean per word of the target.
/// A template of one type: who only includes this header does not compile the model.
template <std::same_as<cost> T = cost>
[[nodiscard]] constexpr ledger weigh(const translation_transformer_config& config,
                                     const compression& how, extent source_length,
                                     extent target_length) {
    ledger book;
    compressed_parameters source(book, how);
    translate_sentence<T>(book, source, config, source_length, target_length);
    return book;
}

}  // namespace tare::micronet
