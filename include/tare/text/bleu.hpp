#pragma once
// SPDX-License-Identifier: MIT
// BLEU of translations against one reference each, n-grams compared exactly.
//     BLEU = 100 min(1, e^(1 - r/s)) exp(1/4 sum_n ln p_n)
// p_n: n-grams of the translations that occur in their references (each as often as there, at most)
// over all n-grams, n = 1..4, summed over the corpus; s, r: lengths of translations and references.
// An order without a match makes BLEU 0. Source: Papineni et al. 2002, section 2; the clipping per
// sentence and the zero are those of multi-bleu and fairseq.

#include <algorithm>
#include <array>
#include <cmath>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/text/lines.hpp>

namespace tare::text {

/// Longest n-grams that count.
inline constexpr std::size_t bleu_orders = 4;

/// What a corpus is summed up to. Index n - 1 is for n-grams of n tokens.
struct bleu_counts {
    std::array<std::uint64_t, bleu_orders> matches{};
    std::array<std::uint64_t, bleu_orders> ngrams{};
    std::uint64_t length = 0;            ///< tokens of the translations
    std::uint64_t reference_length = 0;  ///< tokens of the references

    bleu_counts& operator+=(const bleu_counts& other) noexcept {
        for (std::size_t i = 0; i < bleu_orders; ++i) {
            matches[i] += other.matches[i];
            ngrams[i] += other.ngrams[i];
        }
        length += other.length;
        reference_length += other.reference_length;
        return *this;
    }
    bool operator==(const bleu_counts&) const = default;
};

/// A score and its parts.
struct bleu_score {
    double bleu = 0.0;                             ///< 0..100
    double brevity = 0.0;                          ///< factor for short translations, 0..1
    std::array<double, bleu_orders> precisions{};  ///< percent
    std::uint64_t length = 0;
    std::uint64_t reference_length = 0;

