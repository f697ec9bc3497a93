#pragma once
// SPDX-License-Identifier: MIT
// Training of the language model, one step at a time: masks, forward pass over a chunk (gradients
// cross all its segments), hard or distilled loss, backward pass, clipping, optimizer, Hebbian
// update, masks. Everything that a later step depends on is open to io/checkpoint.hpp.

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/models/transformer_xl.hpp>
#include <tare/nn/parameter_names.hpp>
#include <tare/ops/mean.hpp>
#include <tare/prune/gradual.hpp>
#include <tare/train/adam.hpp>
#include <tare/train/distillation.hpp>
#include <tare/train/evaluate.hpp>
#include <tare/train/hebbian.hpp>
#include <tare/train/precision.hpp>
#include <tare/train/sample_streams.hpp>
#include <tare/train/trained_parameters.hpp>
#include <tare/train/trainer_options.hpp>
#include <tare/train/training_source.hpp>

namespace tare::train {

/// `Precision` is full_precision or a train::precision<...>: what it compresses, and when, stands
/// there. A schedule with a master copy keeps float32 weights beside those that the model reads.
template <optimizer Optimizer = adam, class Precision = full_precision>
class trainer {
  public:
    using variable = basic_variable<float, Precision>;
    using parameter = trained_parameter<Precision>;

    /// Parameters start as `source` hands them out. **Throws** tare::error on impossible sizes.
    template <class Source>
    trainer(const transformer_xl_config& config, Source source, trainer_options options,
            Optimizer how = {}, Precision precision = {})
        : options_(options),
          optimizer_(std::move(how)),
          tape_(std::move(precision)),
          clock_(make_dropout_clock(options)),
          model_(make_model(tape_, std::move(source), config, clock_)) {
        require(options.batch >= 1, "trainer: batch ", options.batch, "; expected at least 1");
        require(options.clip >= 0.0, "trainer: clip ", options.clip, "; give 0 for no clipping");
        model_.visit([&](std::string_view label, variable& value) {
            // Constants of a cache that is not trained.
            if (!config.cache.trained && is_cache_scalar(label)) {
                parameters_.add_constant(label, value);
                return;
            }
            parameters_.add(label, value);
        });
        const bool together = config.cache.shared || config.cache.capacity == 0;
        caches_.assign(static_cast<std::size_t>(together ? 1 : options.batch),
                       neural_cache<variable>(config.cache.capacity));
        if (options.hebbian)
            for (std::size_t bin = 0; bin < config.bins(); ++bin)
                counters_.emplace_back(static_cast<std::size_t>(config.bin_size(bin)), 1);
    }
    trainer(const trainer&) = delete;
    trainer& operator=(const trainer&) = delete;

    /// Prunes from now on. **Throws** tare::error when a rule names no parameter.
    void prune(prune::gradual_pruner pruner) {
        for (const prune::gradual_rule& rule : pruner.rules())
            static_cast<void>(values_of(rule.tensor));
        pruner_ = std::move(pruner);
    }

    /// One step at learning rate `rate`.
    /// **Shapes** inputs, labels (batch, chunk), row-major; teacher (batch * chunk, K) likewise.
    /// **Throws** train::diverged naming the step, tare::error on sizes that do not fit.
    step_report step(std::span<const token> inputs, std::span<const token> labels, double rate,
                     const soft_labels* teacher = nullptr) {
        require(!inputs.empty() && inputs.size() == labels.size() &&
                    static_cast<extent>(inputs.size()) % options_.batch == 0,
                "trainer: ", inputs.size(), " inputs and ", labels.size(), " labels for ",
                options_.batch, " samples");
        const auto find = [this](std::string_view name) { return values_of(name); };
        pruner_.before_step(step_, find);
        if (clock_) clock_->step = static_cast<std::uint64_t>(step_);
        if (!options_.keep_cache)
            for (neural_cache<variable>& cache : caches_)
                cache.clear();

        transformer_xl_state<variable> state;
        const std::vector<token> words = time_major(labels, options_.batch);
        const variable h = model_.hidden(time_major(inputs, options_.batch), options_.batch, state);
        const std::vector<stream> streams =
            split_by_cache(h, words, teacher, options_.batch, caches());
        step_report report;
        const variable loss = total_loss(streams, teacher != nullptr, report);
        report.loss = static_cast<double>(loss.value().values()[0]);
        check_finite(report.loss, "loss");
        tape_.backward(loss);
        const std::vector<variable> narrow =
            options_.hebbian ? layer_inputs(detach(h), words) : std::vector<variable>{};
        update(rate, report);
        if (options_.keep_cache && model_.config().cache.capacity > 0)
            for (const stream& s : streams)
                s.cache->push(s.rows, s.words);
        if (options_.hebbian) apply_hebbian(narrow, words);
        pruner_.apply(find);
        ++step_;
        return report;
    }

    /// Steps done.
    [[nodiscard]] extent steps() const noexcept { return step_; }
    void set_steps(extent done) noexcept { step_ = done; }
    [[nodiscard]] const transformer_xl_config& config() const { return model_.config(); }
    [[nodiscard]] std::span<parameter> parameters() noexcept { return parameters_.trained(); }
    [[nodiscard]] const prune::gradual_pruner& pruner() const noexcept { return pruner_; }
    [[nodiscard]] prune::gradual_pruner& pruner() noexcept { return pruner_; }
    [[nodiscard]] std::span<neural_cache<variable>> caches() noexcept { return caches_; }
    /// Occurrences of every class of every bin, from 1 on; empty without Hebbian updates.
    [[nodiscard]] std::span<std::vector<std::int64_t>> counters() noexcept { return counters_; }
    [[nodiscard]] variable constant(tensor value) { return tape_.constant(std::move(value)); }
    [[nodiscard]] Precision& precision() noexcept { return tape_.precision(); }

