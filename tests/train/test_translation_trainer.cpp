// SPDX-License-Identifier: MIT
// Training of translation models: updates against the reference, and what a trainer promises.
#include <algorithm>
#include <limits>

#include <doctest/doctest.h>

#include <tare/core/parallel.hpp>
#include <tare/io/npz_parameters.hpp>
#include <tare/train/peak_schedule.hpp>
#include <tare/train/translation_trainer.hpp>

#include "translation_arrays.hpp"
#include "translation_config.hpp"

using namespace tare;

namespace {

using text::padded_sentences;

/// A few pairs of random words, ids 4 to 12.
text::parallel_corpus random_pairs(std::size_t count) {
    const text::vocabulary words =
        text::build_dictionary(std::vector<std::string>{"a b c d e f g h i"});
    text::parallel_corpus out;
    const random_stream draws(5, 1);
    std::uint32_t next = 0;
    const auto line = [&] {
        std::string text;
        const std::uint32_t length = 2 + draws.below(next++, 6);
        for (std::uint32_t i = 0; i < length; ++i) {
            text.push_back(static_cast<char>('a' + draws.below(next++, 9)));
            text.push_back(' ');
        }
        return text;
    };
    for (std::size_t i = 0; i < count; ++i) {
        out.source.add(line(), words);
        out.target.add(line(), words);
    }
    return out;
}

translation_transformer_config small_config() {
    return translation_transformer_config::uniform(16, 16, 1, 16, 24, 2);
}

text::translation_batch small_batch() {
    const text::parallel_corpus pairs = random_pairs(6);
    const std::vector<std::size_t> all{0, 1, 2, 3, 4, 5};
    return text::make_batch(pairs, all);
}

/// Weights after three updates, one after another.
std::vector<float> trained(const train::translation_options& options) {
    train::translation_trainer<> t(small_config(), random_parameters<float>(3), options,
                                   train::translation_adam());
    const text::translation_batch batch = small_batch();
    for (int i = 0; i < 3; ++i)
        t.step(batch, 1e-2);
    std::vector<float> out;
    for (const auto& p : t.parameters())
        out.insert(out.end(), p.value.value().values().begin(), p.value.value().values().end());
    return out;
}

}  // namespace

TEST_CASE("five updates equal the reference") {
    const io::npz_archive start = testing::golden("pet/transformer.npz");
    const io::npz_archive golden = testing::golden("pet/training.npz");
    const shape source = testing::array(start, "src_tokens").extents;
    const shape target = testing::array(start, "target").extents;
    text::translation_batch batch;
    batch.source = {testing::words_by_time(start, "src_tokens"), source[0], source[1]};
    batch.previous = {testing::words_by_time(start, "prev_output_tokens"), target[0], target[1]};
    batch.target = {testing::words_by_time(start, "target"), target[0], target[1]};
    batch.target_tokens =
        batch.target.ids.size() -
        static_cast<std::size_t>(std::ranges::count(batch.target.ids, text::padding_id));
    train::translation_trainer<> t(testing::fairseq_config(start),
                                   io::npz_parameters<float>(start, "w."),
                                   {.dropout = {0.0}, .smoothing = 0.1}, train::translation_adam());
    const train::peaked_inverse_root rate{1e-3, {2}};
    for (int i = 0; i < 5; ++i) {
        const train::step_report report = t.step(batch, rate(t.steps()));
        const std::vector<float> loss = {
            static_cast<float>(report.loss * static_cast<double>(batch.target_tokens))};
        testing::check_array(golden, message("loss", i), loss, testing::forward_tolerance);
    }
    // The reference's own spread; see the note on the keys' biases, whose gradient is exactly zero,
    // so that Adam makes steps of rounding errors.
    constexpr double weight_tolerance = 2e-5;
    int checked = 0;
    for (const auto& p : t.parameters()) {
        const std::string name = message("w5.", p.label);
        if (p.label.ends_with("k_proj.bias") || !golden.contains(name)) continue;
        const std::vector<float> want = testing::values<float>(golden, name);
        const auto got = p.value.value().values();
        REQUIRE(got.size() == want.size());
        INFO(p.label);
        double worst = 0.0;
        for (std::size_t i = 0; i < want.size(); ++i)
            worst = std::max(worst, std::abs(static_cast<double>(got[i] - want[i])));
        CHECK(worst <= weight_tolerance);
        ++checked;
    }
    CHECK(checked >= 20);
}

TEST_CASE("the same seed trains the same weights with any number of threads") {
    const train::translation_options options{.dropout = {0.3}, .clip = 0.5, .seed = 4};
    set_threads(1);
    const std::vector<float> one = trained(options);
    set_threads(3);
    CHECK(trained(options) == one);
    set_threads(1);
    CHECK(trained({.dropout = {0.3}, .clip = 0.5, .seed = 5}) != one);
    CHECK(trained({.dropout = {0.0}, .clip = 0.5, .seed = 4}) != one);
}

TEST_CASE("what a step reports is what the model makes of the batch") {
    train::translation_trainer<> t(small_config(), random_parameters<float>(3), {.dropout = {0.0}},
                                   train::translation_adam());
    const text::parallel_corpus pairs = random_pairs(6);
    const auto before = train::translation_loss(t.plain_model(), pairs);
    const train::step_report report = t.step(small_batch(), 1e-2);
    // The same sum in other batches: a few roundings of losses near 3.
    CHECK(std::abs(before.loss() - report.hard_loss) <= 1e-5);
    CHECK(before.targets() == static_cast<extent>(small_batch().target_tokens));
    CHECK(report.loss > 0.0);
    CHECK(report.gradient_norm > 0.0);
    double last = report.loss;
    for (int i = 0; i < 20; ++i)
        last = t.step(small_batch(), 1e-2).loss;
    CHECK(last < 0.7 * report.loss);
    CHECK(train::translation_loss(t.plain_model(), pairs).loss() < before.loss());
    CHECK(t.steps() == 21);
}

TEST_CASE("a step that diverges names itself and leaves the weights") {
    train::translation_trainer<> t(small_config(), random_parameters<float>(3), {.dropout = {0.0}},
                                   train::translation_adam());
    t.step(small_batch(), 1e-3);
    const std::span<float> weight = t.values_of("decoder.layers.0.fc1.weight");
    const float kept = weight[0];
    weight[0] = std::numeric_limits<float>::quiet_NaN();
    const float other = weight[1];
    CHECK_THROWS_AS(t.step(small_batch(), 1e-3), train::diverged);
    CHECK(weight[1] == other);
    weight[0] = kept;
    CHECK_NOTHROW(t.step(small_batch(), 1e-3));
    CHECK_THROWS_AS((void)t.values_of("nothing"), error);
    const auto make = [](const train::translation_options& options) {
        train::translation_trainer<> made(small_config(), random_parameters<float>(3), options,
                                          train::translation_adam());
    };
    CHECK_THROWS_AS(make({.dropout = {1.0}}), error);
    CHECK_THROWS_AS(make({.smoothing = -0.1}), error);
    CHECK_THROWS_AS(make({.clip = -1.0}), error);
}
