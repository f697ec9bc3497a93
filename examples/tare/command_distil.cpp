// SPDX-License-Identifier: MIT
// tare distil: a teacher labels the training text softly, a student learns from both labels.
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

#include <tare/io/text_corpus.hpp>

#include "command.hpp"
#include "input_key.hpp"
#include "labelling.hpp"
#include "training_run.hpp"

namespace {

using namespace tare;
using namespace tare::tool;

struct options {
    training_options training;
    std::string teacher;
    std::string labels;
    extent kept = 30;
};

/// Writes the soft labels, or what is missing of them. False when the user stopped it.
bool label(const options& o, const run_texts& texts, const std::string& path) {
    const run_folder from{o.teacher};
    const io::entry_config e = io::load_entry_config(from.config());
    require(io::load_vocabulary(from.vocabulary()) == texts.words,
            "the teacher's vocabulary is another one; both must be trained on the same words");
    const tool::weights values = load_weights(from.checkpoint());
    const std::uint64_t identity = input_key().add(texts.train).add(values).value();
    transformer_xl_config config = model_config(e);
    config.cache = {};  // soft labels come from the network alone
    return label_text(path, model_of(config, values), texts.train, e.eval_chunk, o.kept, identity);
}

int run(const options& o, const io::entry_config& e) {
    require(o.kept <= e.n_vocab, "--kept ", o.kept, " exceeds the vocabulary of ", e.n_vocab);
    training_run training(o.training, e, read_texts(o.training, e, o.teacher), "distil");
    const std::string path = o.labels.empty() ? training.folder().soft_labels() : o.labels;
    if (!label(o, training.texts(), path)) {
        std::cerr << "\ntare: stopped while labelling; run again to go on\n";
        return interrupted;
    }
    auto labels = std::make_unique<io::soft_label_reader>(path);
    labels->require_complete();
    training.teach_with(std::move(labels));
    return training.run();
}

const registration distil_verb{
    {"distil", [](CLI::App& app) {
         auto o = std::make_shared<options>();
         CLI::App* sub = app.add_subcommand("distil", "Train a student on a teacher's soft labels");
         o->training.add(*sub);
         sub->add_option("--teacher", o->teacher, "Folder of the teacher's run")
             ->required()
             ->check(CLI::ExistingDirectory);
         sub->add_option("--soft-labels", o->labels, "File of soft labels; in --out by default");
         sub->add_option("--kept", o->kept, "Words kept for each token")
             ->capture_default_str()
             ->check(CLI::Range(1, 65536));
         return std::function<int()>([o] {
             return with_entry(o->training, [&](const io::entry_config& e) { return run(*o, e); });
         });
     }}};

}  // namespace
