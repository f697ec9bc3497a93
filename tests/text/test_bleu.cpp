// SPDX-License-Identifier: MIT
// BLEU in its three forms against the reference, and each rule by a case of its own.
#include <cctype>
#include <cmath>
#include <fstream>

#include <doctest/doctest.h>

#include <tare/text/sacre_bleu.hpp>

#include "golden_manifest.hpp"

using namespace tare;
using namespace tare::text;

namespace {

/// Both sides are a few logarithms and an exponential in double.
constexpr double tolerance = 1e-10;

using strings = std::vector<std::string>;

void check_counts(const bleu_counts& got, const std::vector<std::uint64_t>& matches,
                  const std::vector<std::uint64_t>& ngrams) {
    for (std::size_t i = 0; i < bleu_orders; ++i) {
        CHECK(got.matches[i] == matches[i]);
        CHECK(got.ngrams[i] == ngrams[i]);
    }
}

bleu_counts counts_of(const std::string& translation, const std::string& reference) {
    return count_bleu<std::string>(bleu_words(translation), bleu_words(reference));
}

}  // namespace

TEST_CASE("multi-bleu's figures") {
    std::ifstream file(testing::golden_path("pet/bleu.json"));
    const nlohmann::json golden = nlohmann::json::parse(file);
    const strings references = golden["ref"];
    for (const nlohmann::json& c : golden["cases"]) {
        const strings translations = c["hyp"];
        bleu_counts counts;
        for (std::size_t i = 0; i < references.size(); ++i)
            counts += counts_of(translations[i], references[i]);
        check_counts(counts, c["counts"][0], c["counts"][1]);
        const bleu_score got = corpus_bleu(translations, references);
        CHECK(std::abs(got.bleu - c["bleu"].get<double>()) <= tolerance * 100);
        CHECK(std::abs(got.brevity - c["brevity_penalty"].get<double>()) <= tolerance);
        for (std::size_t i = 0; i < bleu_orders; ++i)
            CHECK(std::abs(got.precisions[i] - c["precisions"][i].get<double>()) <=
                  tolerance * 100);
    }
}

TEST_CASE("fairseq's figures for rows of ids") {
    const io::npz_archive archive = testing::golden("daq/bleu.npz");
    const nlohmann::json cases = testing::golden_cases("daq", "bleu.npz");
    for (auto at = cases.begin(); at != cases.end(); ++at) {
        const std::string& name = at.key();
        if (name == "sacrebleu") continue;
        CAPTURE(name);
        const nlohmann::json& info = at.value().at("info");
        const auto all = [&](const std::string& what) {
            return testing::values<std::int64_t>(archive, message(name, '.', what));
        };
        const auto row = [&](const std::string& side, std::size_t i) {
            const auto ids = all(side);
            const auto offsets = all(message(side, "_offsets"));
            return std::vector<std::int32_t>(ids.begin() + offsets[i],
                                             ids.begin() + offsets[i + 1]);
        };
        const std::int32_t pad = info["pad"];
        const std::int32_t eos = info["eos"];
        bleu_counts counts;
        const std::vector<float> sentences =
            testing::values<float>(archive, message(name, ".sentence_bleu_plus1"));
        for (std::size_t i = 0; i < sentences.size(); ++i) {
            const bleu_counts one = count_bleu<std::int32_t>(
                bleu_ids(row("sys", i), pad, eos), bleu_ids(row("ref", i), pad, eos, info["unk"]));
            // The fixture is float32.
            const auto want = static_cast<double>(sentences[i]);
            CHECK(std::abs(sentence_bleu(one).bleu - want) <= 1e-6 * std::max(1.0, want));
            counts += one;
        }
        // reflen, predlen, then matches and counts in turn.
        const std::vector<std::int64_t> stats = all("stats");
        CHECK(static_cast<std::int64_t>(counts.reference_length) == stats[0]);
        CHECK(static_cast<std::int64_t>(counts.length) == stats[1]);
        for (std::size_t i = 0; i < bleu_orders; ++i) {
            CHECK(static_cast<std::int64_t>(counts.matches[i]) == stats[2 + 2 * i]);
            CHECK(static_cast<std::int64_t>(counts.ngrams[i]) == stats[3 + 2 * i]);
        }
        const bleu_score got = corpus_bleu(counts);
        CHECK(std::abs(got.bleu - info["bleu"].get<double>()) <= tolerance * 100);
        CHECK(std::abs(got.brevity - info["brevity"].get<double>()) <= tolerance);
        CHECK(got.to_string() == info["line"].get<std::string>());
    }
}

