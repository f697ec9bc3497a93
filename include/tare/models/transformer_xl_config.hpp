#pragma once
// SPDX-License-Identifier: MIT
// The sizes of a Transformer-XL language model with adaptive embedding, adaptive softmax and cache,
// as a constant-expression value, and the presets that have names.

#include <cstddef>

#include <tare/core/bounded_list.hpp>
#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare {

/// Up to eight sizes that live inside their object.
using size_list = bounded_list<extent, 8>;

/// What the non-parametric cache is.
struct cache_config {
    extent capacity = 0;   ///< pairs; 0 for no cache
    bool trained = false;  ///< theta and lambda are parameters
    double theta = 0.016;  ///< scale of the scores (initial value if trained)
    double lambda = 0.07;  ///< weight of the cache's distribution (initial value if trained)
    bool shared = false;   ///< all streams of a batch share one cache, interleaved
};

/// Sizes of the model. Bin i of the vocabulary holds the words from cutoffs[i-1] to cutoffs[i].
struct transformer_xl_config {
    extent layers = 8;
    extent width = 256;  ///< d, of the residual stream
    extent heads = 8;
    extent key_width = 24;    ///< per head
    extent value_width = 24;  ///< per head
    extent inner = 768;       ///< of the feed-forward network
    extent window = 96;       ///< positions before the own one that are attended to
    extent vocabulary = 267735;
    size_list cutoffs{3500, 25000};
    size_list widths{256, 64, 4};  ///< embedding width of each bin; the first equals `width`
    cache_config cache{};

    [[nodiscard]] constexpr std::size_t bins() const { return cutoffs.size() + 1; }
    [[nodiscard]] constexpr extent bin_begin(std::size_t bin) const {
        return bin == 0 ? 0 : cutoffs[bin - 1];
    }
    [[nodiscard]] constexpr extent bin_end(std::size_t bin) const {
        return bin < cutoffs.size() ? cutoffs[bin] : vocabulary;
    }
    [[nodiscard]] constexpr extent bin_size(std::size_t bin) const {
        return bin_end(bin) - bin_begin(bin);
    }
    /// Bin of a word. Throws on a word outside the vocabulary.
    [[nodiscard]] constexpr std::size_t bin_of(extent word) const {
        require(word >= 0 && word < vocabulary, "transformer_xl: word ", word,
                " is outside the vocabulary of ", vocabulary);
        std::size_t bin = 0;
        while (bin < cutoffs.size() && word >= cutoffs[bin])
            ++bin;
        return bin;
    }

    /// Throws on sizes that no model can have.
    constexpr void check() const {
        const auto positive = [](const char* what, extent value) {
            require(value >= 1 && value <= (extent{1} << 31), "transformer_xl: ", what, " is ",
                    value, "; it must be from 1 to 2^31");
        };
        positive("layers", layers);
        positive("width", width);
        positive("heads", heads);
        positive("key_width", key_width);
        positive("value_width", value_width);
        positive("inner", inner);
        positive("window", window);
        positive("vocabulary", vocabulary);
        require(widths.size() == bins(), "transformer_xl: ", widths.size(),
                " embedding widths for ", bins(), " bins; one for each is needed");
        require(widths[0] == width, "transformer_xl: the first embedding width is ", widths[0],
                ", the model's width ", width, "; they must be equal");
        for (std::size_t bin = 0; bin < bins(); ++bin) {
            positive("an embedding width", widths[bin]);
            require(bin_size(bin) >= 1, "transformer_xl: bin ", bin, " runs from ", bin_begin(bin),
                    " to ", bin_end(bin), "; cutoffs must rise and stay below the vocabulary");
        }
        require(cache.capacity >= 0, "transformer_xl: the cache holds ", cache.capacity,
                " pairs; give 0 for none");
        require(cache.capacity == 0 || (cache.theta > 0 && cache.lambda > 0 && cache.lambda < 1),
                "transformer_xl: cache theta ", cache.theta, " and lambda ", cache.lambda,
                "; theta must be positive and lambda between 0 and 1");
    }
};

}  // namespace tare
