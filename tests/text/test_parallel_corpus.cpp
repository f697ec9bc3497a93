// SPDX-License-Identifier: MIT
// Parallel text from files to padded batches.
#include <set>

#include <doctest/doctest.h>

#include <tare/text/parallel_batching.hpp>

#include "io/scratch.hpp"

using namespace tare;
using namespace tare::text;
using testing::raised;

namespace {

using ids = std::vector<std::int32_t>;
using strings = std::vector<std::string>;

parallel_text read(const std::string& source, const std::string& target) {
    return read_parallel_text(memory_source(source, "a.de"), memory_source(target, "a.en"));
}

/// Pairs of given lengths (</s> included), the words numbered by their sentence.
parallel_corpus corpus_of(const std::vector<std::pair<int, int>>& lengths) {
    const vocabulary words = build_dictionary(strings{"w"});
    parallel_corpus out;
    for (const auto& [source, target] : lengths) {
        const auto line = [](int length) {
            std::string text;
            for (int i = 1; i < length; ++i)
                text.append("w ");
            return text;
        };
        out.source.add(line(source), words);
        out.target.add(line(target), words);
    }
    return out;
}

/// Random pairs of lengths 2..21.
parallel_corpus random_corpus(std::size_t size) {
    const random_stream draws(3, 1);
    std::vector<std::pair<int, int>> lengths;
    for (std::size_t i = 0; i < size; ++i)
        lengths.emplace_back(2 + draws.below(2 * i, 20), 2 + draws.below(2 * i + 1, 20));
    return corpus_of(lengths);
}

}  // namespace

TEST_CASE("dictionaries begin with the special words and end at a multiple of 8") {
    const vocabulary v = build_dictionary(strings{"b a ü b", "z c b ü <unk>"});
    const strings list(v.list().begin(), v.list().end());
    CHECK(list == strings{"<s>", "<pad>", "</s>", "<unk>", "b", "ü", "a", "c", "z"});
    CHECK(v.size() == 16);
    CHECK(v.find("<pad>") == padding_id);
    CHECK(v.find("</s>") == end_id);
    CHECK(v.find("<unk>") == unknown_id);
    CHECK(build_dictionary(strings{"a b c d"}).size() == 8);
    vocabulary_counter counter;
    counter.add("a");
    CHECK(counter.dictionary({}, 1).size() == 1);
    CHECK_THROWS_AS((void)counter.dictionary({}, 0), error);
}

TEST_CASE("two texts are read line by line") {
    const parallel_text t = read("ein hund\nzwei\n", "a  dog\ntwo");
    CHECK(t.source == strings{"ein hund", "zwei"});
    CHECK(t.target == strings{"a  dog", "two"});
    const auto said = [](const std::string& source, const std::string& target) {
        return raised<file_error>([&] { (void)read(source, target); });
    };
    CHECK(said("a\nb\n", "a\n") == "a.de has 2 lines and a.en has 1; a text and its translation "
                                   "have equally many, at least 1");
    CHECK(said("", "").find("a.de has 0 lines") == 0);
    CHECK(said("a\nb\n", "a\n \t\n").find("a.en:2: an empty line has no translation") == 0);
    CHECK(said("a\n\nb\n", "a\nb\nc\n").find("a.de:2: an empty line") == 0);
    CHECK(said("a\nb\xFF\n", "a\nb\n").find("a.de:2: not text") == 0);
}

TEST_CASE("sentences become ids and words again") {
    const vocabulary v = build_dictionary(strings{"a b b"});
    const sentence_ids s = to_ids(strings{" b  a", "x b", ""}, v);
    REQUIRE(s.size() == 3);
    CHECK(ids(s[0].begin(), s[0].end()) == ids{4, 5, 2});
    CHECK(ids(s[1].begin(), s[1].end()) == ids{3, 4, 2});
    CHECK(ids(s[2].begin(), s[2].end()) == ids{2});
    CHECK(s.total() == 7);
    CHECK(to_words(s[0], v) == "b a");
    CHECK(to_words(s[1], v) == "<unk> b");
    CHECK(to_words(ids{4, 7, 2, 5}, v) == "b <unk>");  // 7 is an id without a word
    sentence_ids bounded;
    bounded.add("a b", v, 3);
    CHECK(raised<error>([&] {
              bounded.add("a b a", v, 3);
          }).find("sentence_ids: sentence 2 (\"a b a...\") has 4 ids") == 0);
    CHECK(bounded.size() == 1);
    CHECK(bounded.total() == 3);
}

