#pragma once
// SPDX-License-Identifier: MIT
// Words for models of the champion's size: which bins a word falls in decides how much of an
// adaptive softmax its loss needs.

#include <algorithm>
#include <cstddef>
#include <vector>

#include <tare/core/random.hpp>
#include <tare/micronet/weigh.hpp>

namespace bench {

/// `count` random words, spread over the bins as those of WikiText-103's test split.
inline std::vector<tare::token> words_of(const tare::transformer_xl_config& config,
                                         std::size_t count) {
    using namespace tare;
    const micronet::bin_counts bins = micronet::wikitext103_test_bins();
    extent tokens = 0;
    for (const auto in_bin : bins)
        tokens += in_bin;
    const random_stream random(11, 0);
    std::vector<token> words;
    for (std::size_t i = 0; i < count; ++i) {
        float at = random.uniform(2 * i) * static_cast<float>(tokens);
        std::size_t bin = 0;
        while (bin + 1 < bins.size() && at >= static_cast<float>(bins[bin]))
            at -= static_cast<float>(bins[bin++]);
        const auto inside = static_cast<extent>(random.uniform(2 * i + 1) *
                                                static_cast<float>(config.bin_size(bin)));
        words.push_back(
            static_cast<token>(config.bin_begin(bin) + std::min(inside, config.bin_size(bin) - 1)));
    }
    return words;
}

}  // namespace bench
