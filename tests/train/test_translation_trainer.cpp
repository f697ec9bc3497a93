// SPDX-License-Identifier: MIT
// Training of translation models: updates against the reference, and what a trainer promises.
#include <algorithm>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include <tare/core/parallel.hpp>
#include <tare/io/npz_parameters.hpp>
#include <tare/train/peak_schedule.hpp>
#include <tare/train/translation_trainer.hpp>

#include "small_translation.hpp"
#include "translation_arrays.hpp"
#include "translation_config.hpp"

using namespace tare;

namespace {

using testing::random_pairs;
using testing::small_translation;

text::translation_batch small_batch() {
    return testing::whole_batch(random_pairs(6));
}

/// Weights after three updates, one after another.
std::vector<float> trained(const train::translation_options& options) {
    train::translation_trainer<> t(small_translation(), random_parameters<float>(3), options,
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

TEST_CASE("dropout acts at each of its three places") {
    const auto with = [](const train::translation_dropout& dropout) {
        return trained({.dropout = dropout, .seed = 4});
    };
    const std::vector<float> none = with({0.0});
    const std::vector<float> attention = with({.residual = 0.0, .attention = 0.2});
    const std::vector<float> activation = with({.residual = 0.0, .activation = 0.2});
    CHECK(attention != none);
    CHECK(activation != none);
    CHECK(attention != activation);
    CHECK(with({.residual = 0.0, .attention = 0.2}) == attention);
    // A narrower sub network drops less.
    CHECK(with({.residual = 0.0, .activation = 0.2, .encoder_share = 0.5}) != activation);
}

TEST_CASE("what a step reports is what the model makes of the batch") {
    train::translation_trainer<> t(small_translation(), random_parameters<float>(3),
                                   {.dropout = {0.0}}, train::translation_adam());
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
    train::translation_trainer<> t(small_translation(), random_parameters<float>(3),
                                   {.dropout = {0.0}}, train::translation_adam());
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
        train::translation_trainer<> made(small_translation(), random_parameters<float>(3), options,
                                          train::translation_adam());
    };
    CHECK_THROWS_AS(make({.dropout = {1.0}}), error);
    CHECK_THROWS_AS(make({.smoothing = -0.1}), error);
    CHECK_THROWS_AS(make({.clip = -1.0}), error);
}

namespace {

/// Counts its calls, freezes one parameter, doubles the loss and clears a weight after each update.
struct watching : train::plain_translation {
    std::string calls;
    std::vector<float> kept;

    void before_step(extent step) { calls += message('s', step); }
    template <class T>
    T loss(const train::translation_pass<T>& pass, const T& sums,
           const train::label_smoothing& label) {
        calls += 'l';
        CHECK(pass.logits.shape() == shape{static_cast<extent>(pass.words.size()), 16});
        CHECK(pass.batch->target_tokens == pass.words.size());
        CHECK(pass.source.states.size() == 2);
        CHECK(pass.target.states.size() == 2);
        return scale_by(plain_translation::loss(pass, sums, label), 2.0);
    }
    template <class Parameter>
    void before_update(extent step, std::span<Parameter> parameters) {
        calls += message('u', step);
        for (Parameter& p : parameters)
            if (p.label == "decoder.layers.0.fc2.weight")
                for (float& g : p.value.mutable_gradient().mutable_values())
                    g = 0.0F;
    }
    [[nodiscard]] bool frozen(std::string_view label) const {
        return label == "encoder.layers.0.fc1.weight";
    }
    template <class Parameter>
    void after_step(extent step, std::span<Parameter> parameters) {
        calls += message('a', step);
        for (Parameter& p : parameters)
            if (p.label == "encoder.layers.0.fc1.bias")
                p.value.mutable_value().mutable_values()[0] = 0.25F;
    }
    template <class Visit>
    void visit_state(Visit&& visit) {
        visit("kept", std::span<float>(kept));
    }
};

std::vector<float> copy_of(std::span<const float> values) {
    return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("a method is asked around every update, and what it freezes stays") {
    const train::translation_options options{.dropout = {0.0}};
    train::translation_trainer<> plain(small_translation(), random_parameters<float>(3), options,
                                       train::translation_adam());
    train::method_trainer<watching> t(small_translation(), random_parameters<float>(3), options,
                                      train::translation_adam(), {},
                                      watching{{}, {}, {1.0F, 2.0F}});
    const std::vector<float> frozen = copy_of(t.values_of("encoder.layers.0.fc1.weight"));
    const std::vector<float> still = copy_of(t.values_of("decoder.layers.0.fc2.weight"));
    const double once = plain.step(small_batch(), 1e-2).loss;
    const train::step_report report = t.step(small_batch(), 1e-2);
    CHECK(report.loss == doctest::Approx(2.0 * once).epsilon(1e-6));
    t.step(small_batch(), 1e-2);
    CHECK(t.method().calls == "s0lu0a0s1lu1a1");
    CHECK(copy_of(t.values_of("encoder.layers.0.fc1.weight")) == frozen);
    CHECK(copy_of(plain.values_of("encoder.layers.0.fc1.weight")) != frozen);
    CHECK(t.values_of("encoder.layers.0.fc1.bias")[0] == 0.25F);
    // Without a gradient decay alone moves a weight: two factors 1 - rate 1e-4, each rounded.
    const std::span<const float> decayed = t.values_of("decoder.layers.0.fc2.weight");
    for (std::size_t i = 0; i < still.size(); ++i)
        CHECK(decayed[i] == doctest::Approx(still[i] * (1.0F - 2e-6F)).epsilon(2e-7));
    bool moments_of_frozen = false;
    std::vector<std::string> names;
    t.visit_state([&](std::string_view name, const shape& extents, std::span<float> values) {
        names.emplace_back(name);
        CHECK(extents.size() == static_cast<extent>(values.size()));
        if (name == "state.mean.encoder.layers.0.fc1.weight")
            for (const float m : values)
                moments_of_frozen = moments_of_frozen || m != 0.0F;
    });
    CHECK(!moments_of_frozen);
    CHECK(names.size() == 3 * t.parameters().size() + 1);
    CHECK(names.back() == "state.method.kept");
}

TEST_CASE("one table for both sides trains, cut to the narrower where they differ") {
    translation_transformer_config config = small_translation();
    config.share_embeddings = true;
    for (const extent decoder_width : {16, 12}) {
        config.decoder.width = decoder_width;
        train::translation_trainer<> t(config, random_parameters<float>(3), {.dropout = {0.0}},
                                       train::translation_adam());
        const double first = t.step(small_batch(), 1e-2).loss;
        double last = first;
        for (int i = 0; i < 10; ++i)
            last = t.step(small_batch(), 1e-2).loss;
        CHECK(last < first);
        CHECK_THROWS_AS((void)t.values_of("decoder.embed_tokens.weight"), error);
    }
}
