#pragma once
// SPDX-License-Identifier: MIT
// What train, distil and prune do with their options: texts, checkpoints, the loop, the log.

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <zlib.h>

#include <tare/io/checkpoint.hpp>
#include <tare/io/json_lines.hpp>
#include <tare/io/soft_label_file.hpp>
#include <tare/io/text_corpus.hpp>
#include <tare/text/batching.hpp>
#include <tare/train/trainer.hpp>

#include "command.hpp"
#include "dry_run.hpp"
#include "language_model.hpp"
#include "progress.hpp"
#include "pruning_rules.hpp"
#include "training_options.hpp"

namespace tare::tool {

/// Files of a run's folder.
struct run_folder {
    std::string path;

    [[nodiscard]] std::string checkpoint() const { return path + "/checkpoint.safetensors"; }
    [[nodiscard]] std::string vocabulary() const { return path + "/vocabulary.txt"; }
    [[nodiscard]] std::string config() const { return path + "/config.yaml"; }
    [[nodiscard]] std::string soft_labels() const { return path + "/soft_labels.bin"; }
};

struct run_texts {
    text::vocabulary words;
    std::vector<token> train;
    std::vector<token> valid;
    std::vector<token> test;
};

/// CRC-32 of a token stream: what a run was trained on.
[[nodiscard]] inline std::uint32_t checksum(std::span<const token> tokens) {
    const auto bytes = std::as_bytes(tokens);
    return static_cast<std::uint32_t>(
        ::crc32_z(0, reinterpret_cast<const ::Bytef*>(bytes.data()), bytes.size()));
}

/// The vocabulary comes from --vocabulary, from the model that training starts from, or from the
/// training text; words outside it become <unk>.
[[nodiscard]] inline run_texts read_texts(const training_options& o, const io::entry_config& e,
                                          const std::string& start_folder) {
    require(!o.text.empty(), "--text FILE is needed: the text to train on");
    run_texts out;
    const auto size = static_cast<std::size_t>(e.n_vocab);
    if (!o.vocabulary.empty())
        out.words = io::load_vocabulary(o.vocabulary);
    else if (!start_folder.empty())
        out.words = io::load_vocabulary(run_folder{start_folder}.vocabulary());
    else
        out.words = io::build_vocabulary({o.text}, size, size);
    require(out.words.size() <= size, "the vocabulary has ", out.words.size(),
            " words, the configuration's n_vocab is ", e.n_vocab);
    out.train = read_words(o.text, out.words);
    if (!o.valid.empty()) out.valid = read_words(o.valid, out.words);
    if (!o.test.empty()) out.test = read_words(o.test, out.words);
    return out;
}

/// What train, distil and prune begin with: threads and configuration. work(entry) is not called
/// where sizes and memory alone are asked for.
template <class Work>
int with_entry(const training_options& o, const Work& work) {
    set_threads(o.threads);
    const io::entry_config e = o.entry();
    if (!o.dry_run) return work(e);
    print_dry_run(e);
    return done;
}

/// One training run from its first step, or from its checkpoint, to its end.
class training_run {
  public:
    using trainer_type = train::trainer<train::adam>;

    training_run(const training_options& o, const io::entry_config& e, run_texts texts,
                 std::string stage)
        : options_(o),
          entry_(e),
          texts_(std::move(texts)),
          stage_(std::move(stage)),
          folder_{o.out},
          rate_(learning_rate(e)),
          sampler_(texts_.train, e.train_chunk, e.train_batch, random_stream(o.seed, 0x7261696E)) {
        require(!o.out.empty(), "--out FOLDER is needed: where checkpoints go");
        std::filesystem::create_directories(o.out);
        transformer_xl_config config = model_config(e);
        config.cache.shared = o.reference_cache;
        const train::trainer_options how = trainer_options(e, o.reference_cache, o.seed);
        if (o.from.empty()) {
            trainer_ =
                std::make_unique<trainer_type>(config, random_parameters<float>(o.seed), how);
        } else {
            const io::safetensors_archive start =
                io::load_safetensors(run_folder{o.from}.checkpoint());
            trainer_ =
                std::make_unique<trainer_type>(config, io::safetensors_parameters(start), how);
        }
        if (!o.log.empty()) log_ = std::make_unique<io::json_lines>(o.log);
    }

    [[nodiscard]] trainer_type& trainer() noexcept { return *trainer_; }
    [[nodiscard]] const run_texts& texts() const noexcept { return texts_; }
    [[nodiscard]] const run_folder& folder() const noexcept { return folder_; }
    /// Prunes from now on.
    void prune(std::vector<prune::gradual_rule> rules) {
        trainer_->prune(prune::gradual_pruner(std::move(rules), entry_.steps_per_epoch));
    }
    /// One more thing that must be the same when the run goes on.
    void add_fact(const std::string& name, const std::string& value) { more_facts_[name] = value; }
    /// Called after every checkpoint.
    void on_save(std::function<void()> tell) { saved_ = std::move(tell); }
    /// Every step is distilled from these rows.
    void teach_with(std::unique_ptr<io::soft_label_reader> labels) { teacher_ = std::move(labels); }

    /// Perplexity of a stream with the current weights.
    [[nodiscard]] double perplexity(std::span<const token> tokens, const char* name) const {
        progress_bar bar(name);
        const transformer_xl<tensor> model = trainer_->plain_model();
        return train::evaluate(model, tokens,
                               {.chunk = entry_.eval_chunk,
                                .batch = entry_.eval_batch,
                                .progress = [&](extent d, extent of) { bar.show(d, of); }})
            .meter.perplexity();
    }

