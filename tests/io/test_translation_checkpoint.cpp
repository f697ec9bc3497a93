// SPDX-License-Identifier: MIT
// Checkpoints of translation training: whatever the update it is interrupted after, a training that
// goes on ends with the same bits; other runs and damage are refused.
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <unistd.h>

#include <tare/io/translation_checkpoint.hpp>
#include <tare/text/batch_walk.hpp>
#include <tare/train/peak_schedule.hpp>
#include <tare/train/sgd.hpp>
#include <tare/train/translation_trainer.hpp>

#include "small_translation.hpp"

using namespace tare;

namespace {

/// Shakes weights by a running number that only its state knows.
struct drifting : train::plain_translation {
    std::vector<float> drift{0.0F, 0.0F};

    template <class Parameter>
    void after_step(extent, std::span<Parameter> parameters) {
        drift[1] = 0.5F * drift[1] + (drift[0] += 0.125F);
        parameters[0].value.mutable_value().mutable_values()[40] += 0.01F * drift[1];
    }
    template <class Visit>
    void visit_state(Visit&& visit) {
        visit("drift", std::span<float>(drift));
    }
};

using trainer_type = train::method_trainer<drifting>;

struct run {
    text::parallel_corpus pairs = testing::random_pairs(20);
    text::batch_walk walk{pairs, {24, 2}, 3};
    train::peaked_inverse_root rate{1e-2, {3}};
    trainer_type t{
        testing::small_translation(),
        random_parameters<float>(3),
        {.dropout = {.residual = 0.2, .attention = 0.1, .activation = 0.1}, .clip = 0.5, .seed = 9},
        train::translation_adam()};

    void until(extent updates) {
        while (t.steps() < updates)
            t.step(walk[t.steps()], rate(t.steps()));
    }
    [[nodiscard]] std::vector<float> state() {
        std::vector<float> all;
        t.visit_state([&](std::string_view, const shape&, std::span<float> values) {
            all.insert(all.end(), values.begin(), values.end());
        });
        return all;
    }
};

struct scratch_file {
    std::string path = (std::filesystem::temp_directory_path() /
                        ("tare_translation_" + std::to_string(::getpid())))
                           .string();
    ~scratch_file() { std::filesystem::remove(path); }
};

const io::checkpoint_facts facts{{"seed", "9"}};

}  // namespace

TEST_CASE("interrupted after any update, a training ends with the same bits") {
    constexpr extent updates = 12;  // more than an epoch of these batches
    run whole;
    REQUIRE(whole.walk.epoch_length(0) < updates);
    whole.until(updates);
    const std::vector<float> want = whole.state();
    for (extent at = 0; at <= updates; ++at) {
        CAPTURE(at);
        const scratch_file file;
        run first;
        first.until(at);
        io::save_checkpoint(file.path, first.t, facts);
        run second;
        io::load_checkpoint(file.path, second.t, facts);
        CHECK(second.t.steps() == at);
        second.until(updates);
        CHECK(second.state() == want);
    }
}

TEST_CASE("weights alone begin another training") {
    const scratch_file file;
    run whole;
    whole.until(2);
    io::save_checkpoint(file.path, whole.t, facts);
    run fresh;
    io::load_weights(file.path, fresh.t);
    CHECK(fresh.t.steps() == 0);
    const auto& first = whole.t.parameters()[0];
    const auto& other = fresh.t.parameters()[0];
    CHECK(std::ranges::equal(first.value.value().values(), other.value.value().values()));
    CHECK(other.moments[0].values()[40] == 0.0F);
}

TEST_CASE("another model, run or optimizer is refused by name, and nothing is changed") {
    const scratch_file file;
    run whole;
    whole.until(1);
    io::save_checkpoint(file.path, whole.t, facts);
    const auto refused = [&](auto&& t, const io::checkpoint_facts& of, const char* word) {
        CHECK_THROWS_WITH_AS(io::load_checkpoint(file.path, t, of), doctest::Contains(word),
                             file_error);
        CHECK(t.steps() == 0);
    };
    const auto make = [](const translation_transformer_config& config) {
        return trainer_type(config, random_parameters<float>(3), {}, train::translation_adam());
    };
    run same;
    refused(same.t, {{"seed", "2"}}, "seed");
    refused(make(testing::small_translation(2)), facts, "model");
    auto config = testing::small_translation();
    config.encoder_passes = {attention_roles{}, attention_roles{}};
    refused(make(config), facts, "model");
    config = testing::small_translation();
    config.decoder.embedding_scale = 3.0;
    refused(make(config), facts, "model");
    refused(train::method_trainer<drifting, train::sgd>(testing::small_translation(),
                                                        random_parameters<float>(3), {}, {}),
            facts, "optimizer");
    // A method whose state the file does not hold.
    run other;
    const std::vector<float> before = other.state();
    other.t.method().drift.push_back(0.0F);
    CHECK_THROWS_AS(io::load_checkpoint(file.path, other.t, facts), file_error);
    other.t.method().drift.pop_back();
    CHECK(other.state() == before);
}

TEST_CASE("a walk gives the batches of epoch after epoch, in any order of asking") {
    const text::parallel_corpus pairs = testing::random_pairs(20);
    const text::batch_options options{24, 2};
    std::vector<std::vector<std::int32_t>> want;
    for (std::uint64_t epoch = 0; epoch < 3; ++epoch)
        for (const auto& numbers : text::epoch_batches(pairs, options, 7, epoch))
            want.push_back(text::make_batch(pairs, numbers).source.ids);
    text::batch_walk walk(pairs, options, 7);
    const auto count = static_cast<extent>(want.size());
    const extent first = walk.epoch_length(0);
    for (const extent step : {extent{1}, count - 1, extent{5}})
        for (extent i = 0, at = 0; i < count; ++i, at = (at + step) % count)
            CHECK(walk[at].source.ids == want[static_cast<std::size_t>(at)]);
    CHECK(walk.epoch_of(first - 1) == 0);
    CHECK(walk.epoch_of(first) == 1);
    CHECK_THROWS_AS((void)walk[-1], error);
    CHECK_THROWS_AS(text::batch_walk({}, options, 7), error);
}
