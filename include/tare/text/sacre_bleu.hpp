#pragma once
// SPDX-License-Identifier: MIT
// BLEU of plain, detokenised text as sacreBLEU 1.4 reports it: its tokenizer "13a" (that of the
// mteval script), n-grams as in text/bleu.hpp, and exponential smoothing: the j-th order without a
// match has the precision 1 / (2^j n-grams); an order without n-grams makes the score 0.
// Source: Post 2018, section 4; Chen and Cherry 2014, smoothing 3; NIST mteval-v13a.

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/text/bleu.hpp>

namespace tare::text {

namespace detail {

[[nodiscard]] inline std::string replaced(std::string_view text, std::string_view from,
                                          std::string_view to) {
    std::string out;
    // From the left and without looking again at what was put in, as a textual substitution does.
    for (std::size_t at = text.find(from); at != text.npos; at = text.find(from)) {
        out.append(text.substr(0, at)).append(to);
        text.remove_prefix(at + from.size());
    }
    return out.append(text);
}

[[nodiscard]] constexpr bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

/// Characters that mteval sets apart: ASCII but for letters, digits and ' , - .
[[nodiscard]] constexpr bool set_apart(char c) noexcept {
    // Written as the script's ranges of code points, so that they can be compared with it.
    return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
           (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

/// The text with both of each pair of neighbours that `matches` set apart from each other, and a
/// space before or behind the pair; pairs are taken from the left without overlap.
template <class Matches>
[[nodiscard]] std::string part_pairs(std::string_view text, bool before, Matches matches) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        // The last character has no neighbour and stays as it is.
        if (i + 1 == text.size() || !matches(text[i], text[i + 1])) {
            out.push_back(text[i]);
            continue;
        }
        if (before) out.push_back(' ');
        out.push_back(text[i]);
        out.push_back(' ');
        out.push_back(text[++i]);
        if (!before) out.push_back(' ');
    }
    return out;
}

/// White space beyond ASCII, and the separators that Unicode counts as such, become spaces.
inline void plain_spaces(std::string& text) {
    for (char& c : text)
        // The four separators below the space: Python's split() cuts there, C's isspace() does not.
        if (c >= '\x1C' && c <= '\x1F') c = ' ';
    // Languages do not agree on what white space is; these are what the reference's split() knows.
    static constexpr std::array<std::string_view, 19> wide{
        "\u0085", "\u00A0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
        "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200A",
        "\u2028", "\u2029", "\u202F", "\u205F", "\u3000"};
    for (const std::string_view space : wide)
        text = replaced(text, space, " ");
}

}  // namespace detail

/// The words of a line under tokenizer 13a.
[[nodiscard]] inline std::vector<std::string> words_13a(std::string_view line) {
    std::string text(line);
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 7> names{{
        {"<skipped>", ""},
        {"-\n", ""},
        {"\n", " "},
        {"&quot;", "\""},
        {"&amp;", "&"},
        {"&lt;", "<"},
        {"&gt;", ">"},
    }};
    for (const auto& [from, to] : names)
        text = detail::replaced(text, from, to);
    // A space on both ends, so that rules on neighbours hold at the ends of the line, too.
    std::string apart(" ");
    for (const char c : text) {
        const bool alone = detail::set_apart(c);
        if (alone) apart.push_back(' ');
        apart.push_back(c);
        if (alone) apart.push_back(' ');
    }
    apart.push_back(' ');
    // A point or a comma inside a number belongs to it: 3.14 stays one word.
    const auto stop = [](char c) { return c == '.' || c == ','; };
    // Each rule is a pass of its own: what the one before it wrote takes part in the next.
    text = detail::part_pairs(apart, false,
                              [&](char a, char b) { return !detail::is_digit(a) && stop(b); });
    text = detail::part_pairs(text, true,
                              [&](char a, char b) { return stop(a) && !detail::is_digit(b); });
    text = detail::part_pairs(text, false,
                              [](char a, char b) { return detail::is_digit(a) && b == '-'; });
    detail::plain_spaces(text);
    return bleu_words(text);
}

/// BLEU of counts with exponential smoothing.
[[nodiscard]] inline bleu_score sacre_bleu(const bleu_counts& counts) {
    bleu_score out;
    out.length = counts.length;
    out.reference_length = counts.reference_length;
    out.brevity = detail::brevity(counts.length, counts.reference_length);
    double halvings = 1.0;
    double logarithms = 0.0;
    for (std::size_t i = 0; i < bleu_orders; ++i) {
        const auto ngrams = static_cast<double>(counts.ngrams[i]);
        // Too short for this order: no smoothing can say how good it would have been.
        if (counts.ngrams[i] == 0) return out;
        // Each further order without a match counts half as much as the one before.
        if (counts.matches[i] == 0) halvings *= 2.0;
        out.precisions[i] = counts.matches[i] == 0
                                ? 100.0 / (halvings * ngrams)
                                : 100.0 * static_cast<double>(counts.matches[i]) / ngrams;
        logarithms += std::log(out.precisions[i]);
    }
    out.bleu = out.brevity * std::exp(logarithms / static_cast<double>(bleu_orders));
    return out;
}

/// sacreBLEU of two texts of plain sentences, line against line, case as it is.
/// **Throws** tare::error on different numbers of lines.
[[nodiscard]] inline bleu_score sacre_bleu(std::span<const std::string> translations,
                                           std::span<const std::string> references) {
    require(translations.size() == references.size(), "sacre_bleu: ", translations.size(),
            " translations for ", references.size(), " references; expected one for each");
    bleu_counts counts;
    for (std::size_t i = 0; i < translations.size(); ++i)
        counts += count_bleu<std::string>(words_13a(translations[i]), words_13a(references[i]));
    return sacre_bleu(counts);
}

}  // namespace tare::text
