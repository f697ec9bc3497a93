#pragma once
// SPDX-License-Identifier: MIT
// What a pipeline will weigh and take, said before any text is opened: sizes and operations from
// the configurations, time and memory from one training step of each model on random words.

#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include <sys/resource.h>

#include "pipeline_config.hpp"
#include "pipeline_table.hpp"
#include "pipeline_training.hpp"

namespace tare::tool {

/// A stage before it runs.
struct planned_stage {
    std::string name;
    double parameters = 0.0;
    double operations = 0.0;
    double score = 0.0;
    double seconds = 0.0;     ///< training alone, on the threads that are set
    double peak_bytes = 0.0;  ///< of the process so far
};

/// Shares of the bins where word k is as frequent as 1 / (k + 1), in millionths.
[[nodiscard]] inline micronet::bin_counts zipf_bins(const transformer_xl_config& config) {
    micronet::bin_counts out;
    const double all = std::log1p(static_cast<double>(config.vocabulary));
    for (std::size_t bin = 0; bin < config.bins(); ++bin) {
        const double share = (std::log1p(static_cast<double>(config.bin_end(bin))) -
                              std::log1p(static_cast<double>(config.bin_begin(bin)))) /
                             all;
        out.push_back(std::max<extent>(1, std::llround(1e6 * share)));
    }
    return out;
}

/// Random words, common ones more often; one training step on them is timed.
[[nodiscard]] inline double seconds_of_step(const io::entry_config& how) {
    const random_stream random(1, 0);
    std::vector<token> words(static_cast<std::size_t>(how.train_chunk + 2));
    for (std::size_t i = 0; i < words.size(); ++i)
        words[i] = static_cast<token>(std::expm1(std::log(static_cast<double>(how.n_vocab)) *
                                                 static_cast<double>(random.uniform(i))));
    io::entry_config few = how;
    few.steps = 3;  // the first one allocates
    std::vector<std::chrono::steady_clock::time_point> at{std::chrono::steady_clock::now()};
    static_cast<void>(train_stage(few, words, 1, nullptr, nullptr, {}, [](auto...) {}));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - at.front();
    return took.count() / static_cast<double>(few.steps);
}

/// All stages of a pipeline.
[[nodiscard]] inline std::vector<planned_stage> plan_pipeline(const pipeline_config& config) {
    std::vector<planned_stage> out;
    const auto add = [&](const std::string& name, const io::entry_config& how, int bits,
                         extent cache, bool pruned) {
        const transformer_xl_config sizes =
            with_cache(model_config(how), cache, cache_config{}.lambda, cache_config{}.theta);
        micronet::compression left{bits, {}};
        if (pruned) {
            random_parameters<float> random(1);
            weights values;
            transformer_xl<tensor> model(random, sizes);
            model.visit([&](std::string_view label, tensor& t) {
                if (!label.starts_with("loss.cache_")) values.emplace(label, t);
            });
            const prune::gradual_pruner pruner = pruner_of(config.plan, values, 1);
            for (const prune::gradual_rule& rule : pruner.rules()) {
                const extent size = values.at(rule.tensor).size();
                const auto gone =
                    static_cast<extent>(rule.schedule.final_sparsity * static_cast<double>(size));
                left.sparse.push_back({short_text(rule.tensor), size - gone, -1});
            }
        }
        const micronet::totals sums =
            micronet::tally(micronet::weigh(sizes, left, zipf_bins(sizes)), micronet::official{});
        planned_stage stage{name, sums.parameters(), sums.operations(),
                            sums.score(micronet::wikitext103)};
        stage.seconds = seconds_of_step(how) * static_cast<double>(how.steps);
        rusage usage{};
        ::getrusage(RUSAGE_SELF, &usage);
        stage.peak_bytes = 1024.0 * static_cast<double>(usage.ru_maxrss);
        out.push_back(stage);
    };
    add("core", config.core, 32, 0, false);
    add("teacher", config.teacher, 32, 0, false);
    add("distil", config.distil, 32, 0, false);
    add("prune", config.prune, 32, 0, true);
    add("quantize", config.quantize, static_cast<int>(*config.quantize.bits), config.n_cache, true);
    return out;
}

[[nodiscard]] inline std::string to_text(const std::vector<planned_stage>& stages) {
    std::string out = formatted("%-10s %12s %12s %10s %12s %10s\n", "stage", "parameters",
                                "operations", "score", "training", "memory");
    double seconds = 0.0;
    for (const planned_stage& s : stages) {
        out += formatted("%-10s %12.0f %12.0f %10.6f %11.0fs %7.0f MB\n", s.name.c_str(),
                         s.parameters, s.operations, s.score, s.seconds, s.peak_bytes / 1e6);
        seconds += s.seconds;
    }
    return out + formatted("about %.0f s of training in all; soft labels, searches and evaluations "
                           "come on top\n",
                           seconds);
}

}  // namespace tare::tool
