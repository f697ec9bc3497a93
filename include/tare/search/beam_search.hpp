#pragma once
// SPDX-License-Identifier: MIT
// Beam search over any model that gives log probabilities of the next token. At every position of
// a sentence the 2 k best continuations of its k live hypotheses are looked at. Of the first k of
// them those that end the sentence are finished; the first k that do not end it live on. A sentence
// is done with k finished hypotheses, or at its greatest length, where only the end is allowed.
//     score = (sum of log probabilities) / (tokens, the end included)^length_penalty
// Source: Sutskever, Vinyals, Le 2014, section 3.2; lengths as Wu et al. 2016, equation 14 in
// fairseq's simpler form; what is finished and when is fairseq's generator.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/top_k.hpp>
#include <tare/ops/gather.hpp>

namespace tare::search {

struct beam_options {
    extent beam = 5;               ///< k, hypotheses kept for each sentence
    double length_penalty = 1.0;   ///< above 1 favours long sentences
    bool normalize = true;         ///< false: the score is the sum itself
    extent min_length = 1;         ///< tokens before the end, at least
    extent max_length = 200;       ///< tokens before the end, at most
    double unknown_penalty = 0.0;  ///< taken off the log probability of `unknown`, in nats
    token padding = 1;             ///< never said
    token end = 2;                 ///< said last, and what stands before the first token
    token unknown = 3;
};

/// The greatest length for sources of `length` tokens: at most floor(slope length + offset), and
/// with the end within `positions`.
[[nodiscard]] inline extent longest_translation(extent length, double slope, double offset,
                                                extent positions) {
    const double wanted = std::floor(slope * static_cast<double>(length) + offset);
    return std::min(static_cast<extent>(wanted), positions - 1);
}

/// A finished translation.
struct hypothesis {
    std::vector<token> tokens;  ///< the end included
    float score = 0.0F;
    /// Log probability of each token, penalties included; their sum is the score before lengths.
    std::vector<float> token_scores;
};

/// What a model is asked: one row for each live hypothesis, those of a sentence side by side. At
/// position 0 there is one row for each sentence.
struct beam_rows {
    extent position = 0;          ///< of the token wanted, from 0
    std::span<const token> last;  ///< the token before it
    /// The row of the question before that each row goes on from, so that a model can carry its
    /// state along; at position 0 the number of the sentence.
    std::span<const token> from;
};

namespace detail {

struct beam_candidate {
    float score = 0.0F;
    token row = 0;
    token word = 0;
};

/// Ends a hypothesis: running sums become the scores of the tokens.
[[nodiscard]] inline hypothesis finish(const hypothesis& before, float sum,
                                       const beam_options& options) {
    hypothesis out = before;
    out.tokens.push_back(options.end);
    out.token_scores.push_back(sum);
    for (std::size_t i = out.token_scores.size() - 1; i > 0; --i)
        out.token_scores[i] -= out.token_scores[i - 1];
    const double length = static_cast<double>(out.tokens.size());
    out.score = options.normalize
                    ? sum / static_cast<float>(std::pow(length, options.length_penalty))
                    : sum;
    return out;
}

/// Live and finished hypotheses of one sentence.
class beam_sentence {
  public:
    /// The rows of the next question that are its own.
    [[nodiscard]] std::span<const hypothesis> live() const noexcept { return live_; }
    [[nodiscard]] const std::vector<token>& from() const noexcept { return from_; }
    [[nodiscard]] std::vector<hypothesis>& done() noexcept { return done_; }

    /// Goes on from the best words of each row, the first of which is number `first_row`.
    void advance(matrix_view<const float> best, matrix_view<const token> words, token first_row,
                 const beam_options& options) {
        const auto beam = static_cast<std::size_t>(options.beam);
        // Twice the beam: even if every hypothesis ended among the first k, k others are left to go
        // on.
        const std::vector<beam_candidate> candidates = ranked(best, words, 2 * beam);
        std::vector<hypothesis> next;
        from_.clear();
        for (std::size_t rank = 0; rank < candidates.size(); ++rank) {
            const beam_candidate& c = candidates[rank];
            const hypothesis& before = live_[static_cast<std::size_t>(c.row)];
            if (c.word == options.end) {
                // An end beyond the first k is lost, not kept for later: the reference's rule,
                // which keeps finished hypotheses no worse than those that live on.
                if (rank < beam && done_.size() < beam)
                    done_.push_back(finish(before, c.score, options));
            } else if (next.size() < beam) {
                next.push_back(before);
                next.back().tokens.push_back(c.word);
                next.back().token_scores.push_back(c.score);
                from_.push_back(first_row + c.row);
            }
        }
        live_ = std::move(next);
        if (done_.size() == beam) live_.clear();
    }

