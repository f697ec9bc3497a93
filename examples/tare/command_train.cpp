// SPDX-License-Identifier: MIT
// tare train: a language model from text.
#include <memory>

#include <CLI/CLI.hpp>

#include "command.hpp"
#include "training_run.hpp"

namespace {

using namespace tare;
using namespace tare::tool;

int run(const training_options& o) {
    return with_entry(o, [&](const io::entry_config& e) {
        training_run training(o, e, read_texts(o, e, o.from), "train");
        return training.run();
    });
}

const registration train_verb{
    {"train", [](CLI::App& app) {
         auto o = std::make_shared<training_options>();
         CLI::App* sub = app.add_subcommand("train", "Train a language model");
         o->add(*sub);
         sub->add_option("--from", o->from, "Start from the weights in this run's folder")
             ->check(CLI::ExistingDirectory);
         return std::function<int()>([o] { return run(*o); });
     }}};

}  // namespace
