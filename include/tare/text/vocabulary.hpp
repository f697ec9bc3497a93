#pragma once
// SPDX-License-Identifier: MIT
// Words and their ids. Ids follow falling frequency, words of equal frequency the order of their
// first occurrence, so that small ids are the frequent words that an adaptive softmax wants there.
// A vocabulary may be padded to a given size: a model of 267,735 ids can then be fed a text of
// 19,766 words; the ids above the words stand for nothing and never occur.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>

namespace tare::text {

/// The token that closes each line.
inline constexpr std::string_view end_of_line = "<eos>";
/// The token that stands for words outside a vocabulary.
inline constexpr std::string_view unknown_word = "<unk>";

namespace detail {

/// Lets std::unordered_map<std::string, ...> be asked with a std::string_view, without a copy.
struct word_hash {
    using is_transparent = void;
    [[nodiscard]] std::size_t operator()(std::string_view word) const noexcept {
        return std::hash<std::string_view>{}(word);
    }
};

template <class Value>
using word_map = std::unordered_map<std::string, Value, word_hash, std::equal_to<>>;

}  // namespace detail

/// Immutable two-way map between words and ids 0, 1, ...
class vocabulary {
  public:
    vocabulary() = default;

    /// `list` in the order of the ids; `n_vocab` is the padded size, 0 for no padding.
    /// Throws tare::error on a repeated or empty word, white space in a word, or a padded size
    /// below the number of words or beyond 2^31 - 1.
    explicit vocabulary(std::vector<std::string> list, std::size_t n_vocab = 0)
        : list_(std::move(list)), size_(n_vocab == 0 ? list_.size() : n_vocab) {
        require(size_ >= list_.size(), "vocabulary: a size of ", n_vocab, " is too small for ",
                list_.size(), " words; raise it or limit the number of words");
        require(size_ <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()),
                "vocabulary: ids are 31-bit numbers, a size of ", size_, " is too large");
        ids_.reserve(list_.size());
        for (std::size_t i = 0; i < list_.size(); ++i) {
            require(!list_[i].empty() && list_[i].find_first_of(" \n\t\r\v\f") == std::string::npos,
                    "vocabulary: word ", i, " is empty or holds white space");
            require(ids_.emplace(list_[i], static_cast<std::int32_t>(i)).second,
                    "vocabulary: word ", i, " \"", list_[i], "\" occurs twice");
        }
    }

    /// Number of ids, padding included: the n_vocab of a model.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// Number of words.
    [[nodiscard]] std::size_t words() const noexcept { return list_.size(); }
    /// All words in the order of their ids.
    [[nodiscard]] std::span<const std::string> list() const noexcept { return list_; }

    /// The id of a word, -1 if there is none.
    [[nodiscard]] std::int32_t find(std::string_view word) const {
        const auto found = ids_.find(word);
        return found == ids_.end() ? -1 : found->second;
    }
    /// The id of a word. Throws tare::error naming the word.
    [[nodiscard]] std::int32_t id(std::string_view word) const {
        const std::int32_t found = find(word);
        require(found >= 0, "vocabulary: \"", word, "\" is not among the ", words(), " words");
        return found;
    }
    /// The word of an id. Throws tare::error on padding and on ids outside.
    [[nodiscard]] const std::string& word(std::int32_t id) const {
        require(id >= 0 && static_cast<std::size_t>(id) < list_.size(), "vocabulary: id ", id,
                " has no word; there are ", list_.size(), " words and ", size_ - list_.size(),
                " ids of padding");
        return list_[static_cast<std::size_t>(id)];
    }

    friend bool operator==(const vocabulary& a, const vocabulary& b) {
        return a.size_ == b.size_ && a.list_ == b.list_;
    }

  private:
    std::vector<std::string> list_;
    std::size_t size_ = 0;
    detail::word_map<std::int32_t> ids_;
};

/// Counts words and turns the counts into a vocabulary.
class vocabulary_counter {
  public:
    void add(std::string_view word) {
        const auto found = counts_.find(word);
        if (found != counts_.end())
            ++found->second.count;
        else
            counts_.emplace(std::string(word), tally{1, counts_.size()});
    }

    /// Number of different words so far.
    [[nodiscard]] std::size_t words() const noexcept { return counts_.size(); }

    /// All words by falling count, ties by first occurrence, padded to `n_vocab` ids (0: none).
    /// With more than `most_words` of them (0: no limit) the rarest become <unk>, which inherits
    /// their counts and takes its place by frequency (after its equals if the text itself holds no
    /// <unk>); <unk> and <eos> are among the `most_words` however rare they are.
    /// Throws tare::error when the words do not fit into n_vocab, or on a limit of less than 3.
    [[nodiscard]] vocabulary finish(std::size_t most_words = 0, std::size_t n_vocab = 0) const {
        std::vector<std::pair<tally, std::string_view>> order;
        order.reserve(counts_.size() + 1);
        for (const auto& [word, count] : counts_)
            order.emplace_back(count, word);
        const auto before = [](const auto& a, const auto& b) {
            return a.first.count != b.first.count ? a.first.count > b.first.count
                                                  : a.first.first < b.first.first;
        };
        std::sort(order.begin(), order.end(), before);

        if (most_words != 0 && order.size() > most_words) {
            require(most_words >= 3, "vocabulary_counter: a limit of ", most_words,
                    " leaves no room for a word beside <unk> and <eos>; expected at least 3");
            tally rest{0, counts_.size()};
            std::vector<std::pair<tally, std::string_view>> kept;
            std::erase_if(order, [&](const auto& entry) {
                if (entry.second == end_of_line) kept.push_back(entry);
                if (entry.second == unknown_word) rest = entry.first;
                return entry.second == end_of_line || entry.second == unknown_word;
            });
            const std::size_t room = most_words - 1 - kept.size();
            for (std::size_t i = room; i < order.size(); ++i)
                rest.count += order[i].first.count;
            order.resize(std::min(room, order.size()));
            order.insert(order.end(), kept.begin(), kept.end());
            order.emplace_back(rest, unknown_word);
            std::sort(order.begin(), order.end(), before);
        }
        std::vector<std::string> list;
        list.reserve(order.size());
        for (const auto& entry : order)
            list.emplace_back(entry.second);
        return vocabulary(std::move(list), n_vocab);
    }

    /// The words `first` in their order, then all others by falling count, ties by code points: the
    /// dictionary of a translation model. Its size is rounded up to a multiple of `multiple`.
    /// **Throws** tare::error unless multiple >= 1, and as the vocabulary of such a list.
    [[nodiscard]] vocabulary dictionary(std::span<const std::string_view> first,
                                        std::size_t multiple = 8) const {
        require(multiple >= 1, "vocabulary_counter: a size that is a multiple of ", multiple,
                "; expected at least 1");
        std::vector<std::pair<std::uint64_t, std::string_view>> order;
        for (const auto& [word, count] : counts_)
            if (std::find(first.begin(), first.end(), word) == first.end())
                order.emplace_back(count.count, word);
        std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
            // Bytes of UTF-8 compare as its code points do.
            return a.first != b.first ? a.first > b.first : a.second < b.second;
        });
        std::vector<std::string> list(first.begin(), first.end());
        for (const auto& entry : order)
            list.emplace_back(entry.second);
        const std::size_t size = (list.size() + multiple - 1) / multiple * multiple;
        return vocabulary(std::move(list), size);
    }

  private:
    struct tally {
        std::uint64_t count = 0;
        std::size_t first = 0;  // how many different words came before it
    };
    detail::word_map<tally> counts_;
};

}  // namespace tare::text
