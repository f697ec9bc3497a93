// SPDX-License-Identifier: MIT
// Learns to translate from two texts, then quantizes the model stage by stage as DAQ does, and says
// before and after each stage what it weighs and how well it translates.
//     33_daq_translation --help
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

#include <tare/io/product_file.hpp>
#include <tare/micronet/weigh_products.hpp>
#include <tare/models/product_weight.hpp>
#include <tare/train/peak_schedule.hpp>
#include <tare/train/staged_translation.hpp>

#include "translation_example.hpp"

namespace {

using namespace tare;

struct options : example_options {
    extent updates = 1400;
    extent stage_updates = 100;
    extent buckets = 16;
    std::size_t sentences = 200;
    double noise = 0.1;
    bool shared = false;
    std::string save;

    explicit options(CLI::App& app) : example_options(app) {
        add_count(app, "--updates", updates, "before the first stage, with quantization noise",
                  positive_number);
        add_count(app, "--stage-updates", stage_updates, "after each stage", positive_number);
        add_count(app, "--buckets", buckets, "with a codebook each, of every matrix",
                  number_check("that is a power of two, such as 16", [](double n) {
                      return n >= 1 && std::exp2(std::round(std::log2(n))) == n;
                  }));
        add_count(app, "--sentences", sentences, "of the test that are translated after each stage",
                  positive_number);
        app.add_option("--noise", noise, "probability that a block is dropped while training")
            ->capture_default_str()
            ->check(number_check("from 0 to 0.9", [](double p) { return p >= 0 && p <= 0.9; }));
        app.add_flag("--shared", shared, "one codebook for a stage's layers, undivided");
        app.add_option("--save", save, "the quantized model (safetensors)")->check(writable_file);
    }
};

/// The first sentences of the test alone: they are translated after every stage.
void shorten(example_texts& texts, std::size_t sentences) {
    const text::parallel_corpus all = std::exchange(texts.test.ids, {});
    const text::vocabulary& from = texts.pieces.source();
    const text::vocabulary& to = texts.pieces.target();
    for (std::size_t i = 0; i < std::min(sentences, all.size()); ++i) {
        texts.test.ids.source.add(text::to_words(all.source[i], from), from);
        texts.test.ids.target.add(text::to_words(all.target[i], to), to);
    }
    texts.test.references.resize(texts.test.ids.size());
}

template <class Weight>
double bleu_of(const translation_transformer<tensor, Weight>& model, const example_texts& from) {
    return text::corpus_bleu(
               search::translated_lines(model, from.test.ids.source, from.pieces.target()),
               from.test.references)
        .bleu;
}

/// What the model weighs by the MicroNet rules and how it translates now.
void report(const std::string& when, train::staged_translation<>& model, const example_texts& from,
            double train_loss) {
    micronet::stored_products stored;
    model.weights().visit_products([&](const std::string& label, const std::string&) {
        stored.emplace(label, micronet::stored_product{model.weights().layout(label),
                                                       model.weights().storage(label)});
    });
    constexpr extent words = 30;
    const ledger book = micronet::weigh_products(model.config(), stored, true, words, words);
    const micronet::totals sum = micronet::tally(book, micronet::official{});
    const auto plain = model.plain_model();
    std::printf("%-28s %8.3f %10.0f %10.0f %8.3f %10.2f %6.2f\n", when.c_str(),
                sum.storage_bits / 8e6, sum.parameters(), sum.operations(), train_loss,
                train::translation_loss(plain, from.test.ids).perplexity(), bleu_of(plain, from));
    std::fflush(stdout);
}

/// Writes the model, reads it again and translates by codes.
void save(const std::string& path, train::staged_translation<>& model, const example_texts& from) {
    io::product_file file;
    model.weights().visit_products([&](const std::string& label, const std::string& owner) {
        file.products.emplace(label, model.weights().product(label));
        if (owner != label) file.shared.emplace(label, owner);
    });
    model.weights().visit([&](const std::string& label, const variable& leaf) {
        if (!label.ends_with(".codebooks")) file.floats.emplace(label, leaf.value());
    });
    io::save_products(path, file);
    const io::product_file read = io::load_products(path);
    product_source source(read.products, read.floats);
    const translation_transformer<tensor, product_weight> coded(source, model.config());
    std::printf("%s: %lld bits of payload; read again and multiplied by codes: BLEU %.2f\n",
                path.c_str(), static_cast<long long>(read.payload_bits()), bleu_of(coded, from));
}

void run(const options& o) {
    example_texts from(o);
    shorten(from, o.sentences);
    train::staged_options how;
    how.noise = static_cast<float>(o.noise);
    how.noise_seed = how.search.seed = o.seed;
    how.search.iterations = 5;
    train::staged_translation<> model(from.config(), random_parameters<float>(o.seed),
                                      {.smoothing = 0.1, .seed = o.seed}, how,
                                      train::translation_adam());
    text::batch_walk walk(from.train.ids, {o.tokens, 8}, o.seed);
    // Trains and reports; rates rise anew after each stage, as the optimizer begins anew.
    const auto learn = [&](extent updates, const train::peaked_inverse_root& rate,
                           const std::string& what) {
        text::perplexity_meter loss;
        for (extent u = 0; u < updates; ++u) {
            const text::translation_batch batch = walk[model.steps()];
            loss.add(model.step(batch, rate(u)).hard_loss,
                     static_cast<extent>(batch.target_tokens));
        }
        report(what, model, from, loss.loss());
    };
    std::printf("%-28s %8s %10s %10s %8s %10s %6s\n", "", "MB", "parameters", "operations",
                "train nll", "perplexity", "BLEU");
    learn(o.updates, {1e-3, {1000}}, "floats");
    int number = 0;
    for (train::product_stage stage : train::daq_stages(o.buckets)) {
        stage.shared = o.shared;
        const std::size_t layers = model.quantize(stage).size();
        const std::string name = message("stage ", ++number, ", ", layers, " matrices");
        report(message(name, ": codes"), model, from, 0.0);
        learn(o.stage_updates, {3e-4, {20}}, message(name, ": trained"));
    }
    model.finish();
    report("codebooks in fp16", model, from, 0.0);
    if (!o.save.empty()) save(o.save, model, from);
}

}  // namespace

int main(int count, char** words) {
    CLI::App app("Trains a Transformer (3 + 3 layers, width 256) on two texts with quantization "
                 "noise and quantizes it in DAQ's six stages. Columns: stored bytes, MicroNet "
                 "parameters and operations (32-bit, of a word in a sentence of 30), loss of the "
                 "updates since, perplexity and BLEU of the test.");
    const options o(app);
    CLI11_PARSE(app, count, words);
    return tare::run_example([&] { run(o); });
}
