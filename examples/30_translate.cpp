// SPDX-License-Identifier: MIT
// Learns to translate from two texts and shows how well: byte pairs, training, beam search, BLEU.
//     30_translate --help
#include <cstdio>
#include <iostream>
#include <string>

#include <CLI/CLI.hpp>

#include <tare/train/peak_schedule.hpp>
#include <tare/train/translation_trainer.hpp>

#include "translation_example.hpp"

namespace {

using namespace tare;

struct options : translation_example {
    extent updates = 1400;
    std::string load;
    std::string output;
    train::translation_dropout dropout;

    explicit options(CLI::App& app) : translation_example(app) {
        app.add_option("--updates", updates, "of training")
            ->capture_default_str()
            ->check(non_negative_number);
        app.add_option("--dropout", dropout.residual, "after embeddings and sublayers")
            ->capture_default_str();
        app.add_option("--attention-dropout", dropout.attention, "of attention probabilities")
            ->capture_default_str();
        app.add_option("--activation-dropout", dropout.activation, "of inner units")
            ->capture_default_str();
        app.add_option("--load", load, "weights to begin with (safetensors)");
        app.add_option("--output", output, "the translations");
    }
};

void run(const options& o) {
    const example_texts texts(o);
    train::translation_trainer<> trainer(texts.config(), random_parameters<float>(o.seed),
                                         {.dropout = o.dropout, .seed = o.seed},
                                         train::translation_adam());
    if (!o.load.empty()) io::load_weights(o.load, trainer);
    const train::peaked_inverse_root rate{1e-3, {1000}};
    train_example(o, texts, trainer, o.updates, rate, "translate",
                  {{"dropout", message(o.dropout.residual, ' ', o.dropout.attention, ' ',
                                       o.dropout.activation)},
                   {"load", o.load}});
    const std::vector<std::string> lines = test_example(texts, trainer.plain_model());
    if (o.output.empty()) return;
    std::string output;
    for (const std::string& line : lines)
        output.append(line).push_back('\n');
    io::write_text(o.output, output);
}

}  // namespace

int main(int count, char** words) {
    CLI::App app(
        "Trains a Transformer (3 + 3 layers, width 256) on two texts, translates a third and "
        "says how well: byte pairs, training, beam search, BLEU.");
    const options o(app);
    CLI11_PARSE(app, count, words);
    return tare::run_example([&] { run(o); });
}
