#pragma once
// SPDX-License-Identifier: MIT
// Words cut into pieces by a list of merges: a word is its characters, the last carrying the mark
// of the word's end; as long as two neighbours are a known pair, the pair that was learned first is
// joined at all its places, left to right. In a sentence every piece but a word's last carries the
// mark "@@": "haus@@ tür". A codes file holds a pair per line below "#version: 0.2".
// Source: Sennrich, Haddow, Birch 2016, section 3.2; file and marks are subword-nmt's.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/text/lines.hpp>
#include <tare/text/utf8.hpp>
#include <tare/text/vocabulary.hpp>

namespace tare::text {

/// What the last character of a word carries while pairs are looked for.
inline constexpr std::string_view word_end = "</w>";
/// What every piece of a word but the last carries in a sentence.
inline constexpr std::string_view piece_mark = "@@";
/// First line of a codes file.
inline constexpr std::string_view codes_version = "#version: 0.2";

namespace detail {

/// Calls sink(begin, end) for each character of UTF-8 text, as byte positions.
template <class Sink>
void for_each_character(std::string_view text, Sink&& sink) {
    std::size_t begin = 0;
    // Bytes 10xxxxxx go on with a character; every other byte begins one.
    for (std::size_t i = 1; i <= text.size(); ++i) {
        const bool inside =
            i < text.size() && (static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U;
        if (inside) continue;
        sink(begin, i);
        begin = i;
    }
}

/// Texts that get numbers in the order of their first mention.
class symbol_table {
  public:
    std::int32_t number(std::string_view text) {
        const auto found = numbers_.find(text);
        if (found != numbers_.end()) return found->second;
        // Numbers instead of texts: pairs are then compared and hashed as one integer.
        const auto fresh = static_cast<std::int32_t>(texts_.size());
        texts_.emplace_back(text);
        numbers_.emplace(texts_.back(), fresh);
        return fresh;
    }
    /// -1 where there is none.
    [[nodiscard]] std::int32_t find(std::string_view text) const {
        const auto found = numbers_.find(text);
        return found == numbers_.end() ? -1 : found->second;
    }
    [[nodiscard]] const std::string& text(std::int32_t number) const {
        return texts_[static_cast<std::size_t>(number)];
    }

  private:
    std::vector<std::string> texts_;
    word_map<std::int32_t> numbers_;
};

/// Two neighbours as one number.
[[nodiscard]] constexpr std::uint64_t pair_key(std::int32_t first, std::int32_t second) noexcept {
    return std::uint64_t{static_cast<std::uint32_t>(first)} << 32 |
           static_cast<std::uint32_t>(second);
}

}  // namespace detail

/// A list of merges, ready to be applied. Immutable: threads may share it.
class byte_pair_encoding {
  public:
    using pair = std::pair<std::string, std::string>;

    byte_pair_encoding() = default;

    /// `merges` in the order in which they were learned. A pair that comes again counts where it
    /// came first, as the field's reader has it.
    /// **Throws** tare::error on a half that is empty, holds white space or is not UTF-8.
    explicit byte_pair_encoding(std::vector<pair> merges) : merges_(std::move(merges)) {
        ranks_.reserve(merges_.size());
        for (std::size_t i = 0; i < merges_.size(); ++i) {
            for (const std::string& half : {merges_[i].first, merges_[i].second})
                require(!half.empty() && is_text(half) &&
                            std::ranges::none_of(half, detail::is_space),
                        "byte_pair_encoding: merge ", i, " has the half \"", half,
                        "\"; expected a text without white space");
            const std::int32_t first = symbols_.number(merges_[i].first);
            const std::int32_t second = symbols_.number(merges_[i].second);
            std::string both = merges_[i].first;
            both.append(merges_[i].second);
            // emplace keeps the first of equal keys, which is the rank that counts.
            ranks_.emplace(detail::pair_key(first, second), rank{i, symbols_.number(both)});
        }
    }

    [[nodiscard]] std::span<const pair> merges() const noexcept { return merges_; }

