// SPDX-License-Identifier: MIT
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <zlib.h>

#include <tare/io/text_corpus.hpp>

#include "io/scratch.hpp"

using tare::io::load_vocabulary;
using tare::io::read_corpus;
using tare::io::save_vocabulary;
using tare::testing::dump;
using tare::testing::raised;
using tare::testing::scratch_folder;

namespace {

std::string gzip(const std::string& text) {
    ::z_stream z{};
    REQUIRE(::deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string in = text;
    std::string out(::deflateBound(&z, in.size()) + 64, '\0');
    z.next_in = reinterpret_cast<::Bytef*>(in.data());
    z.avail_in = static_cast<::uInt>(in.size());
    z.next_out = reinterpret_cast<::Bytef*>(out.data());
    z.avail_out = static_cast<::uInt>(out.size());
    REQUIRE(::deflate(&z, Z_FINISH) == Z_STREAM_END);
    out.resize(z.total_out);
    ::deflateEnd(&z);
    return out;
}

std::string slurp(const std::string& path, std::size_t block = 7) {
    tare::io::text_file file(path);
    std::string out;
    std::vector<char> buffer(block);
    while (const std::size_t got = file.read(buffer))
        out.append(buffer.data(), got);
    return out;
}

}  // namespace

TEST_CASE("plain and compressed files read the same") {
    const scratch_folder folder;
    std::string text;
    for (int i = 0; i < 20'000; ++i)
        text += "line " + std::to_string(i * 7919 % 1013) + "\n";
    dump(folder.file("plain"), text);
    dump(folder.file("packed"), gzip(text));
    dump(folder.file("two"), gzip(text) + gzip("end\n"));
    dump(folder.file("empty.gz"), gzip(""));
    for (const std::size_t block : {std::size_t{1}, std::size_t{7}, std::size_t{65536}}) {
        CHECK(slurp(folder.file("plain"), block) == text);
        CHECK(slurp(folder.file("packed"), block) == text);
        CHECK(slurp(folder.file("two"), block) == text + "end\n");
        CHECK(slurp(folder.file("empty.gz"), block).empty());
    }
    CHECK(tare::io::text_file(folder.file("packed")).compressed());
    CHECK_FALSE(tare::io::text_file(folder.file("plain")).compressed());
    for (const std::string tiny : {"", "a", "\x1F", "\x1F\x1F"}) {
        dump(folder.file("tiny"), tiny);
        CHECK(slurp(folder.file("tiny")) == tiny);
    }
}

TEST_CASE("damaged, cut-off and trailing compressed data are errors") {
    const scratch_folder folder;
    const std::string path = folder.file("x.gz");
    const std::string text = "some words to be compressed, some of them twice, twice\n";
    const std::string good = gzip(text);
    for (std::size_t n = 2; n < good.size(); ++n) {
        dump(path, good.substr(0, n));
        CHECK(raised<tare::file_error>([&] { (void)slurp(path); }).find("cut off here") !=
              std::string::npos);
    }
    dump(path, good + "x");
    CHECK(raised<tare::file_error>([&] { (void)slurp(path); }).find("behind the end") !=
          std::string::npos);
    int unnoticed = 0;
    for (std::size_t bit = 16; bit < 8 * good.size(); ++bit) {
        std::string bad = good;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
        dump(path, bad);
        try {
            const std::string read = slurp(path);
            CHECK(read == text);
            ++unnoticed;
        } catch (const tare::file_error&) {
        }
    }
    // Time (4 bytes), extra flags, operating system, the text flag and the padding of the last
    // deflated byte (up to 7 bits) mean nothing to the content.
    CHECK(unnoticed <= 8 * 6 + 1 + 7);
    CHECK(raised<tare::file_error>([&] {
              tare::io::text_file file(folder.file("none"));
          }).find("cannot be opened") != std::string::npos);
    CHECK(raised<tare::file_error>([] { (void)slurp("/"); }).find("read failed") !=
          std::string::npos);
}

TEST_CASE("a corpus and its vocabulary by path") {
    const scratch_folder folder;
    dump(folder.file("a"), "the cat\n");
    dump(folder.file("b"), gzip("the dog\n"));
    const auto v = tare::io::build_vocabulary({folder.file("a"), folder.file("b")}, 0, 8);
    CHECK(v.words() == 4);
    CHECK(v.size() == 8);
    CHECK(read_corpus(folder.file("b"), v) == std::vector<std::int32_t>{0, 3, 1});
    dump(folder.file("c"), "a bird\n");
    CHECK(raised<tare::file_error>([&] {
              (void)read_corpus(folder.file("c"), v);
          }).starts_with(folder.file("c") + ":1: the word \"a\""));
    CHECK_THROWS_AS((void)read_corpus("/dev/null", v), tare::file_error);
}

TEST_CASE("a vocabulary file round-trips; every truncation and flipped bit is refused") {
    const scratch_folder folder;
    const std::string path = folder.file("v");
    const tare::text::vocabulary v({"<eos>",
                                    "gr\xC3\xBC\xC3\x9F"
                                    "e",
                                    "b"},
                                   9);
    save_vocabulary(path, v);
    CHECK(load_vocabulary(path) == v);
    const std::string good = tare::io::read_text(path);
    const auto refused = [&](const std::string& bytes) {
        dump(path, bytes);
        return !raised<tare::file_error>([&] { (void)load_vocabulary(path); }).empty();
    };
    for (std::size_t n = 0; n < good.size(); ++n)
        CHECK(refused(good.substr(0, n)));
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
        std::string bad = good;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
        CAPTURE(bit);
        CHECK(refused(bad));
    }
    save_vocabulary(path, tare::text::vocabulary());
    CHECK(load_vocabulary(path).size() == 0);
}

TEST_CASE("WikiText-103 has the published numbers of tokens" *
          doctest::skip(std::getenv("TARE_DATA_DIR") == nullptr)) {
    const char* data = std::getenv("TARE_DATA_DIR");
    REQUIRE(data != nullptr);
    const std::string folder = std::string(data) + "/wikitext103/";
    const auto count = [&](const std::string& name) {
        return tare::text::for_each_token(tare::io::text_file(folder + name), [](auto, auto) {});
    };
    CHECK(count("wiki.valid.tokens.gz") == tare::text::corpus_size{217'646, 3760, 1'142'309});
    CHECK(count("wiki.test.tokens.gz") == tare::text::corpus_size{245'569, 4358, 1'281'077});
    const auto test = tare::io::build_vocabulary({folder + "wiki.test.tokens.gz"}, 0, 267'735);
    CHECK(test.words() == 19'766);
    CHECK(test.size() == 267'735);
    const auto tokens = read_corpus(folder + "wiki.test.tokens.gz", test);
    CHECK(tokens.size() == 245'569);
    // The words of the test text in the validation vocabulary: the rest becomes <unk>.
    const auto valid = tare::io::build_vocabulary({folder + "wiki.valid.tokens.gz"});
    CHECK(valid.words() == 18'891);
    CHECK(read_corpus(folder + "wiki.test.tokens.gz", valid, tare::text::unknown_words::replace)
              .size() == 245'569);
    CHECK_THROWS_AS((void)read_corpus(folder + "wiki.test.tokens.gz", valid), tare::file_error);
}
