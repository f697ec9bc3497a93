#pragma once
// SPDX-License-Identifier: MIT
// Learns the merges of byte_pair_encoding from words and their frequencies: again and again the
// most frequent pair of neighbours becomes one symbol everywhere; of equally frequent pairs the one
// that is greatest by code points (first half before second). Counts are kept up to date word by
// word, the greatest is found by a heap whose outdated entries are dropped when they come up.
// Source: Sennrich, Haddow, Birch 2016, algorithm 1.

#include <cstddef>
#include <cstdint>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/text/byte_pair_encoding.hpp>
#include <tare/text/lines.hpp>
#include <tare/text/utf8.hpp>
#include <tare/text/vocabulary.hpp>

namespace tare::text {

/// Collects words; learn() leaves them as they are and may be called for several numbers of merges.
class byte_pair_learner {
  public:
    /// **Throws** tare::error on a word that is empty, holds white space or is not UTF-8.
    void add(std::string_view word, std::uint64_t times = 1) {
        require(!word.empty() && is_text(word), "byte_pair_learner: a word of ", word.size(),
                " bytes; expected UTF-8 text");
        // White space would end up inside a symbol and make the codes file ambiguous.
        for (const char c : word)
            require(!detail::is_space(c), "byte_pair_learner: \"", word, "\" holds white space");
        // Looked up before it is stored: most words of a text are known already, and a lookup by
        // view allocates nothing.
        const auto found = counts_.find(word);
        if (found != counts_.end())
            found->second += times;
        else
            counts_.emplace(std::string(word), times);
    }
    /// All words of a line.
    void add_line(std::string_view line) {
        for_each_word(line, [this](std::string_view word) { add(word); });
    }
    /// All words of a text. **Throws** as for_each_line.
    template <byte_source Source>
    void add_text(Source&& source) {
        for_each_line(source, [this](std::string_view line, std::uint64_t) { add_line(line); });
    }

    /// Number of different words so far.
    [[nodiscard]] std::size_t words() const noexcept { return counts_.size(); }

    /// At most `merges` merges; fewer where no pair occurs `least` times any more.
    /// The result depends on words and counts alone, not on the order in which they came.
    /// **Throws** tare::error unless merges >= 1 and least >= 1.
    [[nodiscard]] byte_pair_encoding learn(std::size_t merges, std::uint64_t least = 2) const;

  private:
    detail::word_map<std::uint64_t> counts_;
};

namespace detail {

/// Words as symbols while they are merged.
class pair_counts {
  public:
    struct pair {
        std::int32_t first = 0;
        std::int32_t second = 0;
    };

    pair_counts() = default;
    pair_counts(const pair_counts&) = delete;  // the heap's order refers to the symbols
    pair_counts& operator=(const pair_counts&) = delete;

    void add_word(std::string_view word, std::uint64_t times) {
        std::vector<std::int32_t> symbols;
        for_each_character(word, [&](std::size_t from, std::size_t to) {
            std::string text(word.substr(from, to - from));
            // The end belongs to the last symbol, so that "est" at an end is another one than
            // inside.
            if (to == word.size()) text.append(word_end);
            symbols.push_back(symbols_.number(text));
        });
        words_.push_back({std::move(symbols), times});
        change(words_.size() - 1, +1);
    }

    /// The most frequent pair into `best`; false when none occurs `least` times.
    [[nodiscard]] bool find_best(std::uint64_t least, pair& best) {
        while (!heap_.empty()) {
            // The heap may hold outdated counts, all too high, never too low: the top is either
            // true or is put back with its true count.
            const entry top = heap_.top();
            tally& t = pairs_.at(pair_key(top.at.first, top.at.second));
            if (t.count == top.count) {
                best = top.at;
                return t.count >= least;
            }
            heap_.pop();
            // A pair that became rarer left no entry of its new count; a more frequent one did.
            if (top.count == t.queued) t.queued = 0;
            push(top.at, t);
        }
        return false;
    }

