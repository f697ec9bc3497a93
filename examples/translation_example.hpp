#pragma once
// SPDX-License-Identifier: MIT
// What the examples that train translation models (30 and on) share: their options, the texts, a
// training that can be interrupted, and the test.

#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <tare/io/atomic_file.hpp>
#include <tare/io/translation_checkpoint.hpp>
#include <tare/io/translation_texts.hpp>
#include <tare/micronet/rules.hpp>
#include <tare/micronet/weigh_translation.hpp>
#include <tare/search/translate.hpp>
#include <tare/text/bleu.hpp>
#include <tare/train/translation_loss.hpp>
#include <tare/train/translation_run.hpp>

#include "command_line_checks.hpp"

namespace tare {

/// An option for a whole number that `check` allows, its default shown.
template <class Number>
void add_count(CLI::App& app, const std::string& name, Number& value, const std::string& what,
               const CLI::Validator& check = non_negative_number) {
    app.add_option(name, value, what)->capture_default_str()->check(check);
}

/// The texts, and how they are cut and walked through.
struct example_options {
    std::vector<std::string> files;
    std::size_t tokens = 2048;
    std::size_t merges = 8000;
    std::uint64_t seed = 1;
    int threads = 1;

    explicit example_options(CLI::App& app) {
        app.add_option("texts", files,
                       "source and target to learn from, source and target of the test: a sentence "
                       "a line, words one space apart, plain or gzip")
            ->required()
            ->expected(4)
            ->check(CLI::ExistingFile);
        app.add_option("--tokens", tokens, "of a batch's longer side")->capture_default_str();
        app.add_option("--merges", merges, "of byte pairs")->capture_default_str();
        app.add_option("--seed", seed, "of weights, batches and dropout")->capture_default_str();
        app.add_option("--threads", threads)->capture_default_str()->check(positive_number);
    }
};

/// Those of a training that can be interrupted.
struct translation_example : example_options {
    extent every = 100;
    extent save_every = 100;
    std::string work;
    bool resume = false;

    explicit translation_example(CLI::App& app) : example_options(app) {
        add_count(app, "--every", every, "updates between reports", positive_number);
        CLI::Option* const folder =
            app.add_option("--work", work, "folder of checkpoints: weights, moments, position");
        add_count(app, "--save-every", save_every, "updates between checkpoints", positive_number);
        app.add_flag("--resume", resume, "go on from the checkpoints in --work")->needs(folder);
    }
};

/// Training and test texts in pieces.
struct example_texts {
    io::translation_pieces pieces;
    io::translation_text train;
    io::translation_text test;

    explicit example_texts(const example_options& o)
        : pieces({o.files[0], o.files[1]}, o.merges),
          train(pieces.read({o.files[0], o.files[1]})),
          test(pieces.read({o.files[2], o.files[3]})) {
        set_threads(o.threads);
        std::printf("%zu pairs, %zu + %zu pieces, dictionaries of %zu and %zu\n", train.ids.size(),
                    train.ids.source.total(), train.ids.target.total(), pieces.source().size(),
                    pieces.target().size());
    }
    /// 3 + 3 layers of width 256 for these dictionaries.
    [[nodiscard]] translation_transformer_config config() const {
        return translation_transformer_config::uniform(static_cast<extent>(pieces.source().size()),
                                                       static_cast<extent>(pieces.target().size()),
                                                       3, 256, 512, 4);
    }
};

/// Trains until `updates` are done, from NAME.safetensors in --work if that is to be resumed, and
/// leaves it there. `facts` must be the same when it goes on.
template <class Trainer, class Rate>
void train_example(const translation_example& o, const example_texts& texts, Trainer& trainer,
                   extent updates, const Rate& rate, const std::string& name,
                   io::checkpoint_facts facts) {
    facts["seed"] = message(o.seed);
    facts["texts"] =
        message(texts.train.ids.size(), " pairs, ", texts.train.ids.source.total(), " + ",
                texts.train.ids.target.total(), " pieces, batches of ", o.tokens);
    const std::string path = o.work.empty() ? std::string() : o.work + '/' + name + ".safetensors";
    if (!path.empty()) std::filesystem::create_directories(o.work);
    if (o.resume && std::filesystem::exists(path)) {
        io::load_checkpoint(path, trainer, facts);
        std::printf("goes on after update %lld\n", static_cast<long long>(trainer.steps()));
    }
    text::batch_walk walk(texts.train.ids, {o.tokens, 8}, o.seed);
    train::training_progress progress;
    train::train_until(updates, trainer, walk, rate,
                       [&](const text::translation_batch& batch, const train::step_report& report) {
                           const extent done = trainer.steps();
                           progress.add(batch, report);
                           if (done % o.every == 0 || done == updates) {
                               std::printf("%s\n",
                                           progress.line(done, walk.epoch_of(done - 1)).c_str());
                               std::fflush(stdout);
                           }
                           if (!path.empty() && (done % o.save_every == 0 || done == updates))
                               io::save_checkpoint(path, trainer, facts);
                       });
}

/// Translates the test's source, says how well, and returns the translations.
template <class Model>
std::vector<std::string> test_example(const example_texts& texts, const Model& model) {
    std::printf("test perplexity %.2f\n",
                train::translation_loss(model, texts.test.ids).perplexity());
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::string> lines =
        search::translated_lines(model, texts.test.ids.source, texts.pieces.target());
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    std::printf("%zu sentences in %.1f s\n%s\n", lines.size(), time.count(),
                text::corpus_bleu(lines, texts.test.references).to_string().c_str());
    std::fflush(stdout);
    return lines;
}

/// A sentence of 14 pieces on both sides, as the MicroNet rules count it.
inline void weigh_example(const translation_transformer_config& config) {
    constexpr extent words = 14;  // the mean of Multi30k
    const ledger book = micronet::weigh(config, {}, words, words);
    const auto counted = micronet::tally(book, micronet::official{});
    extent parameters = 0;
    for (const ledger_item& item : book.items())
        parameters += item.what.extents.size();
    std::printf(
        "%lld parameters, MicroNet: %.0f parameters, %.2f M operations a sentence of %lld\n",
        static_cast<long long>(parameters), counted.parameters(),
        counted.operations() * static_cast<double>(words) / 1e6, static_cast<long long>(words));
}

/// The exit code of an example's work: what it throws becomes a message.
template <class Work>
int run_example(Work&& work) {
    try {
        work();
    } catch (const std::exception& caught) {
        std::cerr << caught.what() << '\n';
        return 1;
    }
    return 0;
}

}  // namespace tare