    /// Trains to the last step. Returns the exit code.
    int run() {
        io::save_vocabulary(folder_.vocabulary(), texts_.words);
        io::write_text(folder_.config(), io::to_yaml(entry_));
        if (options_.resume && std::filesystem::exists(folder_.checkpoint()))
            io::load_checkpoint(folder_.checkpoint(), *trainer_, facts());
        const interruption stop;
        progress_bar bar(stage_);
        started_ = std::chrono::steady_clock::now();
        const extent first = trainer_->steps();
        try {
            while (trainer_->steps() < entry_.steps) {
                const train::step_report r = one_step();
                const extent at = trainer_->steps();
                note(r, first, bar);
                if (at % entry_.step_save == 0 || stop.wanted()) save();
                if (stop.wanted()) {
                    std::cerr << message("\ntare: stopped after step ", at,
                                         "; go on with "
                                         "--resume\n");
                    return interrupted;
                }
                if (at % entry_.step_eval == 0 && at < entry_.steps && !texts_.valid.empty())
                    evaluate("valid", texts_.valid);
            }
        } catch (const train::diverged& e) {
            std::cerr << message("\ntare: ", e.what(), "; the last checkpoint in ", folder_.path,
                                 " is untouched\n");
            return check_failed;
        }
        save();
        if (first < trainer_->steps())
            std::cerr << message("tare: ", stage_, ": step ", trainer_->steps(), ", loss ",
                                 last_loss_, "; weights in ", folder_.checkpoint(), '\n');
        if (!texts_.valid.empty()) evaluate("valid", texts_.valid);
        if (!texts_.test.empty()) evaluate("test", texts_.test);
        return done;
    }

  private:
    /// What decides the numbers of a run beside model and optimizer.
    [[nodiscard]] io::checkpoint_facts facts() const {
        io::checkpoint_facts out = more_facts_;
        out.merge(own_facts());
        return out;
    }
    [[nodiscard]] io::checkpoint_facts own_facts() const {
        return {{"seed", message(options_.seed)},
                {"text", message(texts_.train.size(), " tokens, crc32 ", checksum(texts_.train))},
                {"samples", message(entry_.train_batch, " x ", entry_.train_chunk)},
                {"dropout", message(entry_.dropout)},
                {"rate", message(entry_.scheduler, ' ', entry_.lr, " warm-up ", entry_.step_warmup,
                                 " steps ", entry_.steps)},
                {"stage", stage_},
                {"cache", options_.reference_cache ? "kept" : "reset"}};
    }

    train::step_report one_step() {
        const auto size = static_cast<std::size_t>(entry_.train_batch * entry_.train_chunk);
        std::vector<token> inputs(size);
        std::vector<token> labels(size);
        const extent step = trainer_->steps();
        sampler_.sample(step, inputs, labels);
        if (teacher_ == nullptr) return trainer_->step(inputs, labels, rate_(step));
        std::vector<token> words;
        std::vector<float> shares;
        for (extent row = 0; row < entry_.train_batch; ++row)
            teacher_->read(sampler_.offset(step, row) + 1, entry_.train_chunk, words, shares);
        const train::soft_labels soft{teacher_->facts().kept, words, shares};
        return trainer_->step(inputs, labels, rate_(step), &soft);
    }

    void note(const train::step_report& r, extent first, progress_bar& bar) {
        const extent done_steps = trainer_->steps();
        last_loss_ = r.loss;
        const std::chrono::duration<double> time = std::chrono::steady_clock::now() - started_;
        const double speed =
            static_cast<double>((done_steps - first) * entry_.train_batch * entry_.train_chunk) /
            time.count();
        bar.show(done_steps, entry_.steps, message("loss ", r.loss, "  ", speed, " tokens/s"));
        if (log_ == nullptr) return;
        log_->append({{"event", "step"},
                      {"stage", stage_},
                      {"step", done_steps},
                      {"loss", r.loss},
                      {"hard_loss", r.hard_loss},
                      {"gradient_norm", r.gradient_norm},
                      {"rate", rate_(done_steps - 1)},
                      {"tokens_per_second", speed}});
    }

    void evaluate(const char* name, std::span<const token> tokens) {
        const double ppl = perplexity(tokens, name);
        std::printf("step %lld  %s perplexity %.4f\n", static_cast<long long>(trainer_->steps()),
                    name, ppl);
        std::fflush(stdout);
        if (log_ != nullptr)
            log_->append({{"event", "evaluation"},
                          {"stage", stage_},
                          {"step", trainer_->steps()},
                          {"text", name},
                          {"perplexity", ppl}});
    }

    void save() {
        io::save_checkpoint(folder_.checkpoint(), *trainer_, facts());
        if (saved_) saved_();
    }

    training_options options_;
    io::entry_config entry_;
    run_texts texts_;
    std::string stage_;
    run_folder folder_;
    std::function<double(extent)> rate_;
    text::chunk_sampler sampler_;
    std::unique_ptr<trainer_type> trainer_;
    std::unique_ptr<io::soft_label_reader> teacher_;
    std::unique_ptr<io::json_lines> log_;
    io::checkpoint_facts more_facts_;
    std::function<void()> saved_;
    double last_loss_ = 0.0;
    std::chrono::steady_clock::time_point started_{};
};

}  // namespace tare::tool
