// SPDX-License-Identifier: MIT
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <tare/text/corpus.hpp>

#include "io/scratch.hpp"

using tare::testing::raised;
using tare::text::corpus_size;
using tare::text::for_each_token;
using tare::text::memory_source;

namespace {

/// Hands a text out in pieces of a given size: words and characters are cut anywhere.
class dripping_source {
  public:
    dripping_source(std::string_view text, std::size_t step) : text_(text), step_(step) {}
    std::size_t read(std::span<char> to) {
        const std::size_t got = text_.copy(to.data(), std::min(step_, to.size()));
        text_.remove_prefix(got);
        return got;
    }
    [[nodiscard]] std::string path() const { return "drip"; }

  private:
    std::string_view text_;
    std::size_t step_;
};

template <class Source>
std::string joined(Source source) {
    std::string out;
    for_each_token(source, [&](std::string_view word, std::uint64_t line) {
        out += std::to_string(line) + word.data()[0] + std::string(word.substr(1)) + '|';
    });
    return out;
}

/// One endless word, or one endless line of words, without keeping it in memory.
class endless_source {
  public:
    endless_source(std::uint64_t bytes, char tenth) : left_(bytes), tenth_(tenth) {}
    std::size_t read(std::span<char> to) {
        const auto got = static_cast<std::size_t>(std::min<std::uint64_t>(left_, to.size()));
        for (std::size_t i = 0; i < got; ++i)
            to[i] = (left_ - i) % 10 == 0 ? tenth_ : 'x';
        left_ -= got;
        return got;
    }
    [[nodiscard]] std::string path() const { return "endless"; }

  private:
    std::uint64_t left_;
    char tenth_;
};

}  // namespace

TEST_CASE("each line ends in <eos>, empty lines too, white space runs do not count") {
    CHECK(joined(memory_source("a b\n")) == "1a|1b|1<eos>|");
    CHECK(joined(memory_source(" a \t\v b\r\n\n \nc")) == "1a|1b|1<eos>|2<eos>|3<eos>|4c|4<eos>|");
    CHECK(joined(memory_source("\n")) == "1<eos>|");
    CHECK(joined(memory_source(" ")) == "1<eos>|");
    CHECK(joined(memory_source("a")) == "1a|1<eos>|");
    // A no-break space (U+00A0) is part of a word.
    CHECK(joined(memory_source("a\xC2\xA0"
                               "b\n")) == "1a\xC2\xA0"
                                          "b|1<eos>|");
}

TEST_CASE("where the blocks are cut does not matter") {
    const std::string text = " = Gr\xC3\xBC\xC3\x9F"
                             "e =\n\n\xE2\x82\xAC 5 \xF0\x9F\x98\x80 end\n tail";
    const std::string whole = joined(memory_source(text));
    for (std::size_t step = 1; step <= text.size(); ++step)
        CHECK(joined(dripping_source(text, step)) == whole);
    const auto size = for_each_token(memory_source(text), [](auto, auto) {});
    CHECK(size == corpus_size{12, 4, text.size()});
}

TEST_CASE("binary data are refused with their offset") {
    const std::pair<std::string, std::string> cases[] = {
        {std::string("ab\ncd\0ef", 8), "text:2: byte 5: not text"},
        {"a\nb\xFF", "text:2: byte 3: not text"},
        {"\xC0\x80", "byte 0: not text"},          // overlong
        {"\xE0\x9F\xBF", "byte 1: not text"},      // overlong
        {"\xED\xA0\x80", "byte 1: not text"},      // surrogate
        {"\xF4\x90\x80\x80", "byte 1: not text"},  // above U+10FFFF
        {"\xF5", "byte 0: not text"},
        {"\x80", "byte 0: not text"},
        {"ab\xE2\x82", "byte 4: the text ends inside a UTF-8 character"},
        {"", "holds no token"},
    };
    for (const auto& c : cases) {
        const std::string said =
            raised<tare::file_error>([&] { (void)joined(memory_source(c.first)); });
        CAPTURE(said);
        CHECK(said.find(c.second) != std::string::npos);
    }
    CHECK(joined(memory_source("\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF")).size() > 10);
}

TEST_CASE("a very long line streams, a very long word is refused") {
    const auto size = for_each_token(endless_source(20'000'000, ' '), [](auto, auto) {});
    CHECK(size == corpus_size{2'000'001, 1, 20'000'000});
    const std::string said = raised<tare::file_error>(
        [] { (void)for_each_token(endless_source(20'000'000, 'x'), [](auto, auto) {}); });
    CHECK(said.find("a word of more than 1048576 bytes") != std::string::npos);
}

TEST_CASE("words become ids, an unknown one is named or replaced") {
    const tare::text::vocabulary words({"<eos>", "a", "<unk>"});
    CHECK(read_corpus(memory_source("a a\n\n"), words) == std::vector<std::int32_t>{1, 1, 0, 0});
    CHECK(raised<tare::file_error>([&] {
              (void)read_corpus(memory_source("a\nb a"), words);
          }).starts_with("text:2: the word \"b\" is not in the vocabulary of 3 words"));
    CHECK(read_corpus(memory_source("b"), words, tare::text::unknown_words::replace) ==
          std::vector<std::int32_t>{2, 0});
    const tare::text::vocabulary bare({"<eos>"});
    CHECK_THROWS_AS((void)read_corpus(memory_source("b"), bare, tare::text::unknown_words::replace),
                    tare::error);
}
