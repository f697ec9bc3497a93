// SPDX-License-Identifier: MIT
// The translation Transformer against fairseq's: states, logits, loss and gradients.
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <tare/io/npz_parameters.hpp>
#include <tare/models/translation_stream.hpp>
#include <tare/ops/prepared_weight.hpp>
#include <tare/train/label_smoothing.hpp>

#include "translation_pass.hpp"

using namespace tare;
using testing::check_array;
using testing::check_close;
using testing::fairseq_config;
using testing::forward_tolerance;
using testing::gradient_tolerance;

TEST_CASE("states, logits, losses and gradients are those of fairseq") {
    const io::npz_archive golden = testing::golden("pet/transformer.npz");
    const auto config = testing::fairseq_config(golden);
    const testing::golden_batch batch(golden);

    tape record;
    using source_type = io::npz_parameters<float>;
    tape_parameters<source_type, float> source(record, source_type(golden, "w."));
    translation_transformer<variable> model(source, config);
    const testing::golden_pass pass(model, batch);
    CHECK(pass.check_states(golden, "", forward_tolerance) ==
          pass.source.states.size() + pass.target.states.size());
    check_close(pass.logits.value().values(), testing::rows_by_time(golden, "logits"),
                forward_tolerance);
    const variable loss = pass.loss(batch);
    check_array(golden, "loss.eps0.1", loss.value().values(), forward_tolerance);
    record.backward(loss);
    CHECK(testing::check_gradients(golden, "g.", model, gradient_tolerance) >= 30);

    SUBCASE("padding on the right gives the same logits") {
        source_type values(golden, "w.");
        const translation_transformer<tensor> plain(values, config);
        const auto right = testing::words_by_time(golden, "src_tokens_right");
        const auto from_right = plain.decode(batch.previous, plain.encode(right, batch.sentences));
        check_close(plain.logits(from_right.hidden).values(),
                    testing::rows_by_time(golden, "logits_right"), forward_tolerance);
    }
}

namespace {

/// A model whose every size differs, with earlier states and norms before the blocks.
translation_transformer_config odd_config() {
    auto c = translation_transformer_config::uniform(23, 19, 2, 12, 17, 3);
    c.encoder.width = 10;
    c.decoder_layers[0].earlier_states = 1;
    c.decoder_layers[1].self = {2, 6, 14};
    c.decoder_layers[1].cross = {1, 5, 3};
    c.pre_norm = true;
    return c;
}

}  // namespace

TEST_CASE("word by word, rows that are copied, exchanged and dropped say what they say alone") {
    const auto config = odd_config();
    const random_parameters<float> values(9);
    const translation_transformer<tensor> model(values, config);
    constexpr extent batch = 3;
    const std::vector<token> words{1, 4, 7, 1, 5, 8, 6, 2, 9, 2, 3, 2};  // S = 4, left padded
    const auto source = model.encode(words, batch);

    translation_stream<> stream(model, source);
    // Each row's sentence and words so far; the tree of steps is that of a small beam search.
    std::vector<std::pair<extent, std::vector<token>>> said;
    const std::vector<std::vector<token>> from{{0, 1, 2},    {0, 0, 1, 2, 2, 2}, {1, 0, 2, 5, 3, 4},
                                               {0, 1, 4, 3}, {2, 0, 0},          {2, 1}};
    for (std::size_t t = 0; t < from.size(); ++t) {
        CHECK(stream.position() == static_cast<extent>(t));
        std::vector<std::pair<extent, std::vector<token>>> next;
        std::vector<token> last;
        for (std::size_t r = 0; r < from[t].size(); ++r) {
            next.push_back(t == 0 ? std::pair<extent, std::vector<token>>{from[t][r], {}}
                                  : said[static_cast<std::size_t>(from[t][r])]);
            last.push_back(static_cast<token>(t == 0 ? 2 : 4 + (5 * t + 3 * r) % 15));
            next.back().second.push_back(last.back());
        }
        said = std::move(next);
        const tensor logits = model.logits(stream.step(last, from[t]));
        REQUIRE(logits.shape() == shape{static_cast<extent>(last.size()), 19});
        for (std::size_t r = 0; r < said.size(); ++r) {
            // The same words in all sentences at once; the row's own is looked at.
            const auto& [sentence, sequence] = said[r];
            std::vector<token> previous;
            for (const token word : sequence)
                previous.insert(previous.end(), static_cast<std::size_t>(batch), word);
            const tensor whole = model.logits(model.decode(previous, source).hidden);
            const extent row = static_cast<extent>(t) * batch + sentence;
            // Sums of products of the same numbers in another order: some ulps of the largest.
            constexpr double order_of_sums = 2e-6;
            check_close(logits.values().subspan(r * 19, 19),
                        whole.values().subspan(static_cast<std::size_t>(row * 19), 19),
                        order_of_sums);
        }
    }
    CHECK_THROWS_WITH_AS(
        static_cast<void>(stream.step(std::vector<token>{4}, std::vector<token>{2})),
        doctest::Contains("row 2 of 2"), error);
}

TEST_CASE("packed weights say what tensors say, whole and word by word") {
    const auto config = odd_config();
    random_parameters<float> values(9);
    const translation_transformer<tensor> plain(values, config);
    const translation_transformer<tensor, prepared_weight> packed(values, config);
    const std::vector<token> words{4, 7, 5, 8, 9, 2};
    const std::vector<token> previous{2, 2, 6, 11};
    const auto want = plain.logits(plain.decode(previous, plain.encode(words, 2)).hidden);
    const auto source = packed.encode(words, 2);
    constexpr double order_of_sums = 2e-6;
    check_close(packed.logits(packed.decode(previous, source).hidden).values(), want.values(),
                order_of_sums);
    translation_stream<prepared_weight> stream(packed, source);
    const std::vector<token> sentences{0, 1};
    for (std::size_t t = 0; t < 2; ++t) {
        const auto last = std::span(previous).subspan(2 * t, 2);
        check_close(packed.logits(stream.step(last, sentences)).values(),
                    want.values().subspan(t * 2 * 19, 2 * 19), order_of_sums);
    }
}
