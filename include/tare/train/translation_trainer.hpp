#pragma once
// SPDX-License-Identifier: MIT
// Training of the translation Transformer, one batch at a time: forward pass, loss of smoothed
// labels over the targets that are no padding, backward pass, clipping, optimizer. Gradients are
// those of the loss per target token, </s> included. A method (train/translation_method.hpp) says
// what departs from that: another model, a teacher, frozen parameters, masks.
// Source: Vaswani et al. 2017, section 5; the places of dropout and what a loss is divided by are
// fairseq's.

#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include <tare/text/parallel_batching.hpp>
#include <tare/train/adamw.hpp>
#include <tare/train/trained_parameters.hpp>
#include <tare/train/trainer_options.hpp>
#include <tare/train/translation_dropout.hpp>
#include <tare/train/translation_method.hpp>

namespace tare::train {

struct translation_options {
    translation_dropout dropout{};
    double smoothing = 0.1;  ///< of the labels, over the other classes
    double clip = 0.0;       ///< global gradient norm; 0 for no clipping
    std::uint64_t seed = 1;  ///< of dropout
};

/// Adam as translation toolkits use it.
[[nodiscard]] inline adamw translation_adam(double decay = 1e-4) {
    return {{0.9, 0.98, 1e-8, true}, decay};
}

/// `Precision` as in trainer. What a later update depends on is weights, moments, steps() and the
/// state of the method: batches, rates and dropout are functions of seed and step.
template <optimizer Optimizer = adamw, class Precision = full_precision,
          class Method = plain_translation>
class translation_trainer {
  public:
    using optimizer_type = Optimizer;
    using variable = basic_variable<float, Precision>;
    using parameter = trained_parameter<Precision>;

    /// Parameters start as `source` hands them out. **Throws** tare::error on impossible sizes.
    template <class Source>
    translation_trainer(const translation_transformer_config& config, Source source,
                        const translation_options& options, Optimizer how, Precision precision = {},
                        Method method = {})
        : config_(config),
          options_(options),
          label_(label_smoothing::over_others(options.smoothing, config.decoder.vocabulary)),
          optimizer_(std::move(how)),
          tape_(std::move(precision)),
          clock_(std::make_shared<dropout_clock>(dropout_clock{0.0F, options.seed, 0})),
          method_(std::move(method)) {
        require(options.clip >= 0.0, "translation_trainer: clip ", options.clip,
                "; give 0 for no clipping");
        method_.attach(tape_);
        typename parameters_type::template adding_source<Source> leaves{&parameters_, &tape_,
                                                                        std::move(source)};
        static_cast<void>(dropping_model(leaves));
        tape_.clear();
    }
    translation_trainer(const translation_trainer&) = delete;
    translation_trainer& operator=(const translation_trainer&) = delete;

    /// One update at learning rate `rate`. Losses in nats per target token; `hard_loss` is that
    /// without smoothing and teacher.
    /// **Throws** train::diverged naming the step, tare::error on words outside the vocabularies.
    step_report step(const text::translation_batch& batch, double rate) {
        clock_->step = static_cast<std::uint64_t>(step_);
        method_.before_step(step_);
        step_report report;
        const variable loss = forward(batch, report);
        report.loss = static_cast<double>(loss.value().values()[0]);
        check_finite(report.loss, "loss");
        tape_.backward(loss);
        method_.before_update(step_, parameters());
        report.gradient_norm = parameters_.update(
            optimizer_, tape_.precision(), step_ + 1, rate, options_.clip,
            [this](double norm) { check_finite(norm, "gradient's norm"); },
            [this](std::string_view label) { return method_.frozen(label); });
        method_.after_step(step_, parameters());
        ++step_;
        return report;
    }

    /// Updates done.
    [[nodiscard]] extent steps() const noexcept { return step_; }
    void set_steps(extent done) noexcept { step_ = done; }
    [[nodiscard]] const translation_transformer_config& config() const noexcept { return config_; }
    [[nodiscard]] Method& method() noexcept { return method_; }
    [[nodiscard]] std::span<parameter> parameters() noexcept { return parameters_.trained(); }
    /// The values of a parameter. **Throws** tare::error naming it if there is none.
    [[nodiscard]] std::span<float> values_of(std::string_view label) {
        return parameters_.values_of(label);
    }
    /// The method's model without dropout. It shares the parameters' memory, so it shows the
    /// current weights as long as the method makes the same model of them.
    [[nodiscard]] auto plain_model() const {
        auto source = parameters_.shared();
        return method_.template model<tensor>(source, config_);
    }
    /// Calls visit(name, shape, values) for everything that training changes, values a
    /// std::span<float>: parameters by their names, state.<moment>.<parameter>,
    /// state.master.<parameter> where the precision keeps masters, state.method.<name>.
    template <class Visit>
    void visit_state(Visit&& visit) {
        for (parameter& p : parameters_.trained()) {
            const shape& extents = p.value.shape();
            visit(p.label, extents, p.value.mutable_value().mutable_values());
            for (std::size_t i = 0; i < p.moments.size(); ++i)
                visit(message("state.", Optimizer::moments[i], '.', p.label), extents,
                      p.moments[i].mutable_values());
            if (p.master.exists())
                visit(message("state.master.", p.label), extents, p.master.mutable_values());
        }
        method_.visit_state([&](std::string_view name, std::span<float> values) {
            visit(message("state.method.", name), shape{static_cast<extent>(values.size())},
                  values);
        });
    }
    [[nodiscard]] Precision& precision() noexcept { return tape_.precision(); }

  private:
    using parameters_type = trained_parameters<Optimizer, Precision>;

    template <class Leaves>
    auto dropping_model(Leaves& leaves) const {
        dropping_source<variable, Leaves> source(leaves, clock_, options_.dropout);
        return method_.template model<variable>(source, config_);
    }
    variable forward(const text::translation_batch& batch, step_report& report) {
        auto leaves = parameters_.leaves();
        const translation_pass<variable> pass = run_pass(dropping_model(leaves), batch);
        const variable sums = log_softmax_sums(pass.logits, pass.words);
        report.hard_loss = -static_cast<double>(sums.value().values()[0]) / pass.count();
        return method_.loss(pass, sums, label_);
    }
    void check_finite(double value, const char* what) {
        if (std::isfinite(value)) return;
        tape_.clear();
        parameters_.clear_gradients();
        throw diverged(message("translation_trainer: the ", what, " is ", value, " at step ", step_,
                               "; the parameters are those before it. Lower the learning rate or "
                               "go on from an earlier checkpoint"));
    }

    translation_transformer_config config_;
    translation_options options_;
    label_smoothing label_;
    Optimizer optimizer_;
    basic_tape<float, Precision> tape_;
    std::shared_ptr<dropout_clock> clock_;
    Method method_;
    parameters_type parameters_;
    extent step_ = 0;
};

/// A trainer in full precision by a method of its own.
template <class Method, optimizer Optimizer = adamw>
using method_trainer = translation_trainer<Optimizer, full_precision, Method>;

}  // namespace tare::train