TEST_CASE("batches hold every pair once and at most so many tokens") {
    const parallel_corpus corpus = random_corpus(1000);
    for (const batch_options o : {batch_options{256, 8}, batch_options{21, 8}, {500, 1}}) {
        const batch_list batches = epoch_batches(corpus, o, 7, 3);
        std::set<std::size_t> seen;
        std::size_t small = 0;
        for (const std::vector<std::size_t>& batch : batches) {
            REQUIRE(!batch.empty());
            std::size_t longest = 0;
            for (const std::size_t i : batch) {
                CHECK(seen.insert(i).second);
                longest = std::max(longest, corpus.longer(i));
            }
            CHECK(batch.size() * longest <= o.most_tokens);
            if (batch.size() > o.multiple && batch.size() % o.multiple != 0) ++small;
        }
        CHECK(seen.size() == corpus.size());
        CHECK(small <= 1);  // the last one
        CHECK(batches == epoch_batches(corpus, o, 7, 3));
        CHECK(batches != epoch_batches(corpus, o, 7, 4));
        CHECK(batches != epoch_batches(corpus, o, 8, 3));
    }
    CHECK(raised<error>([&] {
              (void)epoch_batches(corpus, {20, 8}, 7, 3);
          }).find("has 21 tokens and a batch holds 20") != std::string::npos);
    CHECK_THROWS_AS((void)epoch_batches(corpus, {20, 0}, 7, 3), error);
}

TEST_CASE("pairs are sorted by source, then target, equals as they were") {
    const parallel_corpus c = corpus_of({{3, 4}, {2, 9}, {3, 2}, {2, 9}, {3, 4}});
    CHECK(order_by_length(c) == std::vector<std::size_t>{1, 3, 2, 0, 4});
    const parallel_corpus same = corpus_of(std::vector<std::pair<int, int>>(50, {3, 3}));
    const auto shuffled = order_by_length(same, 5);
    CHECK(shuffled != order_by_length(same));
    CHECK(shuffled == order_by_length(same, 5));
}

TEST_CASE("what a full batch has beyond a multiple of 8 begins the next") {
    const parallel_corpus c = corpus_of(std::vector<std::pair<int, int>>(25, {2, 3}));
    std::vector<std::size_t> sizes;
    for (const auto& batch : cut_batches(c, order_by_length(c), {33, 8}))  // eleven sentences
        sizes.push_back(batch.size());
    CHECK(sizes == std::vector<std::size_t>{8, 8, 9});
    sizes.clear();
    for (const auto& batch : cut_batches(c, order_by_length(c), {18, 8}))  // six
        sizes.push_back(batch.size());
    CHECK(sizes == std::vector<std::size_t>{6, 6, 6, 6, 1});
}

TEST_CASE("batches are padded, sources on the left, time outermost") {
    const vocabulary v = build_dictionary(strings{"a b b"});  // b 4, a 5
    parallel_corpus c;
    c.source = to_ids(strings{"a", "b b", "a"}, v);
    c.target = to_ids(strings{"b a b", "a", "b"}, v);
    const std::vector<std::size_t> pairs{0, 1};
    const translation_batch batch = make_batch(c, pairs);
    CHECK(batch.source.sentences == 2);
    CHECK(batch.source.length == 3);
    CHECK(batch.source.ids == ids{1, 4, 5, 4, 2, 2});
    CHECK(batch.target.length == 4);
    CHECK(batch.target.ids == ids{4, 5, 5, 2, 4, 1, 2, 1});
    CHECK(batch.previous.ids == ids{2, 2, 4, 5, 5, 1, 4, 1});
    CHECK(batch.source_tokens == 5);
    CHECK(batch.target_tokens == 6);
    CHECK_THROWS_AS((void)make_batch(c, std::vector<std::size_t>{3}), error);
    CHECK_THROWS_AS((void)make_batch(c, std::vector<std::size_t>{}), error);
    const std::vector<std::span<const std::int32_t>> sentences{c.source[0], c.source[1]};
    CHECK(pad_sentences(sentences, pad_side::right).ids == ids{5, 4, 2, 4, 1, 2});
}
