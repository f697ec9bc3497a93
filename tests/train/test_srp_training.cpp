// SPDX-License-Identifier: MIT
// The phases of selectively regularised pruning in training: selected units fade and do not learn,
// what is removed at the end was nothing, and everything goes on from checkpoints.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/train/srp_training.hpp>

#include "small_translation.hpp"

using namespace tare;
using testing::random_pairs;

namespace {

constexpr bool weighted = true;
constexpr extent updates = 9;

/// The same values in another order of sums: float32 products of 16 to 24 terms of about 1.
constexpr double same_values = 2e-5;

struct phases {
    text::parallel_corpus pairs = random_pairs(12);
    std::vector<text::translation_batch> batches{testing::whole_batch(pairs)};
    train::translation_options options{.dropout = {0.1}, .seed = 7};
    train::srp_trainer<weighted> base{testing::small_translation(), random_parameters<float>(3),
                                      options, train::translation_adam()};

    phases() {
        for (int i = 0; i < 30; ++i)
            base.step(batches[0], 1e-2);
    }
    [[nodiscard]] train::srp_stage stage(double rate = 0.5) const {
        const prune::srp_sizes sizes = train::srp_sizes_of(base.config());
        const double kept = prune::kept_fraction(prune::srp_parameters_of(sizes), rate);
        train::srp_stage out{.counts = prune::counts_for(sizes, kept), .slices = sizes.heads};
        out.shrinking = prune::srp_shrinking::arithmetic_steps(1, updates);
        return out;
    }
    [[nodiscard]] train::srp_pruning<weighted> pruning(const train::srp_stage& how) const {
        return {base, how, batches, options, train::translation_adam()};
    }
};

extent parameters_of(auto& trainer) {
    extent all = 0;
    for (const auto& p : trainer.parameters())
        all += p.value.shape().size();
    return all;
}

/// Logits of one batch without dropout.
template <class Model>
tensor logits_of(const Model& model, const text::translation_batch& batch) {
    return train::run_pass(model, batch).logits;
}

double distance(const tensor& a, const tensor& b) {
    REQUIRE(a.shape() == b.shape());
    double worst = 0.0;
    for (std::size_t i = 0; i < a.values().size(); ++i)
        worst = std::max(worst, std::abs(static_cast<double>(a.values()[i] - b.values()[i])));
    return worst;
}

}  // namespace

TEST_CASE("selected units fade to nothing, stay as they were, and are removed without a trace") {
    phases p;
    const tensor before = logits_of(p.base.plain_model(), p.batches[0]);
    auto pruning = p.pruning(p.stage());
    auto& fading = pruning.fading();
    // All at one: the network itself, whatever is selected.
    CHECK(distance(logits_of(fading.plain_model(), p.batches[0]), before) <= same_values);
    const prune::unit_masks masks = fading.method().masks();
    std::vector<tensor> start;
    for (const auto& w : fading.parameters())
        start.push_back(w.value.value().clone());
    double loss = 0.0;
    for (extent i = 0; i < updates; ++i)
        loss = fading.step(p.batches[0], 5e-3).loss;
    CHECK(std::isfinite(loss));
    for (const auto& c : fading.method().connections()) {
        const prune::mask& keep = *masks.find(c.label);
        for (std::size_t i = 0; i < keep.size(); ++i)
            CHECK(c.factors.value().values()[i] == (keep[i] != 0 ? 1.0F : 0.0F));
    }
    // Of a selected unit nothing but decay moves: (1 - rate 1e-4) in each update, rounded.
    const float decayed = std::pow(1.0F - 5e-3F * 1e-4F, static_cast<float>(updates));
    bool moved = false;
    for (std::size_t i = 0; i < start.size(); ++i) {
        const auto& w = fading.parameters()[i];
        tensor kept = start[i].clone();
        prune::clear_pruned(w.label, kept.shape(), kept.mutable_values(), masks);
        for (std::size_t j = 0; j < kept.values().size(); ++j) {
            const float was = start[i].values()[j];
            const float is = w.value.value().values()[j];
            if (kept.values()[j] == 0.0F && was != 0.0F)
                CHECK(std::abs(is - was * decayed) <= 1e-6F * std::abs(was));
            else
                moved = moved || is != was;
        }
    }
    CHECK(moved);

    auto left = pruning.removed();
    CHECK(left->steps() == updates);
    CHECK(distance(logits_of(left->plain_model(), p.batches[0]),
                   logits_of(fading.plain_model(), p.batches[0])) <= same_values);
    CHECK(parameters_of(*left) < parameters_of(p.base) * 6 / 10);
    // Moments are those of the kept units.
    for (std::size_t i = 0; i < left->parameters().size(); ++i) {
        const auto& w = left->parameters()[i];
        const auto& wide = fading.parameters()[i];
        CHECK(w.label == wide.label);
        CHECK(std::ranges::equal(w.moments[1].values(),
                                 prune::without_pruned(w.label, wide.moments[1], masks).values()));
    }
    // The teacher is as it was; the removed network learns.
    CHECK(distance(logits_of(p.base.plain_model(), p.batches[0]), before) == 0.0);
    const double first = left->step(p.batches[0], 5e-3).hard_loss;
    double last = first;
    for (int i = 0; i < 20; ++i)
        last = left->step(p.batches[0], 5e-3).hard_loss;
    CHECK(last < first);
}

