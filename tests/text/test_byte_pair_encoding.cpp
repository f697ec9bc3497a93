// SPDX-License-Identifier: MIT
// Merges learned and applied: the field's own on real sentences, and every rule by a case of its
// own. The whole text of Multi30k is learned where TARE_MULTI30K names its folder.
#include <array>
#include <chrono>
#include <cstdlib>
#include <set>

#include <doctest/doctest.h>

#include <tare/io/text_file.hpp>
#include <tare/text/byte_pair_learner.hpp>

#include "golden_manifest.hpp"
#include "io/scratch.hpp"

using namespace tare;
using namespace tare::text;
using testing::raised;

namespace {

using merge_list = std::vector<byte_pair_encoding::pair>;

byte_pair_encoding learned(const std::vector<std::pair<std::string, int>>& words,
                           std::size_t merges, std::uint64_t least = 2) {
    byte_pair_learner learner;
    for (const auto& [word, times] : words)
        learner.add(word, static_cast<std::uint64_t>(times));
    return learner.learn(merges, least);
}

/// "a b|c d</w>": the merges in their order.
std::string shown(const byte_pair_encoding& encoding) {
    std::string out;
    for (const auto& [first, second] : encoding.merges()) {
        if (!out.empty()) out.push_back('|');
        out.append(first).append(" ").append(second);
    }
    return out;
}

byte_pair_encoding read(const std::string& codes, std::size_t most = 0) {
    return read_codes(memory_source(codes, "codes"), most);
}

}  // namespace

TEST_CASE("merges and segmented sentences equal the field's") {
    std::ifstream file(testing::golden_path("pet/bpe.json"));
    const nlohmann::json golden = nlohmann::json::parse(file);
    byte_pair_learner learner;
    for (const std::string line : golden["train"])
        learner.add_line(line);
    const nlohmann::json& merges = golden["merges"];
    const byte_pair_encoding encoding = learner.learn(merges.size());
    REQUIRE(encoding.merges().size() == merges.size());
    for (std::size_t i = 0; i < merges.size(); ++i) {
        const auto& [first, second] = encoding.merges()[i];
        CHECK(message(first, ' ', second) == merges[i].get<std::string>());
    }
    for (std::size_t i = 0; i < golden["text"].size(); ++i) {
        const std::string line = golden["text"][i];
        CHECK(encoding.encode(line) == golden["segmented"][i].get<std::string>());
        CHECK(join_pieces(encoding.encode(line)) == line);
    }
    const byte_pair_encoding again = read(codes_text(encoding));
    CHECK(again == encoding);
    CHECK(read(codes_text(encoding), 10).merges().size() == 10);
}

TEST_CASE("the most frequent pair is merged first, of equals the greatest") {
    CHECK(shown(learned({{"ab", 3}, {"cd", 5}}, 9)) == "c d</w>|a b</w>");
    CHECK(shown(learned({{"ab", 3}, {"cd", 3}, {"cb", 3}}, 1)) == "c d</w>");
    // By code points, in UTF-8 as well: z < ü < 中.
    CHECK(shown(learned({{"zz", 2}, {"üü", 2}, {"中中", 2}}, 3)) == "中 中</w>|ü ü</w>|z z</w>");
    // A pair is counted at all its places, merged left to right without overlap.
    CHECK(shown(learned({{"aaaaa", 2}}, 2)) == "a a|aa aa");
    // What a merge makes rarer comes later, or not at all.
    CHECK(shown(learned({{"abc", 5}, {"bcd", 4}, {"xy", 3}}, 9)) ==
          "b c</w>|a bc</w>|c d</w>|b cd</w>|x y</w>");
}

TEST_CASE("learning ends where pairs are too rare or there are none") {
    CHECK(learned({{"ab", 1}, {"c", 9}}, 5).merges().empty());
    CHECK(shown(learned({{"ab", 1}, {"c", 9}}, 5, 1)) == "a b</w>");
    CHECK(learned({}, 5).merges().empty());
    CHECK(learned({{"ab", 2}, {"cd", 2}}, 1).merges().size() == 1);
    CHECK_THROWS_AS((void)learned({{"ab", 2}}, 0), error);
    CHECK_THROWS_AS((void)learned({{"ab", 2}}, 1, 0), error);
    byte_pair_learner learner;
    CHECK_THROWS_AS(learner.add(""), error);
    CHECK_THROWS_AS(learner.add("a b"), error);
    CHECK_THROWS_AS(learner.add("\xC3"), error);
}

TEST_CASE("words are cut by the earliest merge, at all its places") {
    const byte_pair_encoding e({{"a", "b"}, {"b", "c</w>"}, {"ab", "ab"}, {"c", "ab"}});
    CHECK(e.encode("ababc") == "abab@@ c");
    CHECK(e.encode("xbc bc") == "x@@ bc bc");
    CHECK(e.encode("cab") == "c@@ a@@ b");  // the last b carries the word's end
    CHECK(e.encode("cabx") == "cab@@ x");
    CHECK(e.encode("aab  \t ü ") == "a@@ a@@ b ü");
    CHECK(e.encode("") == "");
    CHECK(e.encode("äöü") == "ä@@ ö@@ ü");
    CHECK(e.pieces("").empty());
    CHECK(e.pieces("abx") == std::vector<std::string_view>{"ab", "x"});
    CHECK_THROWS_AS((void)e.pieces("\xFF"), error);
    CHECK(byte_pair_encoding().encode("ab c") == "a@@ b c");
    // Of a repeated pair the first place counts: here before (b, c).
    const byte_pair_encoding twice({{"a", "b"}, {"b", "c"}, {"a", "b"}});
    CHECK(twice.encode("abcx") == "ab@@ c@@ x");
}

