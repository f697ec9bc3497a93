#pragma once
// SPDX-License-Identifier: MIT
// The non-parametric cache over a chunk: each row looks at the `capacity` pairs (hidden state, word
// that followed) before it, stored ones first, then those of its own chunk, never itself.
//     a_j = q_t . h_j          q_t = theta h_t
//     log p_cache(y_t) = logsumexp_{j: y_j = y_t} a_j - logsumexp_j a_j
// A row without any entry, or without an entry of its word, gets `absent`: the cache's share of the
// mixture is then lost. Source: Grave, Joulin, Usunier 2017, section 3.

#include <algorithm>
#include <cmath>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <tare/ops/concept.hpp>
#include <tare/ops/gather.hpp>
#include <tare/ops/product.hpp>
#include <tare/ops/softmax_price.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs: queries (N, d), the chunk's hidden states (N, d), stored keys (n, d) if there are any.
/// Result (N), in nats.
struct cache_log_probability {
    static constexpr std::string_view name = "cache_log_probability";
    /// log probability of a word that the cache does not hold.
    static constexpr float absent = -1e9F;

    extent capacity = 0;
    std::vector<token> stored_words;  ///< of the stored keys, oldest first
    std::vector<token> words;         ///< that follow the rows of the chunk

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == (stored_words.empty() ? 2 : 3) && in[0].rank() == 2 && in[0] == in[1],
                name, ": expected queries and keys of one shape and perhaps stored keys");
        require(in[0][0] == static_cast<extent>(words.size()), name, ": ", words.size(),
                " words for ", in[0][0], " rows");
        require(stored_words.empty() ||
                    (in[2][0] == static_cast<extent>(stored_words.size()) && in[2][1] == in[0][1]),
                name, ": stored keys are ", in.back(), " for ", stored_words.size(), " words of ",
                in[0][1], " columns");
        return shape{in[0][0]};
    }

    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>& keep) const {
        using std::exp;
        using std::log;
        basic_tensor<Scalar> all(shape{2, in[0].extents[0]});  // per row: maximum, sum
        const matrix_view<Scalar> statistics = all.mutable_view().matrix();
        for_each_block(in, [&](const block& b, matrix_view<const Scalar> scores) {
            for (extent t = b.begin; t < b.end; ++t) {
                const auto [first, last] = window(t);
                const token word = words[static_cast<std::size_t>(t)];
                if (first == last) {
                    out[t] = Scalar(absent);
                    statistics(0, t) = Scalar(0);
                    statistics(1, t) = Scalar(0);
                    continue;
                }
                const auto score = [&](extent j) -> const Scalar& {
                    return scores(t - b.begin, j - b.first);
                };
                Scalar top = score(first);
                for (extent j = first + 1; j < last; ++j)
                    if (top < score(j)) top = score(j);
                Scalar sum{};
                Scalar matching{};
                bool found = false;
                for (extent j = first; j < last; ++j) {
                    const Scalar e = exp(score(j) - top);
                    sum = j == first ? e : sum + e;
                    if (word_at(j) == word) {
                        matching = found ? matching + e : e;
                        found = true;
                    }
                }
                out[t] = found ? log(matching) - log(sum) : Scalar(absent);
                statistics(0, t) = top;
                statistics(1, t) = sum;
            }
        });
        if (keep.wanted) keep.tensors = {all};
    }

    /// da_j = dout (p_matching(j) - p_all(j)), then through the products.
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar> out,
                  array_view<const Scalar> grad_out, const saved<Scalar>& kept,
                  gradient_views<Scalar> grad_in) const {
        using std::exp;
        require(grad_in.size() < 3 || !grad_in[2], name,
                ": no gradient reaches stored keys; pass them detached");
        const matrix_view<const Scalar> statistics = kept.tensors[0].view().matrix();
        const extent stored = static_cast<extent>(stored_words.size());
        for_each_block(in, [&](const block& b, matrix_view<Scalar> scores) {
            for (extent t = b.begin; t < b.end; ++t) {
                const auto [first, last] = window(t);
                const token word = words[static_cast<std::size_t>(t)];
                const bool found = out[t] > Scalar(absent / 2);
                for (extent j = b.first; j < b.last; ++j) {
                    Scalar& s = scores(t - b.begin, j - b.first);
                    if (!found || j < first || j >= last) {
                        s = Scalar(0);
                        continue;
                    }
                    // exp(out) is matching / all: it turns shares of all into shares of matching.
                    const Scalar share = exp(s - statistics(0, t)) / statistics(1, t);
                    const Scalar own = word_at(j) == word ? share / exp(out[t]) : Scalar(0);
                    s = grad_out[t] * (own - share);
                }
            }
            const matrix_view<const Scalar> ds(scores);
            const extent split = std::clamp(stored, b.first, b.last) - b.first;
            const auto rows = [&b](auto m) { return m.rows_between(b.begin, b.end); };
            const auto own_keys = [&](auto m) {
                return m.rows_between(b.first + split - stored, b.last - stored);
            };
            const auto own_ds = ds.columns_between(split, b.last - b.first);
            if (grad_in[0] && split > 0)
                product<Scalar>(ds.columns_between(0, split),
                                in[2].matrix().rows_between(b.first, b.first + split),
                                rows(grad_in[0].matrix()), {.accumulate = true});
            if (own_ds.columns == 0) return;
            if (grad_in[0])
                product<Scalar>(own_ds, own_keys(in[1].matrix()), rows(grad_in[0].matrix()),
                                {.accumulate = true});
            if (grad_in[1])
                product<Scalar>(own_ds, rows(in[0].matrix()), own_keys(grad_in[1].matrix()),
                                {.transpose_a = true, .accumulate = true});
        });
    }

    /// A word that occurs k times in a row's window adds k - 1 terms of its own; one that is absent
    /// needs no logarithm.
    constexpr price cost(std::span<const operand> in, const operand&) const {
        const extent d = in[0].extents[1];
        const extent chunk = in[0].extents[0];
        extent pairs = 0;
        extent seeing = 0;    // rows with any entry
        extent matches = 0;   // entries of the right word
        extent matching = 0;  // rows with such an entry
        for (extent t = 0; t < chunk; ++t) {
            const auto [first, last] = window(t);
            extent own = 0;
            for (extent j = first; j < last; ++j)
                own += word_at(j) == words[static_cast<std::size_t>(t)] ? 1 : 0;
            pairs += last - first;
            seeing += last > first ? 1 : 0;
            matches += own;
            matching += own > 0 ? 1 : 0;
        }
        price p;
        p.contraction(d, std::min(capacity, static_cast<extent>(stored_words.size()) + chunk))
            .multiplications("product", pairs * d, std::max(in[0].bits, in[1].bits))
            .additions("sum", pairs * (d - 1))
            .others(softmax_maximum, pairs - seeing)
            .additions(softmax_shift, pairs)
            .others(softmax_exponential, pairs)
            .additions(softmax_sum, pairs - seeing);
        return p.additions("matching sum", matches - matching)
            .others("logarithm", 2 * matching)
            .additions("difference", matching);
    }

  private:
    /// Rows [begin, end) of the chunk and the entries [first, last) that any of them may see.
    struct block {
        extent begin, end, first, last;
    };
    /// The plain form goes row by row and computes the row's own entries only; in float, rows share
    /// one product over the union of their windows.
    template <class Scalar>
    static constexpr extent block_rows = std::is_same_v<Scalar, float> ? 64 : 1;

    /// Entries, numbered through stored ones and the chunk's own, that row t sees.
    [[nodiscard]] constexpr std::pair<extent, extent> window(extent t) const {
        const extent last = static_cast<extent>(stored_words.size()) + t;
        return {std::max<extent>(0, last - capacity), last};
    }
    [[nodiscard]] constexpr token word_at(extent entry) const {
        const extent stored = static_cast<extent>(stored_words.size());
        return entry < stored ? stored_words[static_cast<std::size_t>(entry)]
                              : words[static_cast<std::size_t>(entry - stored)];
    }

    /// Calls visit(block, scores) with scores (rows, entries) of each block of rows.
    template <class Scalar, class Visit>
    void for_each_block(input_views<Scalar> in, Visit&& visit) const {
        const extent rows = in[0].extents[0];
        const extent stored = static_cast<extent>(stored_words.size());
        for (extent begin = 0; begin < rows; begin += block_rows<Scalar>) {
            const extent end = std::min(rows, begin + block_rows<Scalar>);
            const block b{begin, end, window(begin).first, window(end - 1).second};
            basic_tensor<Scalar> buffer(shape{end - begin, b.last - b.first});
            const matrix_view<Scalar> scores = buffer.mutable_view().matrix();
            const matrix_view<const Scalar> q = in[0].matrix().rows_between(begin, end);
            const extent split = std::clamp(stored, b.first, b.last) - b.first;
            if (split > 0)
                product<Scalar>(q, in[2].matrix().rows_between(b.first, b.first + split),
                                scores.columns_between(0, split), {.transpose_b = true});
            if (split < scores.columns)
                product<Scalar>(
                    q, in[1].matrix().rows_between(b.first + split - stored, b.last - stored),
                    scores.columns_between(split, scores.columns), {.transpose_b = true});
            visit(b, scores);
        }
    }
};

}  // namespace op

}  // namespace tare