    /// Joins the pair at all its places.
    void merge(const pair& p) {
        // Two pairs may join to the same text; they then are one symbol.
        std::string joined = text(p.first);
        joined.append(text(p.second));
        const std::int32_t fresh = symbols_.number(joined);
        // The list may name a word twice or in vain; the counts do not depend on it.
        const std::vector<std::size_t> holders =
            std::exchange(pairs_.at(pair_key(p.first, p.second)).words, {});
        for (const std::size_t w : holders) {
            std::vector<std::int32_t>& symbols = words_[w].symbols;
            // A word may have lost the pair to an earlier merge.
            bool holds = false;
            for (std::size_t i = 0; i + 1 < symbols.size() && !holds; ++i)
                holds = symbols[i] == p.first && symbols[i + 1] == p.second;
            if (!holds) continue;
            // Taken out whole and put in again: neighbours of the joined pair change, too, and a
            // word is short.
            change(w, -1);
            std::size_t kept = 0;
            for (std::size_t i = 0; i < symbols.size(); ++i, ++kept) {
                // From the left without overlap: of three equal symbols the first two join.
                const bool here =
                    i + 1 < symbols.size() && symbols[i] == p.first && symbols[i + 1] == p.second;
                symbols[kept] = here ? fresh : symbols[i];
                if (here) ++i;
            }
            symbols.resize(kept);
            change(w, +1);
        }
    }

    [[nodiscard]] const std::string& text(std::int32_t symbol) const {
        return symbols_.text(symbol);
    }

  private:
    struct counted_word {
        std::vector<std::int32_t> symbols;
        std::uint64_t times = 0;
    };
    struct tally {
        std::uint64_t count = 0;
        std::uint64_t queued = 0;        // the greatest count that the heap has of it
        std::vector<std::size_t> words;  // that hold the pair, or held it
    };
    struct entry {
        std::uint64_t count = 0;
        pair at;
    };
    struct goes_after {
        const symbol_table* symbols;
        bool operator()(const entry& a, const entry& b) const {
            if (a.count != b.count) return a.count < b.count;
            if (a.at.first != b.at.first)
                return symbols->text(a.at.first) < symbols->text(b.at.first);
            return symbols->text(a.at.second) < symbols->text(b.at.second);
        }
    };

    /// Adds the pairs of a word (+1) or takes them away (-1). Bytes of UTF-8 compare as its code
    /// points do.
    void change(std::size_t w, int sign) {
        const counted_word& word = words_[w];
        for (std::size_t i = 0; i + 1 < word.symbols.size(); ++i) {
            const pair at{word.symbols[i], word.symbols[i + 1]};
            tally& t = pairs_[pair_key(at.first, at.second)];
            if (sign < 0) {
                t.count -= word.times;
                continue;
            }
            t.count += word.times;
            // A pair that comes twice in a word is listed once in a row; later repeats do no harm.
            if (t.words.empty() || t.words.back() != w) t.words.push_back(w);
            push(at, t);
        }
    }
    void push(const pair& at, tally& t) {
        // An entry at least as high waits already; when it comes up, it is corrected.
        if (t.count <= t.queued) return;
        t.queued = t.count;
        heap_.push({t.count, at});
    }

    symbol_table symbols_;
    std::vector<counted_word> words_;
    std::unordered_map<std::uint64_t, tally> pairs_;
    std::priority_queue<entry, std::vector<entry>, goes_after> heap_{goes_after{&symbols_}};
};

}  // namespace detail

inline byte_pair_encoding byte_pair_learner::learn(std::size_t merges, std::uint64_t least) const {
    require(merges >= 1 && least >= 1, "byte_pair_learner: ", merges,
            " merges of pairs that occur ", least, " times; expected at least 1 and 1");
    detail::pair_counts pairs;
    for (const auto& [word, times] : counts_)
        pairs.add_word(word, times);
    std::vector<byte_pair_encoding::pair> learned;
    detail::pair_counts::pair best;
    while (learned.size() < merges && pairs.find_best(least, best)) {
        learned.emplace_back(pairs.text(best.first), pairs.text(best.second));
        pairs.merge(best);
    }
    return byte_pair_encoding(std::move(learned));
}

}  // namespace tare::text