TEST_CASE("pieces are joined to words again") {
    CHECK(join_pieces("a@@ b@@ c d") == "abc d");
    CHECK(join_pieces("  d   e@@  f ") == "d ef");
    CHECK(join_pieces("a b@@") == "a b");
    CHECK(join_pieces("@@ a") == "a");
    CHECK(join_pieces("") == "");
}

TEST_CASE("codes files that are none are refused by line") {
    CHECK(read("#version: 0.2\na b\n").merges().size() == 1);
    CHECK(read("#version: 0.2\r\na b\r\n").merges().size() == 1);
    CHECK(read("#version: 0.2\n").merges().empty());
    const auto message_of = [](const std::string& codes) {
        return raised<file_error>([&] { (void)read(codes); });
    };
    CHECK(message_of("").find("codes:1: is empty") == 0);
    CHECK(message_of("a b\n").find("codes:1: begins with \"a b\"") == 0);
    CHECK(message_of("#version: 0.1\na b\n").find("codes:1: begins with") == 0);
    for (const char* line : {"a", "a b c", "a  b", " a b", "a b ", ""})
        CHECK(message_of(message("#version: 0.2\nx y\n", line, "\nz z\n"))
                  .find("codes:3: expected a merge") == 0);
    CHECK(message_of("#version: 0.2\na \xFF\n").find("codes:2: not text") == 0);
    CHECK_THROWS_AS(byte_pair_encoding(merge_list{{"", "a"}}), error);
    CHECK_THROWS_AS(byte_pair_encoding(merge_list{{"a", "b c"}}), error);
}

TEST_CASE("lines and words are told apart whatever the blocks") {
    std::vector<std::string> lines;
    const std::string text = std::string(70000, 'x') + "\n\r\n \tb  c\r\nlast";
    const auto count =
        for_each_line(memory_source(text), [&](std::string_view line, std::uint64_t number) {
            lines.emplace_back(line);
            CHECK(number == lines.size());
        });
    CHECK(count == 4);
    CHECK(lines[0].size() == 70000);
    CHECK(lines[1].empty());
    CHECK(lines[2] == " \tb  c");
    CHECK(lines[3] == "last");
    std::vector<std::string> words;
    for_each_word(lines[2], [&](std::string_view word) { words.emplace_back(word); });
    CHECK(words == std::vector<std::string>{"b", "c"});
    CHECK(for_each_line(memory_source(""), [](auto, auto) { FAIL("no line"); }) == 0);
    CHECK(raised<file_error>([] {
              for_each_line(memory_source("a\nb\xC3\n", "t"), [](auto, auto) {});
          }).find("t:2: not text") == 0);
    const std::string endless((std::size_t{1} << 20) + 70000, 'x');
    CHECK(raised<file_error>([&] {
              for_each_line(memory_source(endless, "t"), [](auto, auto) {});
          }).find("t:1: a line of more than") == 0);
}

TEST_CASE("Multi30k gives the merges and pieces of the field") {
    const char* const folder = std::getenv("TARE_MULTI30K");
    if (folder == nullptr || *folder == '\0') return;
    const auto file = [&](const std::string& name) {
        return io::text_file(message(folder, '/', name, ".gz"));
    };
    const auto begin = std::chrono::steady_clock::now();
    byte_pair_learner learner;
    learner.add_text(file("train.de"));
    learner.add_text(file("train.en"));
    const byte_pair_encoding encoding = learner.learn(8000);
    const std::chrono::duration<double> learning = std::chrono::steady_clock::now() - begin;
    MESSAGE("8000 merges in ", learning.count(), " s");
    CHECK(learner.words() == 27275);
    CHECK(shown(byte_pair_encoding(merge_list(
              encoding.merges().begin(), encoding.merges().begin() + 3))) == "i n|e n</w>|i n</w>");
    CHECK(learner.learn(100000).merges().size() == 23132);
    // The FNV-1a hash of the codes file whose SHA-256 begins with 7368bb9f4678ade4.
    std::uint64_t hash = 0xCBF29CE484222325U;
    for (const char c : codes_text(encoding))
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
    CHECK(hash == 0x2BBE186BBF66B289U);

    struct expected {
        const char* name;
        std::size_t pieces;
        std::size_t unseen;  // among the pieces of the training text
    };
    for (const char* language : {"de", "en"}) {
        const bool german = std::string(language) == "de";
        std::set<std::string, std::less<>> known;
        const auto count = [&](const std::string& name, bool learn) {
            std::array<std::size_t, 2> out{};
            for_each_line(file(message(name, '.', language)), [&](std::string_view line, auto) {
                for_each_word(encoding.encode(line), [&](std::string_view piece) {
                    ++out[0];
                    if (learn) known.emplace(piece);
                    if (!known.contains(piece)) ++out[1];
                });
            });
            return out;
        };
        const auto check = [&](const expected& want, bool learn) {
            const std::array<std::size_t, 2> got = count(want.name, learn);
            CHECK(got[0] == want.pieces);
            CHECK(got[1] == want.unseen);
        };
        check({"train", german ? 410320U : 404768U, 0}, true);
        CHECK(known.size() == (german ? 5828 : 4368));
        check({"val", german ? 14777U : 14351U, german ? 6U : 5U}, false);
        check({"test2016", german ? 13760U : 13874U, german ? 11U : 7U}, false);
    }
}
