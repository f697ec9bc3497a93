#pragma once
// SPDX-License-Identifier: MIT
// One training stage of a pipeline: from random or given weights, on hard or soft labels, pruned or
// not, as an entry's configuration says; and the soft labels themselves.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <tare/io/yaml_pruning.hpp>
#include <tare/kernels/top_k.hpp>
#include <tare/train/schedule.hpp>
#include <tare/train/trainer.hpp>

#include "language_model.hpp"
#include "model_options.hpp"

namespace tare::tool {

/// Told now and then: steps done, steps in all, the mean loss since it was told last.
using training_progress = std::function<void(extent done, extent of, double loss)>;

/// The teacher's most probable words for every token of a text. Row k is about token k itself; row
/// 0, about which nothing can be known, repeats row 1.
struct soft_label_table {
    extent kept = 0;
    std::vector<token> words;
    std::vector<float> probabilities;

    /// The rows [begin, begin + count).
    [[nodiscard]] train::soft_labels rows(extent begin, extent count) const {
        const auto from = static_cast<std::size_t>(begin * kept);
        const auto size = static_cast<std::size_t>(count * kept);
        return {kept, std::span(words).subspan(from, size),
                std::span(probabilities).subspan(from, size)};
    }
};

/// Soft labels of `text`, chunks of `chunk` tokens without carried state, as the entry makes them.
[[nodiscard]] inline soft_label_table make_soft_labels(const transformer_xl<tensor>& teacher,
                                                       std::span<const token> text, extent chunk,
                                                       extent kept) {
    constexpr extent block = 256;  // rows whose whole distribution is held at a time
    const auto count = static_cast<extent>(text.size());
    kept = std::min(kept, teacher.config().vocabulary);
    soft_label_table out{kept, std::vector<token>(static_cast<std::size_t>(count * kept)),
                         std::vector<float>(static_cast<std::size_t>(count * kept))};
    for (extent begin = 0; begin + 1 < count; begin += chunk) {
        const extent size = std::min(chunk, count - 1 - begin);
        transformer_xl_state<tensor> state;
        const tensor h = teacher.hidden(
            text.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(size)), 1,
            state);
        for (extent r = 0; r < size; r += block) {
            const extent rows = std::min(block, size - r);
            const tensor all = teacher.softmax().distribution(h.slice(r, r + rows));
            const extent to = (begin + r + 1) * kept;
            kernels::top_k(all.view().matrix(),
                           matrix_view<float>(out.probabilities.data() + to, rows, kept),
                           matrix_view<std::int32_t>(out.words.data() + to, rows, kept));
        }
    }
    std::copy_n(out.words.begin() + kept, kept, out.words.begin());
    std::copy_n(out.probabilities.begin() + kept, kept, out.probabilities.begin());
    return out;
}

/// Learning rate of a step as the configuration's schedule says.
[[nodiscard]] inline double rate_at(const io::entry_config& c, extent step) {
    const train::warm_up rise{c.step_warmup};
    if (c.scheduler == "cosine") return train::cosine_rate{c.lr, c.steps, rise}(step);
    if (c.scheduler == "rsqrt") return train::inverse_root_rate{c.lr, rise}(step);
    return train::constant_rate{c.lr, rise}(step);
}

/// The plan's rules for the tensors of a model.
[[nodiscard]] inline prune::gradual_pruner pruner_of(const std::string& plan, const weights& start,
                                                     extent steps_per_epoch) {
    std::vector<std::string> names;
    for (const auto& [label, values] : start)
        names.push_back(label);
    std::vector<prune::gradual_rule> rules;
    for (const auto& [label, rule] : io::assign_rules(io::load_pruning_plan(plan), names))
        rules.push_back({label,
                         {rule.initial_sparsity, rule.final_sparsity, rule.starting_epoch,
                          rule.ending_epoch, rule.frequency}});
    return {std::move(rules), steps_per_epoch};
}

/// Copies of weights: a trainer changes what it is given.
struct copied_weights {
    const weights* from;

    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial& start) const {
        return named_weights{from}.parameter(label, extents, start).clone();
    }
};

/// Trains and returns the weights. `start` may be null: random weights then. `labels` may be null.
/// The samples of step s depend on seed and s alone.
/// **Throws** train::diverged when a loss is not finite, tare::error on impossible sizes.
[[nodiscard]] inline weights train_stage(const io::entry_config& how, std::span<const token> text,
                                         std::uint64_t seed, const weights* start,
                                         const soft_label_table* labels, const std::string& plan,
                                         const training_progress& progress) {
    train::trainer_options options;
    options.batch = how.train_batch;
    options.first_bin = how.distill_first_bin;
    options.annealing = {how.annealing_hard_min, how.annealing_hard_max, how.steps};
    if (how.hebbian) options.hebbian = train::hebbian_update{how.hebbian_gamma, how.hebbian_t};
    const transformer_xl_config config = model_config(how);
    using trainer = train::trainer<train::adam>;
    const auto made =
        start == nullptr
            ? std::make_unique<trainer>(config, random_parameters<float>(seed), options)
            : std::make_unique<trainer>(config, copied_weights{start}, options);
    if (!plan.empty() && start != nullptr)
        made->prune(pruner_of(plan, *start, how.steps_per_epoch));
    const text::chunk_sampler sampler(text, how.train_chunk, how.train_batch,
                                      random_stream(seed, 1));
    const auto size = static_cast<std::size_t>(how.train_batch * how.train_chunk);
    std::vector<token> inputs(size);
    std::vector<token> targets(size);
    double loss = 0.0;
    extent since = 0;
    for (extent step = 0; step < how.steps; ++step) {
        sampler.sample(step, inputs, targets);
        std::optional<soft_label_table> gathered;
        train::soft_labels soft;
        if (labels != nullptr) {
            gathered.emplace();
            gathered->kept = labels->kept;
            for (extent row = 0; row < how.train_batch; ++row) {
                // A target stands one place behind its input.
                const train::soft_labels own =
                    labels->rows(sampler.offset(step, row) + 1, how.train_chunk);
                gathered->words.insert(gathered->words.end(), own.words.begin(), own.words.end());
                gathered->probabilities.insert(gathered->probabilities.end(),
                                               own.probabilities.begin(), own.probabilities.end());
            }
            soft = gathered->rows(0, how.train_batch * how.train_chunk);
        }
        loss += made->step(inputs, targets, rate_at(how, step), labels ? &soft : nullptr).hard_loss;
        ++since;
        if (since == 20 || step + 1 == how.steps) {
            progress(step + 1, how.steps, loss / static_cast<double>(since));
            loss = 0.0;
            since = 0;
        }
    }
    weights out;
    for (const auto& p : made->parameters())
        out.emplace(p.label, p.value.value());
    return out;
}

}  // namespace tare::tool
