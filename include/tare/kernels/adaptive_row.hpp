#pragma once
// SPDX-License-Identifier: MIT
// One row of an adaptive softmax's whole distribution, and the share of a cache in it.
//     p(x) = mass head(x)                                   x in bin 0
//     p(x) = mass head(cluster of bin i) softmax_i(x)       x in bin i
// The head's softmax runs over bin 0 and the clusters, whose entries stand in reverse order: bin i
// of m tails has entry m - i. Factors are folded into the normaliser of each bin, so that every
// probability is scaled once. Source: Grave, Joulin, Cisse, Grangier, Jegou 2017, section 4.

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <tare/kernels/piecewise_softmax.hpp>

namespace tare::kernels {

/// Fills `p` with the distribution; `softmax_of(bin, part)` returns the piecewise_softmax that
/// leaves the exponentials of a bin in its part of `p`, and is called once for each, in order.
/// **Shapes** clusters: logits, one for each tail; sizes: words of each bin, one more than tails;
/// p as many as all bins have words.
/// **Throws** tare::error on sizes that do not fit.
template <class Bins>
void adaptive_row(std::span<const float> clusters, std::span<const extent> sizes, float mass,
                  std::span<float> p, const Bins& softmax_of) {
    detail::require_size("adaptive_row", "sizes", sizes, static_cast<extent>(clusters.size()) + 1,
                         "one for each tail and one for the head");
    extent words = 0;
    for (const extent size : sizes) {
        require(size >= 0 && size <= static_cast<extent>(p.size()) - words,
                "adaptive_row: bins of ", size, " and ", words, " words for ", p.size(),
                " probabilities; none may be negative, and together they are as many");
        words += size;
    }
    detail::require_size("adaptive_row", "p", p, words, "one for each word");
    std::size_t at = static_cast<std::size_t>(sizes[0]);
    const piecewise_softmax head = softmax_of(std::size_t{0}, p.first(at));
    softmax_part all = head.whole();
    for (const float logit : clusters)
        all = join(all, {logit, 1.0F});
    head.finish(all.maximum, mass / all.sum);
    for (std::size_t bin = 1; bin < sizes.size(); ++bin) {
        const std::span<float> part = p.subspan(at, static_cast<std::size_t>(sizes[bin]));
        const float share =
            std::exp(clusters[clusters.size() - bin] - all.maximum) * mass / all.sum;
        const piecewise_softmax tail = softmax_of(bin, part);
        tail.finish(tail.whole().maximum, share / tail.whole().sum);
        at += part.size();
    }
}

/// Adds mass * softmax(scores)_j to the probability of the word of each cache entry j.
/// **Shapes** scores and words of one length; every word below p.size().
/// **Throws** tare::error on other sizes, on words outside, and on overlap.
inline void add_cache_row(std::span<const float> scores, std::span<const std::int32_t> words,
                          float mass, std::span<float> p) {
    detail::require_size("add_cache_row", "words", words, static_cast<extent>(scores.size()),
                         "one for each score");
    detail::require_memory("add_cache_row", "scores", scores);
    detail::require_memory("add_cache_row", "p", p);
    for (const std::int32_t word : words)
        require(word >= 0 && static_cast<std::size_t>(word) < p.size(), "add_cache_row: word ",
                word, " is outside the ", p.size(), " probabilities");
    detail::require_all_apart("add_cache_row", {{"p", p}}, {{"scores", scores}, {"words", words}});
    std::vector<float> entries(scores.size());
    const piecewise_softmax cache(scores, entries);
    cache.finish(cache.whole().maximum, mass / cache.whole().sum);
    for (std::size_t j = 0; j < entries.size(); ++j)
        p[static_cast<std::size_t>(words[j])] += entries[j];
}

}  // namespace tare::kernels
