// SPDX-License-Identifier: MIT
// Distillation against the reference: both variants, with and without cache, and the gradients.
#include <cmath>

#include <doctest/doctest.h>

#include <tare/train/trainer.hpp>

#include "hanlab_model.hpp"

using namespace tare;

namespace {

/// As for the model itself: eight times the reference's own distance to float64, or eight units in
/// the last place of the largest element.
constexpr double distance_factor = 8.0 + 1.0;
constexpr double ulps = 8.0 * 1.1920929e-07;

struct comparison {
    io::npz_archive archive = testing::golden("hanlab/distill.npz");
    nlohmann::json arrays = testing::hanlab_manifest()["files"]["distill.npz"]["arrays"];

    void check(const std::string& name, std::span<const float> got) const {
        INFO(name);
        const auto& about = arrays.at(name);
        const double noise = about.value("float64_max_abs_diff", 0.0);
        const double bound = std::max(distance_factor * noise, ulps * about.value("max_abs", 1.0));
        CHECK(testing::distance(got, testing::values<float>(archive, name)) <= bound);
    }

    [[nodiscard]] std::size_t count(const std::string& head) const {
        std::size_t found = 0;
        for (const auto& entry : archive)
            found += entry.first.starts_with(head) ? 1 : 0;
        return found;
    }

    /// The steps of the annealing that a case has a loss for.
    [[nodiscard]] std::vector<extent> steps(const std::string& head) const {
        std::vector<extent> out;
        for (const auto& entry : archive)
            if (entry.first.starts_with(head + "step") && entry.first.ends_with(".loss"))
                out.push_back(std::stol(entry.first.substr(head.size() + 4)));
        REQUIRE(out.size() >= 3);
        return out;
    }
};

void run_case(bool first_bin, bool cached) {
    const comparison golden;
    const std::string head = message("first", first_bin ? 1 : 0, ".cache", cached ? 1 : 0, '.');
    const transformer_xl_config config =
        cached ? testing::hanlab_cached_config("distill.npz", true) : testing::hanlab_config();
    const std::vector<token> inputs = testing::tokens_of(golden.archive, "inputs");
    const std::vector<token> labels = testing::tokens_of(golden.archive, "labels");
    const std::vector<token> soft_words = testing::tokens_of(golden.archive, "soft_labels");
    const std::vector<float> shares = testing::values<float>(golden.archive, "soft_probs");
    const train::soft_labels teacher{static_cast<extent>(soft_words.size() / labels.size()),
                                     soft_words, shares};
    const auto about = [](const char* word) { return testing::hanlab_number("distill.npz", word); };
    const train::teacher_annealing annealing{about("hard_min"), about("hard_max"),
                                             static_cast<extent>(about("steps"))};
    for (const extent s : golden.steps(head)) {
        tape record;
        tape_parameters<testing::hanlab_parameters, float> source(record, {});
        transformer_xl<variable> model(source, config);
        transformer_xl_state<variable> state;
        neural_cache<variable> cache(config.cache.capacity);
        const variable h = model.hidden(inputs, 1, state);
        const train::distilled<variable> both =
            train::distil(model, h, std::span<const token>(labels), teacher, first_bin,
                          cached ? &cache : nullptr);
        const double rho = annealing.hard_share(s);
        const variable loss =
            scale_by(mean(add(scale_by(both.hard, rho), scale_by(both.soft, 1.0 - rho))), -1.0);
        const std::string step = message(head, "step", s, '.');
        golden.check(step + "loss", loss.value().values());
        golden.check(head + "hard_nll", scale_by(both.hard, -1.0).value().values());
        golden.check(head + "soft_loss", scale_by(both.soft, -1.0).value().values());
        record.backward(loss);
        std::size_t compared = 0;
        model.visit([&](std::string_view label, variable& p) {
            const std::string name = step + "grad." + std::string(label);
            if (!golden.arrays.contains(name)) return;
            golden.check(name, p.gradient().values());
            ++compared;
        });
        CHECK(compared == golden.count(step + "grad."));
    }
}

}  // namespace

TEST_CASE("the plain variant equals the reference") {
    run_case(false, false);
}
TEST_CASE("the plain variant with a cache equals the reference") {
    run_case(false, true);
}
TEST_CASE("the first-bin variant equals the reference") {
    run_case(true, false);
}
TEST_CASE("the first-bin variant with a cache equals the reference") {
    run_case(true, true);
}

TEST_CASE("the trainer's distilled step is that of each sample") {
    // Two samples side by side: the loss is the mean of the two alone.
    const comparison golden;
    auto inputs = testing::tokens_of(golden.archive, "inputs");
    auto labels = testing::tokens_of(golden.archive, "labels");
    auto soft_words = testing::tokens_of(golden.archive, "soft_labels");
    auto shares = testing::values<float>(golden.archive, "soft_probs");
    const auto kept = static_cast<extent>(soft_words.size() / labels.size());
    const auto half = static_cast<std::ptrdiff_t>(labels.size() / 2);
    const auto even = static_cast<std::size_t>(2 * half);
    inputs.resize(even);
    labels.resize(even);
    soft_words.resize(even * static_cast<std::size_t>(kept));
    shares.resize(soft_words.size());
    const auto loss = [&](extent batch, std::ptrdiff_t from, std::ptrdiff_t to) {
        train::trainer_options options;
        options.batch = batch;
        options.first_bin = true;
        train::trainer<> t(testing::hanlab_cached_config("distill.npz", true),
                           testing::hanlab_parameters{}, options);
        const auto part = [&](const auto& all, std::ptrdiff_t each) {
            return std::remove_cvref_t<decltype(all)>(all.begin() + from * each,
                                                      all.begin() + to * each);
        };
        const auto words = part(soft_words, kept);
        const auto weights = part(shares, kept);
        const train::soft_labels teacher{kept, words, weights};
        return t.step(part(inputs, 1), part(labels, 1), 0.0, &teacher).loss;
    };
    // Float32 means of twelve losses near 4, summed in two orders.
    constexpr double tolerance = 2e-6;
    // A shared cache would let the samples see each other; without the flag each has its own.
    transformer_xl_config apart = testing::hanlab_cached_config("distill.npz", true);
    apart.cache.shared = false;
    train::trainer_options options;
    options.batch = 2;
    options.first_bin = true;
    train::trainer<> both(apart, testing::hanlab_parameters{}, options);
    const train::soft_labels teacher{kept, soft_words, shares};
    const double together = both.step(inputs, labels, 0.0, &teacher).loss;
    CHECK(std::abs(together - 0.5 * (loss(1, 0, half) + loss(1, half, 2 * half))) <= tolerance);
}

TEST_CASE("teacher pairs of another size are refused") {
    train::trainer<> t(testing::hanlab_config(), testing::hanlab_parameters{}, {});
    const std::vector<token> words{1, 2, 3, 4};
    const std::vector<float> shares(4, 0.1F);
    const train::soft_labels teacher{3, words, shares};
    CHECK_THROWS_AS(t.step(std::vector<token>{1, 2}, std::vector<token>{2, 3}, 0.1, &teacher),
                    error);
}
