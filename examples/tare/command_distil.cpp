// SPDX-License-Identifier: MIT
// tare distil: a teacher labels the training text softly, a student learns from both labels.
#include <tare/train/soft_labels.hpp>

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
    const io::safetensors_archive weights = io::load_safetensors(from.checkpoint());
    require(io::load_vocabulary(from.vocabulary()) == texts.words,
            "the teacher's vocabulary is another one; both must be trained on the same words");
    transformer_xl_config config = model_config(e);
    config.cache = {};  // soft labels come from the network alone
    io::safetensors_parameters source(weights);
    const transformer_xl<tensor> teacher(source, config);
    std::uint64_t identity = checksum(texts.train);
    for (const auto& [name, tensor] : weights.tensors)
        if (!name.starts_with("state."))
            identity = identity * 0x100000001B3U ^ io::detail::crc32_of(tensor.bytes);
    io::soft_label_writer file(path, {static_cast<extent>(texts.train.size()), config.vocabulary,
                                      o.kept, e.eval_chunk, identity});
    const interruption stop;
    progress_bar bar("label");
    const auto count = static_cast<extent>(texts.train.size());
    const extent chunks = train::teacher_chunks(count, e.eval_chunk);
    // Chunk i gives rows i * chunk + 1 on: the first one that holds a missing row.
    for (extent i = std::max<extent>(0, file.rows() - 1) / e.eval_chunk; i < chunks; ++i) {
        if (file.rows() == count) break;
        const train::soft_label_rows rows =
            train::teach(teacher, texts.train, i, e.eval_chunk, o.kept);
        file.append(rows.first, rows.words, rows.probabilities);
        bar.show(i + 1, chunks);
        if (stop.wanted()) return false;
    }
    file.finish();
    return true;
}

int run(const options& o) {
    set_threads(o.training.threads);
    const io::entry_config e = o.training.entry();
    if (o.training.dry_run) {
        print_dry_run(e, train::adam::moments.size());
        return done;
    }
    require(o.kept <= e.n_vocab, "--kept ", o.kept, " exceeds the vocabulary of ", e.n_vocab);
    training_run training(o.training, e, read_texts(o.training, e, o.teacher), "distil");
    const std::string path = o.labels.empty() ? training.folder().soft_labels() : o.labels;
    if (!label(o, training.texts(), path)) {
        std::cerr << "\ntare: stopped while labelling; run again to go on\n";
        return training_run::interrupted;
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
         return std::function<int()>([o] { return run(*o); });
     }}};

}  // namespace
