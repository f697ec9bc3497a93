#pragma once
// SPDX-License-Identifier: MIT
// The whole distribution of an adaptive softmax: a head over the frequent words and one entry for
// each cluster of rarer words, and one softmax inside each cluster.
//     p(x) = head(x)                                   x in bin 0
//     p(x) = head(cluster i) * softmax(tail_i)(x)      x in bin i
// The factor of a cluster is folded into the normaliser of its tail: one operation instead of one
// for each word. Cluster i uses head entry c_1 + m - i: the entries stand in reverse order.
// With a cache, the distribution is (1 - lambda) p + lambda p_cache; 1 - lambda is folded into the
// head's normaliser and lambda into the cache's.
// Source: Grave, Joulin, Cisse, Grangier, Jegou 2017, section 4; Grave, Joulin, Usunier 2017.

#include <cmath>
#include <span>
#include <type_traits>
#include <vector>

#include <tare/kernels/adaptive_row.hpp>
#include <tare/ops/concept.hpp>
#include <tare/ops/gather.hpp>
#include <tare/ops/softmax_price.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs: head logits (N, c_1), cluster logits (N, m) if there are tails, m tails (N, n_i), and,
/// with a cache, its scores (N, entries), unless it is empty, and lambda (a single number). Result
/// (N, vocabulary).
struct adaptive_distribution {
    static constexpr std::string_view name = "adaptive_distribution";
    std::size_t tails = 0;
    bool with_cache = false;
    std::span<const token> cache_words{};  ///< the word that followed each cache entry

    constexpr shape result_shape(std::span<const shape> in) const {
        const bool looked_up = with_cache && !cache_words.empty();
        const std::size_t expected =
            1 + (tails > 0 ? 1 + tails : 0) + (with_cache ? 1 : 0) + (looked_up ? 1 : 0);
        require(in.size() == expected, name, ": ", in.size(), " inputs, expected ", expected);
        extent words = in[0].columns();
        for (std::size_t i = 0; i < tails; ++i)
            words += in[2 + i].columns();
        require(tails == 0 || in[1].columns() == static_cast<extent>(tails), name,
                ": cluster logits are ", in[1 % in.size()], " for ", tails, " tails");
        require(!with_cache || in[expected - 1].size() == 1, name, ": lambda is ", in[expected - 1],
                "; it must be a single number");
        require(!looked_up || in[expected - 2].columns() == static_cast<extent>(cache_words.size()),
                name, ": cache scores are ", in[expected - 2], " for ", cache_words.size(),
                " entries");
        return shape{in[0].rows(), words};
    }

    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        for (extent r = 0; r < out.extents[0]; ++r)
            if constexpr (std::is_same_v<Scalar, float>) {
                one_row_by_pieces(in, r, out.matrix().row(r));
            } else {
                one_row(in, r, out.matrix().row(r));
            }
    }

    constexpr price cost(std::span<const operand> in, const operand& out) const {
        const extent rows = out.extents[0];
        price p;
        charge_softmax(p, rows, in[0].extents.columns() + static_cast<extent>(tails));
        for (std::size_t i = 0; i < tails; ++i) {
            charge_softmax(p, rows, in[2 + i].extents.columns());
        }
        if (tails > 0) p.others("cluster factor", rows * static_cast<extent>(tails));
        if (with_cache) {
            const extent entries = static_cast<extent>(cache_words.size());
            p.additions("mixture factors", rows)
                .others("mixture factors", rows * (entries > 0 ? 2 : 1));
            if (entries > 0)
                charge_softmax(p, rows, entries).additions("cache mass", rows * entries);
        }
        return p;
    }

  private:
    /// exp(z - max) into `to`; returns the sum.
    template <class Scalar>
    static Scalar exponentials(std::span<const Scalar> z, Scalar top, std::span<Scalar> to) {
        using std::exp;
        Scalar sum{};
        for (std::size_t c = 0; c < z.size(); ++c) {
            to[c] = exp(z[c] - top);
            sum = c == 0 ? to[c] : sum + to[c];
        }
        return sum;
    }
    template <class Scalar>
    static Scalar maximum(std::span<const Scalar> z) {
        Scalar top = z[0];
        for (std::size_t c = 1; c < z.size(); ++c)
            if (top < z[c]) top = z[c];
        return top;
    }
    template <class Scalar>
    static void divide(std::span<Scalar> p, Scalar by) {
        for (Scalar& value : p)
            value = value / by;
    }

    template <class Scalar>
    void one_row(input_views<Scalar> in, extent r, std::span<Scalar> p) const {
        const auto row = [&](std::size_t i) { return in[i].matrix().row(r); };
        const auto head = row(0);
        std::span<Scalar> head_p = p.first(head.size());
        std::vector<Scalar> cluster_p(tails);
        Scalar top = maximum(head);
        if (tails > 0)
            for (const Scalar& z : row(1))
                if (top < z) top = z;
        Scalar sum = exponentials(head, top, head_p);
        if (tails > 0) {
            Scalar clusters = exponentials(row(1), top, std::span<Scalar>(cluster_p));
            sum = sum + clusters;
        }
        if (with_cache) sum = sum / (Scalar(1) - in.back()[0]);
        divide(head_p, sum);
        divide(std::span<Scalar>(cluster_p), sum);
        std::size_t at = head.size();
        for (std::size_t i = 0; i < tails; ++i) {
            const auto z = row(2 + i);
            std::span<Scalar> tail_p = p.subspan(at, z.size());
            const Scalar total = exponentials(z, maximum(z), tail_p);
            divide(tail_p, Scalar(total / cluster_p[tails - 1 - i]));
            at += z.size();
        }
        if (with_cache && !cache_words.empty()) {
            const auto scores = row(in.size() - 2);
            std::vector<Scalar> mass(scores.size());
            const Scalar total = exponentials(scores, maximum(scores), std::span<Scalar>(mass));
            divide(std::span<Scalar>(mass), Scalar(total / in.back()[0]));
            for (std::size_t j = 0; j < mass.size(); ++j) {
                Scalar& word = p[static_cast<std::size_t>(cache_words[j])];
                word = word + mass[j];
            }
        }
    }

    /// The same in float, with the threads on each row.
    void one_row_by_pieces(input_views<float> in, extent r, std::span<float> p) const {
        const auto row = [&](std::size_t i) { return in[i].matrix().row(r); };
        std::vector<extent> sizes{in[0].matrix().columns};
        for (std::size_t i = 0; i < tails; ++i)
            sizes.push_back(in[2 + i].matrix().columns);
        kernels::adaptive_row(tails > 0 ? row(1) : std::span<const float>{}, sizes,
                              with_cache ? 1.0F - in.back()[0] : 1.0F, p,
                              [&](std::size_t bin, std::span<float> part) {
                                  return kernels::piecewise_softmax(row(bin == 0 ? 0 : bin + 1),
                                                                    part);
                              });
        if (with_cache && !cache_words.empty())
            kernels::add_cache_row(row(in.size() - 2), cache_words, in.back()[0], p);
    }
};

}  // namespace op

}  // namespace tare
