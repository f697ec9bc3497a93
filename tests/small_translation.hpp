#pragma once
// SPDX-License-Identifier: MIT
// A translation model that trains in milliseconds, and pairs of random words for it.

#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include <tare/core/random.hpp>
#include <tare/models/translation_transformer_config.hpp>
#include <tare/text/parallel_batching.hpp>

namespace tare::testing {

/// Pairs of 2 to 7 random words, ids 4 to 12.
inline text::parallel_corpus random_pairs(std::size_t count) {
    const text::vocabulary words =
        text::build_dictionary(std::vector<std::string>{"a b c d e f g h i"});
    text::parallel_corpus out;
    const random_stream draws(5, 1);
    std::uint32_t next = 0;
    const auto line = [&] {
        std::string text;
        const std::uint32_t length = 2 + draws.below(next++, 6);
        for (std::uint32_t i = 0; i < length; ++i) {
            text.push_back(static_cast<char>('a' + draws.below(next++, 9)));
            text.push_back(' ');
        }
        return text;
    };
    for (std::size_t i = 0; i < count; ++i) {
        out.source.add(line(), words);
        out.target.add(line(), words);
    }
    return out;
}

/// All pairs of a corpus as one batch.
inline text::translation_batch whole_batch(const text::parallel_corpus& pairs) {
    std::vector<std::size_t> all(pairs.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    return text::make_batch(pairs, all);
}

/// Sizes of the model: one layer on each side unless told.
inline translation_transformer_config small_translation(std::size_t layers = 1) {
    return translation_transformer_config::uniform(16, 16, layers, 16, 24, 2);
}

}  // namespace tare::testing
