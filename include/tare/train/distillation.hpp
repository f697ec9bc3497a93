#pragma once
// SPDX-License-Identifier: MIT
// Distillation from stored soft labels over an adaptive softmax, with teacher annealing.
// A token with label x in bin i has teacher pairs (y_k, pi_k), k = 1..K:
//     own(k) = y_k in bin i    l_k = y_k if own, else the bin's first word    r_k = own pi_k + 1e-8
//     plain:      soft = -sum_k r_k log p(l_k) / sum_k r_k
//     first bin:  i = 0   soft = -sum_k r_k log p(l_k)                         not normalised
//                 i >= 1  also the pairs of bin 0 (s_k, m_k likewise), both sums normalised
//                 together
//     loss = mean(rho hard + (1 - rho) soft)    rho = min + (max - min) min(1, step / steps)
// Teacher mass on other bins is dropped; the cache mixes only into the hard part.
// Source: Hinton, Vinyals, Dean 2015; annealing: Clark et al. 2019, section 2.3; both variants are
// those of the WikiText-103 entry.

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include <tare/models/transformer_xl.hpp>
#include <tare/ops/weighted_log_softmax.hpp>

namespace tare::train {

/// Teacher pairs of N tokens. **Shapes** words and probabilities (N, kept), falling.
struct soft_labels {
    extent kept = 0;
    std::span<const token> words;
    std::span<const float> probabilities;

    /// The pairs of token r.
    [[nodiscard]] std::span<const token> words_of(std::size_t r) const {
        const auto k = static_cast<std::size_t>(kept);
        return words.subspan(r * k, k);
    }
    [[nodiscard]] std::span<const float> probabilities_of(std::size_t r) const {
        const auto k = static_cast<std::size_t>(kept);
        return probabilities.subspan(r * k, k);
    }
};

/// Share of the hard loss: from `hard_min` to `hard_max` over `steps` steps, then constant.
struct teacher_annealing {
    double hard_min = 0.5;
    double hard_max = 0.95;
    extent steps = 200'000;

    [[nodiscard]] double hard_share(extent step) const noexcept {
        const double way = steps > 0 ? static_cast<double>(step) / static_cast<double>(steps) : 1.0;
        return hard_min + std::min(1.0, way) * (hard_max - hard_min);
    }
};

/// Both parts for each row, as log probabilities in nats: the losses are their negatives.
template <class T>
struct distilled {
    T hard;
    T soft;
};

namespace detail {

/// What a chunk asks of each block of logits: columns with weights for the soft part, the target
/// for the hard one, and the rows of each tail.
struct soft_request {
    weighted_columns head;
    std::vector<token> head_target;
    std::vector<weighted_columns> tail;
    std::vector<std::vector<token>> tail_target;
    std::vector<std::vector<token>> tail_rows;

    soft_request(const transformer_xl_config& config, std::span<const token> words,
                 const soft_labels& teacher, bool first_bin)
        : tail(config.bins() - 1), tail_target(config.bins() - 1), tail_rows(config.bins() - 1) {
        for (std::size_t r = 0; r < words.size(); ++r)
            add_row(config, words[r], r, teacher, first_bin);
    }

  private:
    static constexpr float least = 1e-8F;  ///< what the reference adds to every weight

    /// Weights r_k of the pairs that lie in a bin, and the words they go to.
    struct share {
        std::vector<float> weight;
        std::vector<token> word;
        float sum = 0.0F;

        share(const transformer_xl_config& config, std::size_t bin, std::span<const token> y,
              std::span<const float> pi) {
            for (std::size_t k = 0; k < y.size(); ++k) {
                const bool own = config.bin_of(y[k]) == bin;
                weight.push_back((own ? pi[k] : 0.0F) + least);
                word.push_back(static_cast<token>(own ? y[k] - config.bin_begin(bin) : 0));
                sum += weight.back();
            }
        }
        void put(weighted_columns& to, float norm) const {
            for (std::size_t k = 0; k < word.size(); ++k)
                to.add(word[k], weight[k] / norm);
        }
    };

    void add_row(const transformer_xl_config& config, token label, std::size_t r,
                 const soft_labels& teacher, bool first_bin) {
        const std::size_t bin = config.bin_of(label);
        const auto y = teacher.words_of(r);
        const auto pi = teacher.probabilities_of(r);
        const share own(config, bin, y, pi);
        if (bin == 0) {
            own.put(head, first_bin ? 1.0F : own.sum);
            head.end_row();
            head_target.push_back(label);
            return;
        }
        float norm = own.sum;
        if (first_bin) {
            const share frequent(config, 0, y, pi);
            norm += frequent.sum;
            frequent.put(head, norm);
        }
        const auto cluster =
            static_cast<token>(config.bin_size(0) + static_cast<extent>(tail.size() - bin));
        head.add(cluster, own.sum / norm);
        head.end_row();
        head_target.push_back(cluster);
        own.put(tail[bin - 1], norm);
        tail[bin - 1].end_row();
        tail_target[bin - 1].push_back(static_cast<token>(label - config.bin_begin(bin)));
        tail_rows[bin - 1].push_back(static_cast<token>(r));
    }
};

}  // namespace detail

/// Hard and soft log probabilities of a chunk; logits are computed once for both.
/// **Shapes** h (N, d), words N, teacher (N, K); results (N).
/// **Throws** tare::error on sizes that differ and on words outside the vocabulary.
template <class T, class Weight>
[[nodiscard]] distilled<T> distil(const transformer_xl<T, Weight>& model, const T& h,
                                  std::span<const token> words, const soft_labels& teacher,
                                  bool first_bin, const neural_cache<T>* cache = nullptr) {
    const std::size_t pairs =
        words.size() * static_cast<std::size_t>(std::max<extent>(0, teacher.kept));
    require(teacher.kept >= 1 && teacher.words.size() == pairs &&
                teacher.probabilities.size() == pairs,
            "distil: ", teacher.words.size(), " teacher words and ", teacher.probabilities.size(),
            " probabilities for ", words.size(), " tokens of ", teacher.kept, " pairs");
    const adaptive_softmax<T, Weight>& softmax = model.softmax();
    detail::soft_request ask(model.config(), words, teacher, first_bin);
    std::vector<T> blocks{softmax.layer(0)(h)};
    if (!ask.tail.empty()) blocks.push_back(softmax.clusters()(h));
    distilled<T> out;
    out.hard = pick_log_softmax(std::span<const T>(blocks), std::move(ask.head_target));
    out.soft = weighted_log_softmax(std::span<const T>(blocks), std::move(ask.head));
    for (std::size_t i = 0; i < ask.tail.size(); ++i) {
        if (ask.tail_rows[i].empty()) continue;
        const T narrow = softmax.projection(i + 1)(gather(h, ask.tail_rows[i]));
        const std::vector<T> block{softmax.layer(i + 1)(narrow)};
        out.hard = add_at(
            out.hard, pick_log_softmax(std::span<const T>(block), std::move(ask.tail_target[i])),
            ask.tail_rows[i]);
        out.soft = add_at(out.soft,
                          weighted_log_softmax(std::span<const T>(block), std::move(ask.tail[i])),
                          std::move(ask.tail_rows[i]));
    }
    out.hard = softmax.mix_cache(out.hard, h, words, cache);
    return out;
}

}  // namespace tare::train
