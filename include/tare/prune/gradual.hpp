#pragma once
// SPDX-License-Identifier: MIT
// Automated gradual pruning: sparsity rises along a cubic, fast at first, slower towards its end.
//     target(e) = final + (initial - final) (1 - (e - starting) / span)^3
//     span = floor((ending - starting - 1) / frequency) * frequency
// over the epochs starting, starting + frequency, ... below `ending`. At the first step of such an
// epoch the mask is taken anew from the current, already masked tensor; then it holds.
// Source: Zhu and Gupta 2017, equation 1; span and rounding as in Distiller (Zmora et al. 2019).

#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/prune/mask.hpp>

namespace tare::prune {

struct gradual_schedule {
    double initial_sparsity = 0.0;
    double final_sparsity = 0.0;
    extent starting_epoch = 0;
    extent ending_epoch = 1;  ///< exclusive
    extent frequency = 1;     ///< epochs from one mask to the next

    /// **Throws** tare::error on shares outside [0, 1], no epoch, or a frequency below 1.
    void check() const {
        const auto share = [](double s) { return s >= 0.0 && s <= 1.0; };
        require(share(initial_sparsity) && share(final_sparsity), "gradual_schedule: from ",
                initial_sparsity, " to ", final_sparsity, "; sparsities lie between 0 and 1");
        require(ending_epoch > starting_epoch && frequency >= 1, "gradual_schedule: epochs ",
                starting_epoch, " to ", ending_epoch, " every ", frequency, " hold no epoch");
    }
    /// Whether a new mask is due in this epoch.
    [[nodiscard]] constexpr bool active(extent epoch) const noexcept {
        return epoch >= starting_epoch && epoch < ending_epoch &&
               (epoch - starting_epoch) % frequency == 0;
    }
    /// Sparsity wanted in an active epoch. A schedule of one epoch goes to its end at once.
    [[nodiscard]] double target(extent epoch) const {
        const extent span = (ending_epoch - starting_epoch - 1) / frequency * frequency;
        if (span == 0) return final_sparsity;
        const double rest =
            1.0 - static_cast<double>(epoch - starting_epoch) / static_cast<double>(span);
        return final_sparsity + (initial_sparsity - final_sparsity) * (rest * rest * rest);
    }
};

/// One tensor of a plan.
struct gradual_rule {
    std::string tensor;
    gradual_schedule schedule;
};

/// A plan and the masks it has led to.
class gradual_pruner {
  public:
    gradual_pruner() = default;
    /// **Throws** tare::error on an impossible schedule, a repeated tensor, or no steps per epoch.
    gradual_pruner(std::vector<gradual_rule> rules, extent steps_per_epoch)
        : rules_(std::move(rules)), masks_(rules_.size()), steps_per_epoch_(steps_per_epoch) {
        require(steps_per_epoch >= 1, "gradual_pruner: ", steps_per_epoch,
                " steps per epoch; expected at least 1");
        for (std::size_t i = 0; i < rules_.size(); ++i) {
            rules_[i].schedule.check();
            for (std::size_t j = 0; j < i; ++j)
                require(rules_[i].tensor != rules_[j].tensor, "gradual_pruner: ", rules_[i].tensor,
                        " has two rules");
        }
    }

    /// Before the forward pass of step `step` (from 0): renews masks that are due and applies all.
    /// `find(name)` gives a tensor's values as std::span<float>.
    template <class Find>
    void before_step(extent step, Find&& find) {
        const extent epoch = step / steps_per_epoch_;
        const bool first = step % steps_per_epoch_ == 0;
        for (std::size_t i = 0; i < rules_.size(); ++i)
            if (first && rules_[i].schedule.active(epoch)) {
                const std::span<float> values = find(rules_[i].tensor);
                masks_[i] = magnitude_mask(values, rules_[i].schedule.target(epoch));
            }
        apply(find);
    }
    /// After the optimizer: sets what is masked to zero again.
    template <class Find>
    void apply(Find&& find) const {
        for (std::size_t i = 0; i < rules_.size(); ++i)
            if (!masks_[i].empty()) apply_mask(masks_[i], find(rules_[i].tensor));
    }

    [[nodiscard]] std::span<const gradual_rule> rules() const noexcept { return rules_; }
    [[nodiscard]] bool empty() const noexcept { return rules_.empty(); }
    /// The masks in the order of the rules; empty where none was taken yet.
    [[nodiscard]] std::span<const mask> masks() const noexcept { return masks_; }
    /// Puts a mask back, as a checkpoint does. **Throws** on an index outside the plan.
    void restore(std::size_t rule, mask keep) {
        require(rule < rules_.size(), "gradual_pruner: rule ", rule, " of ", rules_.size());
        masks_[rule] = std::move(keep);
    }

  private:
    std::vector<gradual_rule> rules_;
    std::vector<mask> masks_;
    extent steps_per_epoch_ = 1000;
};

}  // namespace tare::prune
