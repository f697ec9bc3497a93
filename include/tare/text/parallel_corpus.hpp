#pragma once
// SPDX-License-Identifier: MIT
// Sentences and their translations: two texts with as many lines, read as words, kept as ids that
// end with </s>. A dictionary has <s>, <pad>, </s> and <unk> first, then the words by falling
// count, ties by code points, and ids without words up to a multiple of 8.
// Source: the preprocessing of fairseq, which the checkpoints of translation models presuppose.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/text/lines.hpp>
#include <tare/text/vocabulary.hpp>

namespace tare::text {

/// First words of a dictionary, and their ids.
inline constexpr std::array<std::string_view, 4> special_words{"<s>", "<pad>", "</s>", "<unk>"};
inline constexpr std::int32_t padding_id = 1;
inline constexpr std::int32_t end_id = 2;
inline constexpr std::int32_t unknown_id = 3;

/// A text and its translation, line by line, one space between words.
struct parallel_text {
    std::vector<std::string> source;
    std::vector<std::string> target;
};

/// Reads two texts. Words are cut at runs of ASCII white space; `prepare(line)` makes of each line
/// what is kept (byte_pair_encoding::encode, for example).
/// **Throws** tare::file_error naming the files on different numbers of lines, on an empty line and
/// on no line at all; as for_each_line; and what prepare throws.
template <byte_source Source, byte_source Target, class Prepare>
[[nodiscard]] parallel_text read_parallel_text(Source&& source, Target&& target,
                                               const Prepare& prepare) {
    parallel_text out;
    const auto read = [&](auto& from, std::vector<std::string>& to) {
        for_each_line(from, [&](std::string_view line, std::uint64_t number) {
            to.push_back(prepare(line));
            if (std::ranges::all_of(to.back(), detail::is_space))
                throw file_error(message(std::string(from.path()), ":", number,
                                         ": an empty line has no translation; remove it, and the "
                                         "line of the other text with it"));
        });
    };
    read(source, out.source);
    read(target, out.target);
    if (out.source.size() != out.target.size() || out.source.empty())
        throw file_error(message(std::string(source.path()), " has ", out.source.size(),
                                 " lines and ", std::string(target.path()), " has ",
                                 out.target.size(),
                                 "; a text and its translation have equally many, at least 1"));
    return out;
}
/// The lines as they are.
template <byte_source Source, byte_source Target>
[[nodiscard]] parallel_text read_parallel_text(Source&& source, Target&& target) {
    return read_parallel_text(source, target,
                              [](std::string_view line) { return std::string(line); });
}

/// The dictionary of lines of words.
[[nodiscard]] inline vocabulary build_dictionary(std::span<const std::string> lines) {
    vocabulary_counter counter;
    for (const std::string& line : lines)
        for_each_word(line, [&](std::string_view word) { counter.add(word); });
    return counter.dictionary(special_words);
}

/// Sentences as ids, each closed by </s>.
class sentence_ids {
  public:
    /// Appends the words of a line; those outside the dictionary become <unk>.
    /// **Throws** tare::error on more than `longest` ids, </s> included: positions end there.
    void add(std::string_view line, const vocabulary& words, std::size_t longest = 1024) {
        const std::size_t before = ids_.size();
        for_each_word(line, [&](std::string_view word) {
            const std::int32_t id = words.find(word);
            ids_.push_back(id < 0 ? unknown_id : id);
        });
        ids_.push_back(end_id);
        const std::size_t count = ids_.size() - before;
        // Taken back, so that the object is as before for who goes on after the error.
        if (count > longest) {
            ids_.resize(before);
            fail("sentence_ids: sentence ", size() + 1, " (\"", line.substr(0, 40), "...\") has ",
                 count, " ids with </s>, at most ", longest,
                 " are allowed; shorten it or remove it and its translation");
        }
        ends_.push_back(ids_.size());
    }

    [[nodiscard]] std::size_t size() const noexcept { return ends_.size(); }
    /// Ids of all sentences together.
    [[nodiscard]] std::size_t total() const noexcept { return ids_.size(); }
    [[nodiscard]] std::span<const std::int32_t> operator[](std::size_t i) const {
        TARE_ASSERT(i < ends_.size());
        const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
        return std::span(ids_).subspan(begin, ends_[i] - begin);
    }

  private:
    std::vector<std::int32_t> ids_;
    std::vector<std::size_t> ends_;
};

/// Lines as ids. **Throws** as sentence_ids::add.
[[nodiscard]] inline sentence_ids to_ids(std::span<const std::string> lines,
                                         const vocabulary& words, std::size_t longest = 1024) {
    sentence_ids out;
    for (const std::string& line : lines)
        out.add(line, words, longest);
    return out;
}

/// The words of ids, one space apart, up to the first </s>; ids without a word become <unk>.
[[nodiscard]] inline std::string to_words(std::span<const std::int32_t> ids,
                                          const vocabulary& words) {
    std::string out;
    for (const std::int32_t id : ids) {
        // What a model says behind the end means nothing.
        if (id == end_id) break;
        if (!out.empty()) out.push_back(' ');
        // Ids up to the multiple of 8 have no word, and a model may say one.
        const bool known = id >= 0 && static_cast<std::size_t>(id) < words.words();
        out.append(words.word(known ? id : unknown_id));
    }
    return out;
}

/// Sentences and their translations as ids.
struct parallel_corpus {
    sentence_ids source;
    sentence_ids target;

    [[nodiscard]] std::size_t size() const noexcept { return source.size(); }
    /// Ids of the longer side of a pair.
    [[nodiscard]] std::size_t longer(std::size_t i) const {
        return std::max(source[i].size(), target[i].size());
    }
};

}  // namespace tare::text