    /// "BLEU4 = 49.43, 78.2/56.0/41.3/34.6 (BP=0.989, ratio=0.989, syslen=87, reflen=88)"
    [[nodiscard]] std::string to_string() const {
        const double ratio = reference_length == 0 ? 0.0
                                                   : static_cast<double>(length) /
                                                         static_cast<double>(reference_length);
        std::array<char, 160> line;
        const int size = std::snprintf(
            line.data(), line.size(),
            "BLEU4 = %.2f, %.1f/%.1f/%.1f/%.1f (BP=%.3f, ratio=%.3f, syslen=%llu, reflen=%llu)",
            bleu, precisions[0], precisions[1], precisions[2], precisions[3], brevity, ratio,
            static_cast<unsigned long long>(length),
            static_cast<unsigned long long>(reference_length));
        return std::string(line.data(), static_cast<std::size_t>(size));
    }
};

namespace detail {

/// The n-grams of a sentence, sorted.
template <class Token>
std::vector<std::span<const Token>> sorted_ngrams(std::span<const Token> tokens, std::size_t n) {
    std::vector<std::span<const Token>> out;
    for (std::size_t i = 0; i + n <= tokens.size(); ++i)
        out.push_back(tokens.subspan(i, n));
    // Sorted lists are compared exactly, without a hash that could take two n-grams for one.
    std::ranges::sort(out, [](const auto& a, const auto& b) {
        return std::ranges::lexicographical_compare(a, b);
    });
    return out;
}

/// e^(1 - r/s) for translations that are shorter than their references; 0 where they are empty.
[[nodiscard]] inline double brevity(std::uint64_t length, std::uint64_t reference_length) {
    if (length >= reference_length) return 1.0;
    if (length == 0) return 0.0;
    return std::exp(1.0 - static_cast<double>(reference_length) / static_cast<double>(length));
}

}  // namespace detail

/// Counts of one sentence; add them up over a corpus. Tokens are words or ids.
/// **Complexity** n log n comparisons for n tokens.
template <class Token>
[[nodiscard]] bleu_counts count_bleu(std::span<const Token> translation,
                                     std::span<const Token> reference) {
    bleu_counts out;
    out.length = translation.size();
    out.reference_length = reference.size();
    for (std::size_t n = 1; n <= bleu_orders; ++n) {
        const auto have = detail::sorted_ngrams(translation, n);
        const auto want = detail::sorted_ngrams(reference, n);
        out.ngrams[n - 1] = have.size();
        // Of each n-gram as many are matched off as both have.
        for (std::size_t i = 0, j = 0; i < have.size() && j < want.size();) {
            // A walk along both lists; equal n-grams are used up on both sides, which clips the
            // counts.
            const bool less = std::ranges::lexicographical_compare(have[i], want[j]);
            const bool greater = std::ranges::lexicographical_compare(want[j], have[i]);
            if (!less && !greater) ++out.matches[n - 1];
            if (!greater) ++i;
            // What is smaller is passed, both where they are equal.
            if (!less) ++j;
        }
    }
    return out;
}

/// BLEU of a corpus: 0 where an order has no match.
[[nodiscard]] inline bleu_score corpus_bleu(const bleu_counts& counts) {
    bleu_score out;
    out.length = counts.length;
    out.reference_length = counts.reference_length;
    out.brevity = detail::brevity(counts.length, counts.reference_length);
    double logarithms = 0.0;
    for (std::size_t i = 0; i < bleu_orders; ++i) {
        const double precision = counts.ngrams[i] == 0 ? 0.0
                                                       : static_cast<double>(counts.matches[i]) /
                                                             static_cast<double>(counts.ngrams[i]);
        out.precisions[i] = 100.0 * precision;
        logarithms += std::log(precision);  // -inf where there is no match: BLEU is then 0
    }
    out.bleu = 100.0 * out.brevity * std::exp(logarithms / static_cast<double>(bleu_orders));
    return out;
}

/// BLEU of one sentence, n-grams of two tokens and more counted one higher, so that a short
/// sentence need not have four words in a row right.
/// **Source** Lin and Och 2004, section 4 (as fairseq does it).
[[nodiscard]] inline bleu_score sentence_bleu(bleu_counts counts) {
    for (std::size_t i = 1; i < bleu_orders; ++i) {
        ++counts.matches[i];
        ++counts.ngrams[i];
    }
    return corpus_bleu(counts);
}

/// The words of a line: cut at ASCII white space. `compounds`: a hyphen between two characters that
/// are no white space becomes a word of its own first, in one pass from the left without overlap,
/// so that of "a-b-c" only the first is split (compound splitting of the early WMT papers).
[[nodiscard]] inline std::vector<std::string> bleu_words(std::string_view line,
                                                         bool compounds = false);

/// The tokens of a row of ids: without leading `padding` and trailing `padding` and `end`, but for
/// one token that always stays (fairseq's scorer). `unknown`: an id that becomes -1, which matches
/// nothing that a model produces; give it for references.
[[nodiscard]] inline std::vector<std::int32_t> bleu_ids(std::span<const std::int32_t> row,
                                                        std::int32_t padding, std::int32_t end,
                                                        std::int32_t unknown = -1) {
    std::size_t first = 0;
    std::size_t last = row.size();
    while (first < last && row[first] == padding)
        ++first;
    // One token stays even if it is an end: lengths of 0 would have no ratio.
    while (last > first + 1 && (row[last - 1] == padding || row[last - 1] == end))
        --last;
    std::vector<std::int32_t> out(row.begin() + static_cast<std::ptrdiff_t>(first),
                                  row.begin() + static_cast<std::ptrdiff_t>(last));
    // Unknown words of a reference may be any word; a translation must not be paid for <unk>.
    std::ranges::replace(out, unknown, -1);
    return out;
}

/// BLEU of two texts, line against line, cut by bleu_words.
/// **Throws** tare::error on different numbers of lines.
[[nodiscard]] inline bleu_score corpus_bleu(std::span<const std::string> translations,
                                            std::span<const std::string> references,
                                            bool compounds = false) {
    require(translations.size() == references.size(), "corpus_bleu: ", translations.size(),
            " translations for ", references.size(), " references; expected one for each");
    bleu_counts counts;
    for (std::size_t i = 0; i < translations.size(); ++i)
        counts += count_bleu<std::string>(bleu_words(translations[i], compounds),
                                          bleu_words(references[i], compounds));
    return corpus_bleu(counts);
}

inline std::vector<std::string> bleu_words(std::string_view line, bool compounds) {
    std::string split;
    if (compounds) {
        // Character ends, so that one of several bytes is passed as a whole.
        const auto next = [&](std::size_t at) {
            do
                ++at;
            while (at < line.size() && (static_cast<unsigned char>(line[at]) & 0xC0U) == 0x80U);
            return at;
        };
        for (std::size_t i = 0; i < line.size();) {
            const std::size_t hyphen = next(i);
            const bool here = !detail::is_space(line[i]) && hyphen + 1 < line.size() &&
                              line[hyphen] == '-' && !detail::is_space(line[hyphen + 1]);
            const std::size_t end = here ? next(hyphen + 1) : hyphen;
            if (here) {
                split.append(line.substr(i, hyphen - i)).append(" ##AT##-##AT## ");
                split.append(line.substr(hyphen + 1, end - hyphen - 1));
            } else {
                split.append(line.substr(i, end - i));
            }
            i = end;
        }
        line = split;
    }
    std::vector<std::string> out;
    for_each_word(line, [&](std::string_view word) { out.emplace_back(word); });
    return out;
}

}  // namespace tare::text