TEST_CASE("sacreBLEU's words and figures") {
    const auto spaced = [](const std::string& line) {
        std::string out;
        for (const std::string& word : words_13a(line)) {
            if (!out.empty()) out.push_back(' ');
            out.append(word);
        }
        return out;
    };
    const nlohmann::json golden = testing::golden_cases("daq", "bleu.npz").at("sacrebleu");
    for (const nlohmann::json& c : golden.at("info").at("cases")) {
        strings sides[2] = {c["sys"], c["ref"]};
        for (std::size_t i = 0; i < sides[0].size(); ++i) {
            CHECK(spaced(sides[0][i]) == c["tok13a_sys"][i].get<std::string>());
            CHECK(spaced(sides[1][i]) == c["tok13a_ref"][i].get<std::string>());
        }
        const bleu_score got = sacre_bleu(sides[0], sides[1]);
        CHECK(std::abs(got.bleu - c["bleu"].get<double>()) <= tolerance * 100);
        CHECK(std::abs(got.brevity - c["bp"].get<double>()) <= tolerance);
        CHECK(got.length == c["sys_len"].get<std::uint64_t>());
        CHECK(got.reference_length == c["ref_len"].get<std::uint64_t>());
        for (std::size_t i = 0; i < bleu_orders; ++i)
            CHECK(std::abs(got.precisions[i] - c["precisions"][i].get<double>()) <=
                  tolerance * 100);
        for (strings& side : sides)
            for (std::string& line : side)
                for (char& letter : line)
                    letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
        CHECK(std::abs(sacre_bleu(sides[0], sides[1]).bleu - c["bleu_lowercase"].get<double>()) <=
              tolerance * 100);
    }
    CHECK(spaced("a.b 1.5 x,1 3-4 4-b c-5 ... it's [x]/y") ==
          "a . b 1.5 x , 1 3 - 4 4 - b c-5 . . . it's [ x ] / y");
    CHECK(spaced("co-\noperate &amp;lt; x<skipped>y 5.") == "cooperate < xy 5 .");
    CHECK(spaced("a\u00A0b\u3000c\x1F"
                 "d") == "a b c d");
    CHECK(spaced("") == "");
}

TEST_CASE("matches are clipped, and orders without a match give 0") {
    const bleu_counts the = counts_of("the the the the", "the cat the");
    check_counts(the, {2, 0, 0, 0}, {4, 3, 2, 1});
    CHECK(corpus_bleu(the).bleu == 0.0);
    CHECK(corpus_bleu(the).brevity == 1.0);
    // Smoothed: 1/2, 1/(2 3), 1/(4 2), 1/(8 1).
    CHECK(sacre_bleu(the).bleu ==
          doctest::Approx(100 * std::pow(0.5 / 6.0 / 8.0 / 8.0, 0.25)).epsilon(1e-12));
    // (2/4) (1/4) (1/3) (1/2)
    CHECK(sentence_bleu(the).bleu ==
          doctest::Approx(100 * std::pow(0.5 / 24.0, 0.25)).epsilon(1e-12));
    CHECK(sacre_bleu(counts_of("a b c", "a b c")).bleu == 0.0);
    CHECK(corpus_bleu(counts_of("", "a")).bleu == 0.0);
    CHECK(corpus_bleu(counts_of("", "a")).brevity == 0.0);
    CHECK(corpus_bleu(counts_of("", "")).bleu == 0.0);
    // A reference longer by one of five tokens: e^(1 - 5/4).
    CHECK(corpus_bleu(counts_of("a b c d", "a b c d e")).bleu ==
          doctest::Approx(100 * std::exp(-0.25)));
    CHECK_THROWS_AS((void)corpus_bleu(strings{"a"}, strings{}), error);
    CHECK_THROWS_AS((void)sacre_bleu(strings{"a"}, strings{}), error);
}

TEST_CASE("hyphens are split once per pass, around whole characters") {
    const std::string at = "##AT##-##AT##";
    CHECK(bleu_words("a-b-c", true) == strings{"a", at, "b-c"});
    CHECK(bleu_words("\u00E4-\u00FC-c", true) == strings{"\u00E4", at, "\u00FC-c"});
    CHECK(bleu_words("x-ray b-d", true) == strings{"x", at, "ray", "b", at, "d"});
    CHECK(bleu_words("-a b- - a--b", true) == strings{"-a", "b-", "-", "a", at, "-b"});
    CHECK(bleu_words("a-b\t c ") == strings{"a-b", "c"});
}

TEST_CASE("rows lose their padding and ends but never their last token") {
    using ids = std::vector<std::int32_t>;
    CHECK(bleu_ids(ids{1, 1, 7, 3, 2, 1}, 1, 2) == ids{7, 3});
    CHECK(bleu_ids(ids{1, 2, 2}, 1, 2) == ids{2});
    CHECK(bleu_ids(ids{7, 1, 3}, 1, 2, 3) == ids{7, 1, -1});
    CHECK(bleu_ids(ids{1, 1}, 1, 2).empty());
    CHECK(bleu_ids(ids{}, 1, 2).empty());
}