  private:
    /// The best `most` continuations of all rows, impossible ones left out.
    [[nodiscard]] std::vector<beam_candidate>
    ranked(matrix_view<const float> best, matrix_view<const token> words, std::size_t most) const {
        std::vector<beam_candidate> out;
        for (extent row = 0; row < best.rows; ++row) {
            const std::vector<float>& sums = live_[static_cast<std::size_t>(row)].token_scores;
            // At position 0 one row stands for the whole beam: nothing has been said yet.
            const float before = sums.empty() ? 0.0F : sums.back();
            for (extent j = 0; j < best.columns; ++j)
                if (best(row, j) > -std::numeric_limits<float>::infinity())
                    out.push_back({best(row, j) + before, static_cast<token>(row), words(row, j)});
        }
        const auto goes_before = [](const beam_candidate& a, const beam_candidate& b) {
            if (a.score != b.score) return a.score > b.score;
            return a.row != b.row ? a.row < b.row : a.word < b.word;
        };
        std::ranges::sort(out, goes_before);
        out.resize(std::min(out.size(), most));
        return out;
    }

    std::vector<hypothesis> live_{1};  // token_scores hold running sums until they are finished
    std::vector<token> from_;          // the row of the last question behind each live one
    std::vector<hypothesis> done_;
};

/// Allows and punishes as the options say, in rows of log probabilities.
inline void constrain(matrix_view<float> rows, extent position, const beam_options& options) {
    constexpr float never = -std::numeric_limits<float>::infinity();
    for (extent r = 0; r < rows.rows; ++r) {
        const std::span<float> row = rows.row(r);
        // Taken aside first: at the greatest length the end is all that is left of the row.
        const float end = row[static_cast<std::size_t>(options.end)];
        if (position >= options.max_length) std::ranges::fill(row, never);
        row[static_cast<std::size_t>(options.end)] =
            position < options.min_length && position < options.max_length ? never : end;
        row[static_cast<std::size_t>(options.padding)] = never;
        if (options.unknown_penalty != 0.0)
            row[static_cast<std::size_t>(options.unknown)] -=
                static_cast<float>(options.unknown_penalty);
    }
}

inline void require_beam(extent sentences, extent vocabulary, const beam_options& o) {
    require(sentences >= 1, "beam_search: ", sentences, " sentences; expected at least 1");
    require(o.beam >= 1 && o.beam <= 1024, "beam_search: a beam of ", o.beam,
            "; expected 1 to 1024");
    require(o.max_length >= 0 && o.min_length >= 0, "beam_search: lengths ", o.min_length, " to ",
            o.max_length, "; expected none below 0");
    for (const token special : {o.padding, o.end, o.unknown})
        require(special >= 0 && special < vocabulary, "beam_search: the special token ", special,
                " is outside the vocabulary of ", vocabulary, " words");
}

}  // namespace detail

/// The finished hypotheses of each sentence, best first; fewer than the beam only where nothing
/// else had a probability.
/// `step(rows, log_probabilities)` is called for each position: rows is a beam_rows, the other a
/// matrix_view<float> (rows.last.size(), vocabulary) that it fills.
/// **Rounding/NaN** scores are summed in float32; equal ones are ordered by row, then by word. A
/// NaN is an error that names the position.
/// **Throws** tare::error on impossible options and NaN; whatever step throws passes through.
/// **Threads** as kernels::top_k; the result does not depend on them.
template <class Step>
[[nodiscard]] std::vector<std::vector<hypothesis>>
beam_search(extent sentences, extent vocabulary, const beam_options& options, Step&& step) {
    detail::require_beam(sentences, vocabulary, options);
    // No more than the 2 k best of one row can be among the 2 k best of its sentence.
    const extent wanted = std::min(2 * options.beam, vocabulary);
    std::vector<detail::beam_sentence> all(static_cast<std::size_t>(sentences));
    std::vector<token> last(all.size(), options.end);
    std::vector<token> from(all.size());
    std::iota(from.begin(), from.end(), token{0});
    std::vector<float> probabilities;
    std::vector<float> values;
    std::vector<token> words;
    for (extent position = 0; !last.empty(); ++position) {
        const auto rows = static_cast<extent>(last.size());
        probabilities.resize(static_cast<std::size_t>(rows * vocabulary));
        values.resize(static_cast<std::size_t>(rows * wanted));
        words.resize(values.size());
        const matrix_view<float> log_p(probabilities.data(), rows, vocabulary);
        step(beam_rows{position, last, from}, log_p);
        detail::constrain(log_p, position, options);
        kernels::top_k(log_p, {values.data(), rows, wanted}, {words.data(), rows, wanted});
        // NaN come first in their row.
        for (extent r = 0; r < rows; ++r)
            require(!std::isnan(values[static_cast<std::size_t>(r * wanted)]),
                    "beam_search: the model gave NaN at position ", position, " after word ",
                    last[static_cast<std::size_t>(r)]);
        last.clear();
        from.clear();
        extent first = 0;  // of the sentence's rows
        for (detail::beam_sentence& sentence : all) {
            const auto own = static_cast<extent>(sentence.live().size());
            sentence.advance({values.data() + first * wanted, own, wanted},
                             {words.data() + first * wanted, own, wanted},
                             static_cast<token>(first), options);
            first += own;
            for (std::size_t h = 0; h < sentence.live().size(); ++h) {
                last.push_back(sentence.live()[h].tokens.back());
                from.push_back(sentence.from()[h]);
            }
        }
    }
    std::vector<std::vector<hypothesis>> out;
    for (detail::beam_sentence& sentence : all) {
        std::ranges::stable_sort(sentence.done(), std::greater<>(), &hypothesis::score);
        out.push_back(std::move(sentence.done()));
    }
    return out;
}

}  // namespace tare::search
