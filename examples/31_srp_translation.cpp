// SPDX-License-Identifier: MIT
// Selectively regularised pruning on two texts: trains a translation model, scores its units, lets
// the selected ones fade, removes them, tunes what is left, and weighs it before and after.
//     31_srp_translation --help
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <tare/micronet/published_srp.hpp>
#include <tare/train/peak_schedule.hpp>
#include <tare/train/srp_training.hpp>

#include "translation_example.hpp"

namespace {

using namespace tare;

constexpr bool weighted = true;  // the norms of the published scripts
using trainer_type = train::srp_trainer<weighted>;

struct options : translation_example {
    extent updates = 1400;
    extent fading = 200;
    extent tuning = 400;
    extent stages = 2;
    std::size_t scored = 20;
    double rate = 0.2;
    double share = train::srp_share;
    double learning_rate = 5e-4;
    std::string load;

    explicit options(CLI::App& app) : translation_example(app) {
        add_count(app, "--updates", updates, "of training before pruning");
        add_count(app, "--fading", fading, "updates while units fade, in each stage",
                  number_check("of at least 2", [](double n) { return n >= 2; }));
        add_count(app, "--tuning", tuning, "updates after removal");
        app.add_option("--stages", stages, "1: all units at once; 2: columns, then insides")
            ->capture_default_str()
            ->check(CLI::Range(1, 2));
        add_count(app, "--scored", scored, "batches that units are scored with", positive_number);
        app.add_option("--rate", rate, "share of the parameters that remains")
            ->capture_default_str()
            ->check(
                number_check("above 0 and at most 1", [](double r) { return r > 0 && r <= 1; }));
        app.add_option("--share", share, "of the teacher in the loss while units fade")
            ->capture_default_str();
        app.add_option("--load", load, "weights to begin with (safetensors)");
        app.add_option("--learning-rate", learning_rate, "from pruning on")->capture_default_str();
    }
};

/// As SRP counts: operations of a sentence of 50 words on both sides, one width for both.
double published_operations(const translation_transformer_config& c) {
    std::vector<micronet::srp_layer_widths> encoder;
    std::vector<micronet::srp_layer_widths> decoder;
    for (const encoder_layer_sizes& layer : c.encoder_layers)
        encoder.push_back({layer.self.key_width, layer.self.value_width, layer.inner});
    for (const decoder_layer_sizes& layer : c.decoder_layers)
        decoder.push_back({layer.self.key_width, layer.self.value_width, layer.inner});
    return static_cast<double>(
        micronet::published_srp_count({.length = 50,
                                       .width = c.encoder.width,
                                       .heads = c.encoder_layers[0].self.heads,
                                       .target_words = c.decoder.vocabulary,
                                       .encoder = encoder,
                                       .decoder = decoder})
            .all());
}

void weigh_and_test(const char* what, const example_texts& texts, const trainer_type& trainer) {
    const translation_transformer_config& c = trainer.config();
    extent encoder_units = 0;
    extent decoder_units = 0;
    for (const encoder_layer_sizes& layer : c.encoder_layers)
        encoder_units += layer.inner;
    for (const decoder_layer_sizes& layer : c.decoder_layers)
        decoder_units += layer.inner;
    std::printf("-- %s: width %lld, inner units %lld + %lld, keys %lld, values %lld\n", what,
                static_cast<long long>(c.encoder.width), static_cast<long long>(encoder_units),
                static_cast<long long>(decoder_units),
                static_cast<long long>(c.encoder_layers[0].self.key_width),
                static_cast<long long>(c.encoder_layers[0].self.value_width));
    weigh_example(c);
    std::printf("SRP's own count, 50 words: %.3f G\n", published_operations(c) / 1e9);
    static_cast<void>(test_example(texts, trainer.plain_model()));
}

/// The first batches of training, which are those of a shuffled epoch.
std::vector<text::translation_batch> scored_batches(const options& o, const example_texts& texts) {
    text::batch_walk walk(texts.train.ids, {o.tokens, 8}, o.seed);
    std::vector<text::translation_batch> out;
    for (std::size_t i = 0; i < o.scored; ++i)
        out.push_back(walk[static_cast<extent>(i)]);
    return out;
}

void run(const options& o) {
    const example_texts texts(o);
    const train::translation_options how{.seed = o.seed};
    const train::adamw adam = train::translation_adam();
    auto network =
        std::make_unique<trainer_type>(texts.config(), random_parameters<float>(o.seed), how, adam);
    if (!o.load.empty()) io::load_weights(o.load, *network);
    train_example(o, texts, *network, o.updates, train::peaked_inverse_root{1e-3, {1000}},
                  "srp_base", {{"load", o.load}});
    weigh_and_test("before pruning", texts, *network);

    const prune::srp_sizes sizes = train::srp_sizes_of(network->config());
    const double kept = prune::kept_fraction(prune::srp_parameters_of(sizes), o.rate);
    const prune::srp_counts counts = prune::counts_for(sizes, kept);
    std::vector<prune::srp_counts> stages{counts};
    if (o.stages == 2) stages = {counts.columns_only(), counts.insides_only()};
    const std::vector<text::translation_batch> batches = scored_batches(o, texts);
    const auto constant = [&](extent) { return o.learning_rate; };
    const io::checkpoint_facts facts{
        {"pruning", message(o.rate, " remains, ", o.stages, " stages, share ", o.share, ", fading ",
                            o.fading, ", scored ", o.scored, ", after ", o.updates,
                            ", learning rate ", o.learning_rate)}};
    for (std::size_t s = 0; s < stages.size(); ++s) {
        train::srp_stage stage{.counts = stages[s], .slices = sizes.heads};
        stage.shrinking = prune::srp_shrinking::arithmetic_steps(1, o.fading);
        stage.epoch = o.fading;
        stage.share = o.share;
        train::srp_pruning<weighted> pruning(*network, stage, batches, how, adam);
        std::printf("-- stage %zu: units fade\n", s + 1);
        train_example(o, texts, pruning.fading(), o.fading, constant, message("srp_stage", s + 1),
                      facts);
        network = pruning.removed();
    }
    weigh_and_test("after removal", texts, *network);
    train_example(o, texts, *network, o.fading + o.tuning, constant, "srp_tuned", facts);
    weigh_and_test("after tuning", texts, *network);
}

}  // namespace

int main(int count, char** words) {
    CLI::App app("Trains a Transformer (3 + 3 layers, width 256) on two texts and prunes it: units "
                 "are scored, fade, and are removed.");
    const options o(app);
    CLI11_PARSE(app, count, words);
    return tare::run_example([&] { run(o); });
}
