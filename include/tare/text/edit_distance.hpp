#pragma once
// SPDX-License-Identifier: MIT
// The nearest known name to a misspelt one, for messages: Levenshtein's distance (insertions,
// deletions and substitutions of one byte each cost 1).
// Source: Levenshtein 1966; dynamic program of Wagner and Fischer 1974.

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

namespace tare::text {

/// Least number of single-byte edits that turn `a` into `b`. Cost: |a| |b| steps.
[[nodiscard]] inline std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t above = row[j + 1];
            row[j + 1] =
                std::min({above + 1, row[j] + 1, diagonal + (a[i] == b[j] ? std::size_t{0} : 1)});
            diagonal = above;
        }
    }
    return row.back();
}

/// The candidate with the smallest edit distance to `word`, the first of equals; empty when there
/// is none within half of the longer of the two (a name that far away explains nothing).
template <std::ranges::input_range Names>
[[nodiscard]] std::string nearest_name(std::string_view word, const Names& candidates) {
    // Longer words than any name would only cost time.
    if (word.size() > 256) return {};
    std::string best;
    std::size_t least = static_cast<std::size_t>(-1);
    for (const auto& name : candidates) {
        const std::string_view candidate(name);
        const std::size_t distance = edit_distance(word, candidate);
        if (distance < least && 2 * distance <= std::max(word.size(), candidate.size())) {
            least = distance;
            best = candidate;
        }
    }
    return best;
}

/// " Did you mean NAME?" for the nearest candidate, or nothing.
template <std::ranges::input_range Names>
[[nodiscard]] std::string did_you_mean(std::string_view word, const Names& candidates) {
    const std::string name = nearest_name(word, candidates);
    return name.empty() ? std::string() : " Did you mean " + name + "?";
}

}  // namespace tare::text
