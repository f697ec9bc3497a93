#pragma once
// SPDX-License-Identifier: MIT
// Corpora and vocabularies by path: plain or gzip text in, vocabulary files in and out. A
// vocabulary file is text: one header line (format, words, ids, CRC-32 of these and of what
// follows), then one word per line in the order of the ids.

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <zlib.h>

#include <tare/core/error.hpp>
#include <tare/io/atomic_file.hpp>
#include <tare/io/input_file.hpp>
#include <tare/io/text_file.hpp>
#include <tare/text/corpus.hpp>
#include <tare/text/utf8.hpp>
#include <tare/text/vocabulary.hpp>

namespace tare::io {

/// The ids of all tokens of a plain or gzip text file.
/// Throws tare::file_error naming file, line, and word or byte offset (see text::read_corpus).
[[nodiscard]] inline std::vector<std::int32_t>
read_corpus(const std::string& path, const text::vocabulary& words,
            text::unknown_words policy = text::unknown_words::refuse) {
    return text::read_corpus(text_file(path), words, policy);
}

/// The vocabulary of several text files together, in this order (ties by first occurrence).
/// Throws tare::file_error as read_corpus; tare::error when the words do not fit (see
/// text::vocabulary_counter::finish).
[[nodiscard]] inline text::vocabulary build_vocabulary(const std::vector<std::string>& paths,
                                                       std::size_t most_words = 0,
                                                       std::size_t n_vocab = 0) {
    text::vocabulary_counter counter;
    for (const std::string& path : paths)
        text::for_each_token(text_file(path),
                             [&](std::string_view word, std::uint64_t) { counter.add(word); });
    return counter.finish(most_words, n_vocab);
}

namespace detail {

inline constexpr std::string_view vocabulary_magic = "tare-vocabulary 1";

inline std::string vocabulary_header(std::size_t words, std::size_t n_vocab,
                                     std::string_view body) {
    const std::string sizes =
        message(vocabulary_magic, " words ", words, " n_vocab ", n_vocab, " crc32 ");
    const auto bytes = [](std::string_view of) {
        return reinterpret_cast<const ::Bytef*>(of.data());
    };
    const ::uLong crc =
        ::crc32_z(::crc32_z(0, bytes(sizes), sizes.size()), bytes(body), body.size());
    char digits[9];
    std::snprintf(digits, sizeof digits, "%08lx", static_cast<unsigned long>(crc));
    return message(sizes, std::string(digits), '\n');
}

}  // namespace detail

/// Writes a vocabulary file, whole or not at all. Throws tare::file_error.
inline void save_vocabulary(const std::string& path, const text::vocabulary& words) {
    std::string body;
    for (const std::string& word : words.list()) {
        body += word;
        body += '\n';
    }
    write_text(path, detail::vocabulary_header(words.words(), words.size(), body) + body);
}

/// Reads a vocabulary file. Throws tare::file_error on anything that save_vocabulary did not write.
[[nodiscard]] inline text::vocabulary load_vocabulary(const std::string& path) {
    const std::string file = read_text(path, std::uint64_t{1} << 32);
    const std::size_t end = file.find('\n');
    if (!file.starts_with(detail::vocabulary_magic) || end == std::string::npos)
        detail::fail_at(path, 0, "not a vocabulary file (expected \"", detail::vocabulary_magic,
                        "\" at its start)");
    const std::string_view body = std::string_view(file).substr(end + 1);
    // The header holds nothing but what follows from the body and the padded size: take the size,
    // write the header anew and compare.
    std::size_t n_vocab = 0;
    constexpr std::string_view size_key = " n_vocab ";
    if (const std::size_t at = file.find(size_key); at < end)
        (void)std::from_chars(file.data() + at + size_key.size(), file.data() + end, n_vocab);
    std::vector<std::string> list;
    for (std::size_t at = 0; at < body.size();) {
        const std::size_t stop = body.find('\n', at);
        if (stop == std::string_view::npos)
            detail::fail_at(path, end + 1 + at, "the last word has no line feed: cut off");
        list.emplace_back(body.substr(at, stop - at));
        at = stop + 1;
    }
    const std::string expected = detail::vocabulary_header(list.size(), n_vocab, body);
    if (std::string_view(file).substr(0, end + 1) != expected)
        detail::fail_at(path, 0, "damaged or cut off: the header should read \"",
                        expected.substr(0, expected.size() - 1), '"');
    if (!text::is_text(body)) detail::fail_at(path, end + 1, "words are not UTF-8 text");
    try {
        return text::vocabulary(std::move(list), n_vocab);
    } catch (const file_error&) {
        throw;
    } catch (const error& reason) {
        throw file_error(message(path, ": ", reason.what()));
    }
}

}  // namespace tare::io
