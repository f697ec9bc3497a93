#pragma once
// SPDX-License-Identifier: MIT
// Training of the translation Transformer, one batch at a time: forward pass, loss of smoothed
// labels over the targets that are no padding, backward pass, clipping, optimizer. Gradients are
// those of the loss per target token, </s> included. Source: Vaswani et al. 2017, section 5; the
// places of dropout and what a loss is divided by are fairseq's.

#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/models/translation_transformer.hpp>
#include <tare/text/parallel_batching.hpp>
#include <tare/train/adamw.hpp>
#include <tare/train/label_smoothing.hpp>
#include <tare/train/trained_parameters.hpp>
#include <tare/train/trainer_options.hpp>
#include <tare/train/translation_dropout.hpp>
#include <tare/train/translation_loss.hpp>

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

/// `Precision` as in trainer.
template <optimizer Optimizer = adamw, class Precision = full_precision>
class translation_trainer {
  public:
    using variable = basic_variable<float, Precision>;
    using parameter = trained_parameter<Precision>;

    /// Parameters start as `source` hands them out. **Throws** tare::error on impossible sizes.
    template <class Source>
    translation_trainer(const translation_transformer_config& config, Source source,
                        const translation_options& options, Optimizer how, Precision precision = {})
        : options_(options),
          label_(label_smoothing::over_others(options.smoothing, config.decoder.vocabulary)),
          optimizer_(std::move(how)),
          tape_(std::move(precision)),
          clock_(std::make_shared<dropout_clock>(dropout_clock{0.0F, options.seed, 0})),
          model_(make_model(tape_, std::move(source), config, clock_, options.dropout)) {
        require(options.clip >= 0.0, "translation_trainer: clip ", options.clip,
                "; give 0 for no clipping");
        require(!config.share_embeddings || config.encoder.width == config.decoder.width,
                "translation_trainer: tables shared between sides of widths ", config.encoder.width,
                " and ", config.decoder.width, " are cut anew for each step; make the model there");
        model_.visit(
            [this](std::string_view label, variable& value) { parameters_.add(label, value); });
    }
    translation_trainer(const translation_trainer&) = delete;
    translation_trainer& operator=(const translation_trainer&) = delete;

    /// One update at learning rate `rate`. Losses in nats per target token; `hard_loss` is that
    /// without smoothing.
    /// **Throws** train::diverged naming the step, tare::error on words outside the vocabularies.
    step_report step(const text::translation_batch& batch, double rate) {
        clock_->step = static_cast<std::uint64_t>(step_);
        const auto count = static_cast<double>(batch.target_tokens);
        const variable sums = forward(batch);
        const variable loss = smoothed_loss(sums, label_, count);
        step_report report;
        report.loss = static_cast<double>(loss.value().values()[0]);
        report.hard_loss = -static_cast<double>(sums.value().values()[0]) / count;
        check_finite(report.loss, "loss");
        tape_.backward(loss);
        report.gradient_norm =
            parameters_.update(optimizer_, tape_.precision(), step_ + 1, rate, options_.clip,
                               [this](double norm) { check_finite(norm, "gradient's norm"); });
        ++step_;
        return report;
    }

    /// Updates done.
    [[nodiscard]] extent steps() const noexcept { return step_; }
    void set_steps(extent done) noexcept { step_ = done; }
    [[nodiscard]] const translation_transformer_config& config() const { return model_.config(); }
    [[nodiscard]] std::span<parameter> parameters() noexcept { return parameters_.trained(); }
    /// The values of a parameter. **Throws** tare::error naming it if there is none.
    [[nodiscard]] std::span<float> values_of(std::string_view label) {
        return parameters_.values_of(label);
    }
    /// A model that shares the parameters' memory: it always shows the current weights.
    [[nodiscard]] translation_transformer<tensor> plain_model() const {
        auto source = parameters_.shared();
        return translation_transformer<tensor>(source, model_.config());
    }

  private:
    template <class Source>
    static translation_transformer<variable>
    make_model(basic_tape<float, Precision>& tape, Source source,
               const translation_transformer_config& config,
               std::shared_ptr<const dropout_clock> clock, const translation_dropout& dropout) {
        tape_parameters<Source, float, Precision> leaves(tape, std::move(source));
        dropping_source<variable, decltype(leaves)> dropping(leaves, std::move(clock), dropout);
        return translation_transformer<variable>(dropping, config);
    }
    variable forward(const text::translation_batch& batch) const {
        const auto encoded = model_.encode(batch.source.ids, batch.source.sentences);
        return target_sums(model_, model_.decode(batch.previous.ids, encoded).hidden, batch);
    }
    void check_finite(double value, const char* what) {
        if (std::isfinite(value)) return;
        tape_.clear();
        parameters_.clear_gradients();
        throw diverged(message("translation_trainer: the ", what, " is ", value, " at step ", step_,
                               "; the parameters are those before it. Lower the learning rate or "
                               "go on from an earlier checkpoint"));
    }

    translation_options options_;
    label_smoothing label_;
    Optimizer optimizer_;
    basic_tape<float, Precision> tape_;
    std::shared_ptr<dropout_clock> clock_;
    translation_transformer<variable> model_;
    trained_parameters<Optimizer, Precision> parameters_;
    extent step_ = 0;
};

}  // namespace tare::train
