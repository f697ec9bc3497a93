#pragma once
// SPDX-License-Identifier: MIT
// A translation Transformer that is quantized stage by stage while it trains:
//     train with quantization noise
//     for each stage (DAQ has six): quantize its layers, each divided into buckets or all with one
//     shared codebook; train codebooks, biases, norms and later stages' weights with a fresh
//     optimizer
//     round the codebooks to what a file stores
// A thin composition: weights by train/staged_parameters.hpp, the pass and its loss as in
// train/translation_trainer.hpp. The model is made anew for each step.
// Source: Fan et al. 2020, "Training with quantization noise for extreme model compression",
// section 4; the published code of DAQ (divide and quantize on hardware-aware Transformers, 2021).

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/train/staged_parameters.hpp>
#include <tare/train/translation_trainer.hpp>

namespace tare::train {

template <optimizer Optimizer = adamw>
class staged_translation {
  public:
    using source_type = random_parameters<float>;
    using weights_type = staged_parameters<source_type>;

    /// Weights start as `start` draws them. **Throws** tare::error on impossible sizes and options.
    staged_translation(const translation_transformer_config& config, source_type start,
                       const translation_options& options, const staged_options& stages,
                       Optimizer how)
        : config_(config),
          options_(options),
          label_(label_smoothing::over_others(options.smoothing, config.decoder.vocabulary)),
          optimizer_(std::move(how)),
          clock_(std::make_shared<dropout_clock>(dropout_clock{0.0F, options.seed, 0})),
          weights_(tape_, std::move(start), stages) {
        static_cast<void>(plain_model());  // asks for every weight, so that all exist
        begin_stage();
    }
    staged_translation(const staged_translation&) = delete;
    staged_translation& operator=(const staged_translation&) = delete;

    /// One update at learning rate `rate`; losses in nats per target token.
    /// **Throws** train::diverged naming the step, tare::error on words outside the vocabularies.
    step_report step(const text::translation_batch& batch, double rate) {
        clock_->step = static_cast<std::uint64_t>(step_);
        weights_.begin_step(clock_->step, true);
        dropping_source<variable, weights_type> source(weights_, clock_, options_.dropout);
        const translation_pass<variable> pass =
            run_pass(translation_transformer<variable>(source, config_), batch);
        const variable sums = log_softmax_sums(pass.logits, pass.words);
        const double count = pass.count();
        const variable loss = smoothed_loss(sums, label_, count);
        step_report report;
        report.loss = static_cast<double>(loss.value().values()[0]);
        report.hard_loss = -static_cast<double>(sums.value().values()[0]) / count;
        check_finite(report.loss);
        tape_.backward(loss);
        report.gradient_norm =
            learnt_.update(optimizer_, tape_.precision(), ++since_, rate, options_.clip,
                           [this](double norm) { check_finite(norm); });
        ++step_;
        return report;
    }

    /// Quantizes the layers of a stage as they are now; the optimizer begins anew. Returns the
    /// layers. **Throws** as staged_parameters::quantize().
    std::vector<std::string> quantize(const product_stage& stage) {
        std::vector<std::string> done = weights_.quantize(stage);
        begin_stage();
        return done;
    }
    /// Rounds the codebooks to fp16: the model is then what its file will hold.
    void finish() { weights_.round_codebooks(); }

    /// The model of now, without noise: quantized weights as their decodings.
    [[nodiscard]] translation_transformer<tensor> plain_model() {
        weights_.begin_step(0, false);
        decoded_source source{&weights_};
        translation_transformer<tensor> model(source, config_);
        tape_.clear();  // decodings were recorded
        return model;
    }

    [[nodiscard]] extent steps() const noexcept { return step_; }
    [[nodiscard]] const translation_transformer_config& config() const noexcept { return config_; }
    [[nodiscard]] weights_type& weights() noexcept { return weights_; }

  private:
    struct decoded_source {
        weights_type* from;

        [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                       const initial& start) const {
            return from->parameter(label, extents, start).value();
        }
    };

    /// What learns from here on, with moments of zeros.
    void begin_stage() {
        // The recipe resets the optimizer: moments of a weight mean nothing to its codebooks.
        learnt_ = {};
        since_ = 0;
        weights_.visit(
            [this](std::string_view label, variable& leaf) { learnt_.add(label, leaf); });
    }
    void check_finite(double value) {
        if (std::isfinite(value)) return;
        tape_.clear();
        learnt_.clear_gradients();
        throw diverged(message("staged_translation: the loss or its gradient's norm is ", value,
                               " at step ", step_,
                               "; the parameters are those before it. Lower the learning rate"));
    }

    translation_transformer_config config_;
    translation_options options_;
    label_smoothing label_;
    Optimizer optimizer_;
    tape tape_;
    std::shared_ptr<dropout_clock> clock_;
    weights_type weights_;
    trained_parameters<Optimizer, full_precision> learnt_;
    extent step_ = 0;
    extent since_ = 0;  ///< updates of the stage, which the optimizer's corrections go by
};

}  // namespace tare::train