    /// The values of a parameter, trained or not. **Throws** tare::error naming it if there is
    /// none.
    [[nodiscard]] std::span<float> values_of(std::string_view label) {
        return parameters_.values_of(label);
    }

    /// A model that shares the parameters' memory: it always shows the current weights.
    [[nodiscard]] transformer_xl<tensor> plain_model() const {
        auto source = parameters_.shared();
        return transformer_xl<tensor>(source, model_.config());
    }

  private:
    using stream = sample_stream<variable>;

    template <class Source>
    static transformer_xl<variable> make_model(basic_tape<float, Precision>& tape, Source source,
                                               const transformer_xl_config& config,
                                               std::shared_ptr<const dropout_clock> clock) {
        training_source<Source, Precision> leaves(tape, std::move(source), std::move(clock));
        return transformer_xl<variable>(leaves, config);
    }

    void check_finite(double value, const char* what) {
        if (std::isfinite(value)) return;
        tape_.clear();
        parameters_.clear_gradients();
        throw diverged(message("trainer: the ", what, " is ", value, " at step ", step_,
                               "; the parameters are those before it. Lower the learning rate or "
                               "go on from an earlier checkpoint"));
    }

    variable total_loss(std::span<const stream> streams, bool soft, step_report& report) {
        const double share = 1.0 / static_cast<double>(streams.size());
        const double rho = soft ? options_.annealing.hard_share(step_) : 1.0;
        variable total;
        for (const stream& s : streams) {
            const neural_cache<variable>* cache =
                model_.config().cache.capacity > 0 ? s.cache : nullptr;
            variable logp;
            variable hard;
            if (soft) {
                const distilled<variable> both =
                    distil(model_, s.rows, std::span<const token>(s.words),
                           soft_labels{s.kept, s.soft_words, s.soft_probabilities},
                           options_.first_bin, cache);
                hard = both.hard;
                logp = add(scale_by(both.hard, rho), scale_by(both.soft, 1.0 - rho));
            } else {
                hard = logp = model_.softmax().log_probability(s.rows, s.words, cache);
            }
            double sum = 0.0;
            for (const float v : hard.value().values())
                sum -= static_cast<double>(v);
            report.hard_loss += share * sum / static_cast<double>(s.words.size());
            const variable part = scale_by(mean(logp), -share);
            total = total.exists() ? add(total, part) : part;
        }
        return total;
    }

    void update(double rate, step_report& report) {
        report.gradient_norm =
            parameters_.update(optimizer_, tape_.precision(), step_ + 1, rate, options_.clip,
                               [this](double norm) { check_finite(norm, "gradient's norm"); });
    }

    /// Inputs of each bin's output layer at the rows whose word lies in it, as this step's forward
    /// pass had them.
    std::vector<variable> layer_inputs(const variable& h, std::span<const token> words) {
        std::vector<variable> out;
        tape_.set_recording(false);
        for (std::size_t bin = 0; bin < counters_.size(); ++bin) {
            std::vector<token> rows;
            for (std::size_t r = 0; r < words.size(); ++r)
                if (config().bin_of(words[r]) == bin) rows.push_back(static_cast<token>(r));
            const variable chosen =
                rows.empty() ? variable{} : gather(h, std::span<const token>(rows));
            out.push_back(bin == 0 || rows.empty() ? chosen
                                                   : model_.softmax().projection(bin)(chosen));
        }
        tape_.set_recording(true);
        return out;
    }
    void apply_hebbian(std::span<const variable> inputs, std::span<const token> words) {
        for (std::size_t bin = 0; bin < counters_.size(); ++bin) {
            if (!inputs[bin].exists()) continue;
            std::vector<token> targets;
            for (const token w : words)
                if (config().bin_of(w) == bin)
                    targets.push_back(static_cast<token>(w - config().bin_begin(bin)));
            variable table = model_.embedding().table(bin);
            (*options_.hebbian)(hebbian_rows(table), inputs[bin].value().view().matrix(), targets,
                                counters_[bin]);
            if constexpr (keeps_master<Precision>)
                std::ranges::copy(master_of(table).values(),
                                  table.mutable_value().mutable_values().begin());
        }
    }
    /// What the Hebbian update changes: the weights, or the master copy that they follow.
    matrix_view<float> hebbian_rows(variable& table) {
        if constexpr (keeps_master<Precision>)
            return master_of(table).mutable_view().matrix();
        else
            return table.mutable_value().mutable_view().matrix();
    }
    tensor& master_of(const variable& weights) {
        for (parameter& p : parameters_.trained())
            if (p.value.identity() == weights.identity()) return p.master;
        fail("trainer: a table is no parameter");
    }

    trainer_options options_;
    Optimizer optimizer_;
    basic_tape<float, Precision> tape_;
    std::shared_ptr<dropout_clock> clock_;  ///< null without dropout
    transformer_xl<variable> model_;
    trained_parameters<Optimizer, Precision> parameters_;
    std::vector<neural_cache<variable>> caches_;
    std::vector<std::vector<std::int64_t>> counters_;
    prune::gradual_pruner pruner_;
    extent step_ = 0;
};

}  // namespace tare::train
