#pragma once
// SPDX-License-Identifier: MIT
// What a training is told before it starts, what each of its steps reports, and how it ends badly.

#include <cstdint>
#include <optional>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/train/distillation.hpp>
#include <tare/train/hebbian.hpp>

namespace tare::train {

struct trainer_options {
    extent batch = 1;   ///< samples of a step
    double clip = 0.5;  ///< global gradient norm; 0 for no clipping
    /// False: samples are unrelated, so each starts with an empty cache. True: the cache of the
    /// sample before stays, as in the published code.
    bool keep_cache = false;
    std::optional<hebbian_update> hebbian{};
    teacher_annealing annealing{};  ///< used when a step is given soft labels
    bool first_bin = false;         ///< which variant of the soft loss
    double dropout = 0.0;           ///< probability, at the places of nn/dropout_place.hpp
    std::uint64_t seed = 1;         ///< of dropout

    /// The published code's way: one cache for all samples (see cache_config::shared), never reset.
    [[nodiscard]] static trainer_options as_reference(extent batch) {
        trainer_options o;
        o.batch = batch;
        o.keep_cache = true;
        return o;
    }
};

/// What a step reports. Losses in nats per token, before the update.
struct step_report {
    double loss = 0.0;           ///< what was minimised
    double hard_loss = 0.0;      ///< of the true labels; equals `loss` without distillation
    double gradient_norm = 0.0;  ///< before clipping
};

/// The loss or a gradient is not finite; the parameters are still those before the step.
class diverged : public error {
  public:
    using error::error;
};

}  // namespace tare::train