TEST_CASE("two stages: columns first, then the insides of what is left") {
    const phases p;
    train::srp_stage stage = p.stage();
    const prune::srp_counts counts = stage.counts;
    stage.counts = counts.columns_only();
    auto first = p.pruning(stage);
    for (extent i = 0; i < updates; ++i)
        first.fading().step(p.batches[0], 5e-3);
    const auto narrow = first.removed();
    CHECK(narrow->config().encoder.width == 16 - counts.encoder_columns);
    CHECK(narrow->config().encoder_layers[0].inner == 24);
    stage.counts = counts.insides_only();
    train::srp_pruning<weighted> second(*narrow, stage, p.batches, p.options,
                                        train::translation_adam());
    const auto left = second.removed();
    CHECK(left->config().encoder.width == 16 - counts.encoder_columns);
    CHECK(left->config().encoder_layers[0].self.key_width == 16 - 2 * counts.query_key_per_head);
    CHECK(left->config().encoder_layers[0].inner + left->config().decoder_layers[0].inner ==
          48 - counts.inner_units);
    CHECK_THROWS_AS(static_cast<void>(train::srp_sizes_of(narrow->config())), error);
}

TEST_CASE("the teacher's part is a divergence: nothing at the start, and without it labels alone") {
    phases p;
    p.options.dropout = {0.0};
    train::srp_stage stage = p.stage();
    // Falls of every epoch: nothing fades before the first update of the second.
    stage.shrinking = prune::srp_shrinking::geometric_epochs(100000);
    stage.epoch = 2;
    const auto losses = [&](double share) {
        stage.share = share;
        auto pruning = p.pruning(stage);
        const double first = pruning.fading().step(p.batches[0], 1e-2).loss;
        return std::pair(first, pruning.fading().step(p.batches[0], 1e-2).loss);
    };
    const auto [alone, alone_later] = losses(0.0);
    const auto [taught, taught_later] = losses(0.7);
    // A unit at 1e-5^(1e-5) is 1 - 1.2e-4: what is lost by it is below 1e-2 of the loss.
    CHECK(std::abs(taught - alone) <= 1e-2 * alone);
    CHECK(taught_later != alone_later);
}

TEST_CASE("a pruning phase goes on from its state with the same bits") {
    const phases p;
    const auto state_of = [](auto& trainer) {
        std::vector<float> all;
        trainer.visit_state([&](std::string_view, const shape&, std::span<float> values) {
            all.insert(all.end(), values.begin(), values.end());
        });
        return all;
    };
    auto whole = p.pruning(p.stage());
    for (extent i = 0; i < 4; ++i)
        whole.fading().step(p.batches[0], 5e-3);
    std::vector<float> held = state_of(whole.fading());
    auto other = p.pruning(p.stage());
    std::size_t at = 0;
    other.fading().visit_state([&](std::string_view, const shape&, std::span<float> values) {
        std::copy_n(held.begin() + static_cast<std::ptrdiff_t>(at), values.size(), values.begin());
        at += values.size();
    });
    other.fading().set_steps(4);
    for (extent i = 0; i < 3; ++i) {
        whole.fading().step(p.batches[0], 5e-3);
        other.fading().step(p.batches[0], 5e-3);
    }
    CHECK(state_of(other.fading()) == state_of(whole.fading()));
}
