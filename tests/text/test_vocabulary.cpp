// SPDX-License-Identifier: MIT
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/text/corpus.hpp>
#include <tare/text/vocabulary.hpp>

#include "io/scratch.hpp"

using tare::testing::raised;
using tare::text::memory_source;
using tare::text::vocabulary;

TEST_CASE("ids follow falling frequency, ties the first occurrence") {
    const vocabulary v = build_vocabulary(memory_source("b a c\na d b a\n"));
    // Counts: a 3, b 2, <eos> 2, c 1, d 1; first occurrences b, a, c, <eos>, d.
    CHECK(std::vector<std::string>(v.list().begin(), v.list().end()) ==
          std::vector<std::string>{"a", "b", "<eos>", "c", "d"});
    CHECK(v.id("b") == 1);
    CHECK(v.find("z") == -1);
    CHECK(v.word(4) == "d");
    CHECK(v.size() == 5);
    CHECK(raised<tare::error>([&] { (void)v.id("z"); }) ==
          "vocabulary: \"z\" is not among the 5 words");
}

TEST_CASE("padding gives ids without words") {
    const vocabulary v = build_vocabulary(memory_source("a b\n"), 0, 10);
    CHECK(v.size() == 10);
    CHECK(v.words() == 3);
    CHECK(raised<tare::error>([&] { (void)v.word(3); }).find("7 ids of padding") !=
          std::string::npos);
    CHECK_THROWS_AS((void)v.word(-1), tare::error);
    CHECK_THROWS_AS((void)v.word(10), tare::error);
    CHECK(raised<tare::error>([] {
              (void)build_vocabulary(memory_source("a b\n"), 0, 2);
          }).find("a size of 2 is too small for 3 words") != std::string::npos);
}

TEST_CASE("a limit turns the rarest words into <unk>, which takes its place by frequency") {
    const auto list = [](const std::string& text, std::size_t limit) {
        std::string out;
        const vocabulary v = build_vocabulary(memory_source(text), limit);
        for (const std::string& word : v.list())
            out += word + ' ';
        return out;
    };
    CHECK(list("a a a a b b b c c d", 4) == "a b <unk> <eos> ");
    CHECK(list("a a a a b b b c c d", 3) == "<unk> a <eos> ");
    CHECK(list("a a <unk> <unk> b b c", 3) == "<unk> a <eos> ");
    CHECK(list("a a b", 3) == "a b <eos> ");
    CHECK_THROWS_AS((void)list("a b", 2), tare::error);
}

TEST_CASE("a vocabulary copies and refuses repeated and impossible words") {
    vocabulary a({"x", "y"}, 4);
    const vocabulary b = a;
    a = vocabulary({"z"});
    CHECK(b.id("y") == 1);
    CHECK(b.size() == 4);
    CHECK_FALSE(a == b);
    CHECK_THROWS_AS(vocabulary({"x", "x"}), tare::error);
    CHECK_THROWS_AS(vocabulary({""}), tare::error);
    CHECK_THROWS_AS(vocabulary({"a b"}), tare::error);
    CHECK_THROWS_AS(vocabulary({"a"}, std::size_t{1} << 31), tare::error);
}
