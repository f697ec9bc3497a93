#pragma once
// SPDX-License-Identifier: MIT
// A text line by line, and a line word by word: lines end at line feeds (a last one without counts
// if it holds a byte), words at runs of ASCII white space. Text streams by in blocks.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <tare/core/error.hpp>
#include <tare/text/corpus.hpp>
#include <tare/text/utf8.hpp>

namespace tare::text {

/// Longest accepted line in bytes: beyond it the file is something else than sentences.
inline constexpr std::size_t longest_line = std::size_t{1} << 20;

/// Calls sink(word) for each word of `line`, a std::string_view into it.
template <class Sink>
void for_each_word(std::string_view line, Sink&& sink) {
    std::size_t begin = 0;
    for (std::size_t i = 0; i <= line.size(); ++i) {
        if (i < line.size() && !detail::is_space(line[i])) continue;
        if (i > begin) sink(line.substr(begin, i - begin));
        begin = i + 1;
    }
}

/// Calls sink(line, number) for each line in order, without its line feed and a carriage return
/// before it; `line` is a std::string_view that lives as long as the call, numbers start at 1.
/// Returns the number of lines.
/// **Throws** tare::file_error naming file and line on bytes that are not text (UTF-8 without zero
/// bytes) and on a line above 1 MiB; whatever `sink` throws passes through.
template <byte_source Source, class Sink>
std::uint64_t for_each_line(Source&& source, Sink&& sink) {
    // Lines lie inside the block; only one that two blocks share is copied.
    std::array<char, 65536> buffer;
    std::string begun;  // the line that the end of the last block cut in two
    std::uint64_t lines = 0;
    const auto emit = [&](std::string_view line) {
        ++lines;
        // Texts of other systems end lines with two characters; words must not.
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        if (!is_text(line))
            throw file_error(message(std::string(source.path()), ":", lines,
                                     ": not text (UTF-8 without zero bytes). Is this a file of "
                                     "sentences?"));
        sink(line, lines);
    };
    while (true) {
        const std::size_t got = source.read(std::span<char>(buffer));
        if (got == 0) break;
        std::string_view block(buffer.data(), got);
        for (std::size_t end = block.find('\n'); end != block.npos; end = block.find('\n')) {
            if (begun.empty()) {
                emit(block.substr(0, end));
            } else {
                begun.append(block.substr(0, end));
                emit(std::exchange(begun, {}));
            }
            block.remove_prefix(end + 1);
        }
        begun.append(block);
        // Asked here, while it grows: a file without line feeds must not fill the memory.
        if (begun.size() > longest_line)
            throw file_error(message(std::string(source.path()), ":", lines + 1,
                                     ": a line of more than ", longest_line,
                                     " bytes. Is this a file of sentences?"));
    }
    if (!begun.empty()) emit(begun);
    return lines;
}

}  // namespace tare::text