    /// The pieces of a word, without marks; each is a part of `word`.
    /// **Throws** tare::error on a word that is not UTF-8.
    /// **Complexity** n^2 steps for a word of n characters.
    [[nodiscard]] std::vector<std::string_view> pieces(std::string_view word) const {
        require(is_text(word), "byte_pair_encoding: a word of ", word.size(),
                " bytes is not UTF-8 without zero bytes");
        // Piece i is [begin[i], begin[i + 1]) with the number symbol[i], -1 where no merge knows
        // it.
        std::vector<std::size_t> begin;
        std::vector<std::int32_t> symbol;
        detail::for_each_character(word, [&](std::size_t from, std::size_t to) {
            std::string text(word.substr(from, to - from));
            if (to == word.size()) text.append(word_end);
            begin.push_back(from);
            symbol.push_back(symbols_.find(text));
        });
        begin.push_back(word.size());
        // Not the most frequent pair of this word, but the one learned first: the order of learning
        // is the order of joining.
        while (true) {
            rank best;
            std::uint64_t pair_to_join = 0;
            for (std::size_t i = 0; i + 1 < symbol.size(); ++i) {
                const std::uint64_t key = detail::pair_key(symbol[i], symbol[i + 1]);
                const auto found = ranks_.find(key);
                if (found == ranks_.end() || found->second.order >= best.order) continue;
                best = found->second;
                pair_to_join = key;
            }
            if (best.symbol < 0) break;
            // All places of the pair at once, in place: pieces only get fewer.
            std::size_t kept = 0;
            for (std::size_t i = 0; i < symbol.size(); ++i, ++kept) {
                begin[kept] = begin[i];
                const bool joined = i + 1 < symbol.size() &&
                                    detail::pair_key(symbol[i], symbol[i + 1]) == pair_to_join;
                symbol[kept] = joined ? best.symbol : symbol[i];
                if (joined) ++i;
            }
            symbol.resize(kept);
            begin.resize(kept);
            begin.push_back(word.size());
        }
        std::vector<std::string_view> out;
        for (std::size_t i = 0; i + 1 < begin.size(); ++i)
            out.push_back(word.substr(begin[i], begin[i + 1] - begin[i]));
        return out;
    }

    /// A sentence with every word cut, pieces and words one space apart.
    /// **Throws** as pieces().
    [[nodiscard]] std::string encode(std::string_view line) const {
        std::string out;
        for_each_word(line, [&](std::string_view word) {
            const std::vector<std::string_view> cut = pieces(word);
            for (std::size_t i = 0; i < cut.size(); ++i) {
                if (!out.empty()) out.push_back(' ');
                out.append(cut[i]);
                if (i + 1 < cut.size()) out.append(piece_mark);
            }
        });
        return out;
    }

    friend bool operator==(const byte_pair_encoding& a, const byte_pair_encoding& b) {
        return a.merges_ == b.merges_;
    }

  private:
    struct rank {
        std::size_t order = std::numeric_limits<std::size_t>::max();
        std::int32_t symbol = -1;  // of the joined pair
    };
    std::vector<pair> merges_;
    detail::symbol_table symbols_;
    std::unordered_map<std::uint64_t, rank> ranks_;
};

/// Joins the pieces of a sentence to words again. A word that itself ends in "@@" is joined with
/// the next one: the marks do not tell it from a piece.
[[nodiscard]] inline std::string join_pieces(std::string_view line) {
    std::string out;
    bool inside = false;  // of a word
    for_each_word(line, [&](std::string_view piece) {
        if (!inside && !out.empty()) out.push_back(' ');
        inside = piece.ends_with(piece_mark);
        if (inside) piece.remove_suffix(piece_mark.size());
        out.append(piece);
    });
    return out;
}

/// The text of a codes file.
[[nodiscard]] inline std::string codes_text(const byte_pair_encoding& encoding) {
    std::string out(codes_version);
    out.push_back('\n');
    for (const byte_pair_encoding::pair& merge : encoding.merges()) {
        out.append(merge.first).push_back(' ');
        out.append(merge.second).push_back('\n');
    }
    return out;
}

/// Reads a codes file, its first `most` merges (0: all).
/// **Throws** tare::file_error naming file and line on a first line other than "#version: 0.2", on
/// lines that are not two texts with one space between, and as for_each_line.
template <byte_source Source>
[[nodiscard]] byte_pair_encoding read_codes(Source&& source, std::size_t most = 0) {
    std::vector<byte_pair_encoding::pair> merges;
    const auto refuse = [&](std::uint64_t number, const auto&... what) {
        throw file_error(message(std::string(source.path()), ":", number, ": ", what...));
    };
    const std::uint64_t lines =
        for_each_line(source, [&](std::string_view line, std::uint64_t number) {
            if (number == 1) {
                if (line != codes_version)
                    refuse(number, "begins with \"", line.substr(0, 40), "\", expected \"",
                           codes_version, "\". Is this a file of merges, of a newer subword-nmt?");
                return;
            }
            // Later lines are not looked at, but still are read: their number is not known before.
            if (most != 0 && merges.size() == most) return;
            std::vector<std::string_view> halves;
            for_each_word(line, [&](std::string_view half) { halves.push_back(half); });
            // The sizes add up only if there is one space and nothing else.
            if (halves.size() != 2 || halves[0].size() + halves[1].size() + 1 != line.size())
                refuse(number, "expected a merge: two texts with one space between");
            merges.emplace_back(halves[0], halves[1]);
        });
    if (lines == 0) refuse(1, "is empty, expected \"", codes_version, "\"");
    return byte_pair_encoding(std::move(merges));
}

}  // namespace tare::text
