#pragma once
// SPDX-License-Identifier: MIT
// A word-level corpus: every line is cut at runs of ASCII white space (space, tab, carriage return,
// vertical tab, form feed) and closed by <eos>, empty lines included; a last line without a line
// feed counts if it holds a byte. Text streams by in blocks: lines may have any length.
// Source: Merity et al. 2016 (WikiText), the usual word-level reading with one <eos> per line.

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/text/utf8.hpp>
#include <tare/text/vocabulary.hpp>

namespace tare::text {

/// Something that hands out bytes in order, 0 at the end, and knows its name for messages.
template <class S>
concept byte_source = requires(S& source, std::span<char> to) {
    { source.read(to) } -> std::same_as<std::size_t>;
    { source.path() } -> std::convertible_to<std::string>;
};

/// A text in memory as a byte_source.
class memory_source {
  public:
    explicit memory_source(std::string_view text, std::string path = "text")
        : text_(text), path_(std::move(path)) {}
    [[nodiscard]] std::size_t read(std::span<char> to) {
        // As a file is read: block by block, so that tests meet the same cuts.
        const std::size_t got = text_.copy(to.data(), to.size());
        text_.remove_prefix(got);
        return got;
    }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

  private:
    std::string_view text_;
    std::string path_;
};

/// What a corpus consists of.
struct corpus_size {
    std::uint64_t tokens = 0;  ///< words and one <eos> per line
    std::uint64_t lines = 0;
    std::uint64_t bytes = 0;

    bool operator==(const corpus_size&) const = default;
};

/// Longest accepted word in bytes: beyond it the file is something else than words.
inline constexpr std::size_t longest_word = std::size_t{1} << 20;

/// Calls sink(word, line) for each token in order, `word` a std::string_view that lives as long as
/// the call, `line` counted from 1; "<eos>" closes each line.
/// **Throws** tare::file_error naming file, line and byte offset on bytes that are not text (UTF-8
/// without zero bytes), on a word above 1 MiB, and on a text without any token; whatever `sink`
/// throws passes through. **Cost** one pass, memory 64 KiB and the longest word.
template <byte_source Source, class Sink>
corpus_size for_each_token(Source&& source, Sink&& sink);

/// What becomes of a word that the vocabulary does not hold.
enum class unknown_words {
    refuse,  ///< an error that names word and line
    replace  ///< it becomes <unk>, which the vocabulary must hold
};

/// The ids of all tokens of a text.
/// **Throws** as for_each_token; tare::file_error naming file, line and word on an unknown word.
template <byte_source Source>
[[nodiscard]] std::vector<std::int32_t> read_corpus(Source&& source, const vocabulary& words,
                                                    unknown_words policy = unknown_words::refuse);

/// The vocabulary of a text: all its words by falling frequency (vocabulary_counter::finish).
/// **Throws** as for_each_token and vocabulary_counter::finish.
template <byte_source Source>
[[nodiscard]] vocabulary build_vocabulary(Source&& source, std::size_t most_words = 0,
                                          std::size_t n_vocab = 0) {
    vocabulary_counter counter;
    for_each_token(source, [&](std::string_view word, std::uint64_t) { counter.add(word); });
    return counter.finish(most_words, n_vocab);
}

namespace detail {

[[nodiscard]] constexpr bool is_space(char c) noexcept {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

}  // namespace detail

template <byte_source Source, class Sink>
corpus_size for_each_token(Source&& source, Sink&& sink) {
    // One block at a time: corpora need not fit into memory.
    std::array<char, 65536> buffer;
    utf8_checker checker;
    corpus_size size;
    std::string begun;       // the word that the end of the last block cut in two
    bool line_open = false;  // whether the current line holds a byte yet
    const auto refuse = [&](std::uint64_t offset, const auto&... what) {
        throw file_error(message(std::string(source.path()), ":", size.lines + 1, ": byte ", offset,
                                 ": ", what...));
    };
    const auto emit = [&](std::string_view word) {
        ++size.tokens;
        sink(word, size.lines + 1);
    };

    while (true) {
        const std::size_t got = source.read(std::span<char>(buffer));
        if (got == 0) break;
        const std::string_view block(buffer.data(), got);
        // Checked before it is cut: what the sink gets is text, and the error knows the byte.
        const std::size_t text = checker.feed(block);
        std::size_t word = 0;  // start of the current word within the block
        for (std::size_t i = 0; i < text; ++i) {
            if (!detail::is_space(block[i])) continue;
            // A word that two blocks share is the only one that is copied.
            if (!begun.empty()) {
                begun.append(block.substr(word, i - word));
                emit(begun);
                begun.clear();
            } else if (i > word) {
                emit(block.substr(word, i - word));
            }
            word = i + 1;
            // A line of white space alone still is a line: it gives one <eos>.
            line_open = block[i] != '\n';
            if (!line_open) {
                emit(end_of_line);
                ++size.lines;
            }
        }
        if (text != got)
            refuse(size.bytes + text,
                   "not text (UTF-8 without zero bytes). Is this a file of tokens?");
        // What is left belongs to a word that goes on in the next block, or ends the text.
        if (word < got) {
            begun.append(block.substr(word));
            line_open = true;
        }
        size.bytes += got;
        if (begun.size() > longest_word)
            refuse(size.bytes - begun.size(), "a word of more than ", longest_word,
                   " bytes. Is this a file of tokens?");
    }
    // Only the end of the text can tell an unfinished character from a cut one.
    if (!checker.complete()) refuse(size.bytes, "the text ends inside a UTF-8 character");
    if (!begun.empty()) emit(begun);
    // A last line without a line feed counts as one.
    if (line_open) {
        emit(end_of_line);
        ++size.lines;
    }
    if (size.tokens == 0)
        throw file_error(message(std::string(source.path()), ": holds no token, expected text"));
    return size;
}

template <byte_source Source>
std::vector<std::int32_t> read_corpus(Source&& source, const vocabulary& words,
                                      unknown_words policy) {
    std::int32_t replacement = -1;
    // Looked up once, and before reading: a vocabulary without <unk> is refused at once.
    if (policy == unknown_words::replace) replacement = words.id(unknown_word);
    std::vector<std::int32_t> out;
    for_each_token(source, [&](std::string_view word, std::uint64_t line) {
        std::int32_t id = words.find(word);
        if (id < 0 && replacement < 0)
            throw file_error(message(std::string(source.path()), ":", line, ": the word \"", word,
                                     "\" is not in the vocabulary of ", words.words(),
                                     " words; build the vocabulary from this text too or map "
                                     "unknown words to <unk>"));
        out.push_back(id < 0 ? replacement : id);
    });
    return out;
}

}  // namespace tare::text
