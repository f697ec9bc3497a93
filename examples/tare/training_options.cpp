// SPDX-License-Identifier: MIT
#include "training_options.hpp"

#include <algorithm>

#include <CLI/CLI.hpp>

#include <tare/train/schedule.hpp>

#include "../command_line_checks.hpp"

namespace tare::tool {

void training_options::add(CLI::App& app) {
    app.add_option("--config", config, "YAML configuration of an entry")
        ->required()
        ->check(CLI::ExistingFile);
    app.add_option("--text", text, "Training text (.gz too)")->check(CLI::ExistingFile);
    app.add_option("--valid", valid, "Text to evaluate on every step_eval steps and at the end")
        ->check(CLI::ExistingFile);
    app.add_option("--test", test, "Text to evaluate on at the end")->check(CLI::ExistingFile);
    app.add_option("--vocabulary", vocabulary,
                   "Vocabulary file; built from the training text by default")
        ->check(CLI::ExistingFile);
    app.add_option("--out", out, "Folder for checkpoint, vocabulary and configuration");
    app.add_option("--log", log, "Append metrics to this file, one JSON object per line");
    app.add_option("--steps", steps, "Steps instead of the configuration's")
        ->check(positive_number);
    app.add_option("--batch", batch, "Samples per step instead of the configuration's")
        ->check(positive_number);
    app.add_option("--seed", seed, "Of initial weights and samples")->capture_default_str();
    app.add_option("--threads", threads, "Never changes a result")->capture_default_str();
    app.add_flag("--resume", resume, "Go on from the checkpoint in --out, if there is one");
    app.add_flag("--reference-cache", reference_cache,
                 "One cache for all streams, never reset, as the published code trains");
    app.add_flag("--dry-run", dry_run, "Print sizes, operations, score and memory; touch no data");
}

io::entry_config training_options::entry() const {
    io::entry_config e = io::load_entry_config(config);
    if (steps) e.steps = *steps;
    if (batch) e.train_batch = *batch;
    return e;
}

std::function<double(extent)> learning_rate(const io::entry_config& e) {
    const train::warm_up rise{e.step_warmup};
    if (e.scheduler == "cosine")
        return train::cosine_rate{e.lr, std::max<extent>(1, e.steps), rise};
    if (e.scheduler == "rsqrt") return train::inverse_root_rate{e.lr, rise};
    return train::constant_rate{e.lr, rise};
}

train::trainer_options trainer_options(const io::entry_config& e, bool reference_cache,
                                       std::uint64_t seed) {
    train::trainer_options o;
    o.batch = e.train_batch;
    o.keep_cache = reference_cache;
    if (e.hebbian) o.hebbian = train::hebbian_update{e.hebbian_gamma, e.hebbian_t};
    o.annealing = {e.annealing_hard_min, e.annealing_hard_max, e.steps};
    o.first_bin = e.distill_first_bin;
    o.dropout = e.dropout;
    o.seed = seed;
    return o;
}

}  // namespace tare::tool
