#pragma once
// SPDX-License-Identifier: MIT
// What train, distil and prune do with their options: texts, checkpoints, the loop, the log.

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <tare/io/checkpoint.hpp>
#include <tare/io/json_lines.hpp>
#include <tare/io/soft_label_file.hpp>
#include <tare/text/batching.hpp>
#include <tare/text/vocabulary.hpp>
#include <tare/train/trainer.hpp>

#include "progress.hpp"
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

/// The vocabulary comes from --vocabulary, from the model that training starts from, or from the
/// training text; words outside it become <unk>.
[[nodiscard]] run_texts read_texts(const training_options& o, const io::entry_config& e,
                                   const std::string& start_folder);

/// What train, distil and prune begin with: threads and configuration. work(entry) is not called
/// where sizes and memory alone are asked for.
int with_entry(const training_options& o, const std::function<int(const io::entry_config&)>& work);

/// Seconds of one step, on the threads that are set: a sample on random words, common ones more
/// often, times the samples of a step.
[[nodiscard]] double seconds_of_step(const io::entry_config& e);

/// One training run from its first step, or from its checkpoint, to its end.
class training_run {
  public:
    using trainer_type = train::trainer<train::adam>;

    training_run(const training_options& o, const io::entry_config& e, run_texts texts,
                 std::string stage);

    ~training_run();

    [[nodiscard]] trainer_type& trainer() noexcept { return *trainer_; }
    [[nodiscard]] const run_texts& texts() const noexcept { return texts_; }
    [[nodiscard]] const run_folder& folder() const noexcept { return folder_; }
    /// Prunes from now on.
    void prune(std::vector<prune::gradual_rule> rules);
    /// One more thing that must be the same when the run goes on.
    void add_fact(const std::string& name, const std::string& value) { more_facts_[name] = value; }
    /// Called after every checkpoint.
    void on_save(std::function<void()> tell) { saved_ = std::move(tell); }
    /// Every step is distilled from these rows.
    void teach_with(std::unique_ptr<io::soft_label_reader> labels) { teacher_ = std::move(labels); }

    /// Perplexity of a stream with the current weights.
    [[nodiscard]] double perplexity(std::span<const token> tokens, const char* name) const;

    /// Trains to the last step. Returns the exit code.
    int run();

  private:
    /// What decides the numbers of a run beside model and optimizer.
    [[nodiscard]] io::checkpoint_facts facts() const;
    [[nodiscard]] io::checkpoint_facts own_facts() const;

    train::step_report one_step();

    void note(const train::step_report& r, extent first, progress_bar& bar);

    void evaluate(const char* name, std::span<const token> tokens);

    void save();

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
