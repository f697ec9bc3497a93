#pragma once
// SPDX-License-Identifier: MIT
// How selectively regularised pruning lets the selected units fade: their connectivity parameters
// fall from 1 to about 0 during a period of E epochs of S steps, the others stay as they are.
//     arithmetic   c <- c - rho     every step, rho = 1 / (S E - 1);  every epoch, rho = 1 / E
//     geometric    c <- c rho       every step, rho = 1e-5^(1 / (S E - 1));  epoch, 1e-5^(1 / E)
// in float32, rho rounded to float32 first. The arithmetic fall over steps reaches 0 one step
// before its period ends, and would then go below; here it stops at 0 (as_published() does not).
// Source: selectively regularised pruning of Transformers (SRP, 2022): its options sa, sg, ea, eg.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare::prune {

/// Steps of an epoch in the published code: IWSLT'14 in batches of 4096 tokens, whatever the data.
inline constexpr extent published_srp_steps_per_epoch = 1102;

class srp_shrinking {
  public:
    /// What a geometric fall leaves of a unit.
    static constexpr double least = 1e-5;

    /// The four ways, by the published names. **Throws** tare::error on no epoch, and for those of
    /// every step on fewer than two steps in all.
    [[nodiscard]] static srp_shrinking arithmetic_steps(extent epochs, extent steps_per_epoch) {
        return {1.0 / step_count(epochs, steps_per_epoch), false, false};
    }
    [[nodiscard]] static srp_shrinking geometric_steps(extent epochs, extent steps_per_epoch) {
        return {std::pow(least, 1.0 / step_count(epochs, steps_per_epoch)), true, false};
    }
    [[nodiscard]] static srp_shrinking arithmetic_epochs(extent epochs) {
        return {1.0 / epoch_count(epochs), false, true};
    }
    [[nodiscard]] static srp_shrinking geometric_epochs(extent epochs) {
        return {std::pow(least, 1.0 / epoch_count(epochs)), true, true};
    }

    /// The same without the stop at 0: after S E steps c is about -rho, after other numbers of
    /// steps it is elsewhere, since the published S is fixed.
    [[nodiscard]] srp_shrinking as_published() const {
        srp_shrinking out = *this;
        out.stops_at_zero_ = false;
        return out;
    }

    /// What is subtracted or multiplied by.
    [[nodiscard]] float rate() const noexcept { return rate_; }
    /// Whether units fade before the forward pass of a step, counted from 0 in its epoch.
    [[nodiscard]] bool due(extent step_of_epoch) const noexcept {
        return !at_epochs_ || step_of_epoch == 0;
    }
    /// One more fading of the units that `keep` masks (0). **Throws** tare::error on sizes that
    /// differ.
    void apply(std::span<float> connectivity, std::span<const std::uint8_t> keep) const {
        require(connectivity.size() == keep.size(), "srp_shrinking: ", connectivity.size(),
                " connectivity parameters, a mask of ", keep.size());
        for (std::size_t i = 0; i < keep.size(); ++i)
            if (keep[i] == 0) connectivity[i] = after(connectivity[i]);
    }

  private:
    srp_shrinking(double rate, bool geometric, bool at_epochs)
        : rate_(static_cast<float>(rate)), geometric_(geometric), at_epochs_(at_epochs) {}

    [[nodiscard]] float after(float c) const {
        const float next = geometric_ ? c * rate_ : c - rate_;
        return stops_at_zero_ ? std::max(next, 0.0F) : next;
    }
    static double epoch_count(extent epochs) {
        require(epochs >= 1, "srp_shrinking: a period of ", epochs, " epochs; expected at least 1");
        return static_cast<double>(epochs);
    }
    static double step_count(extent epochs, extent steps_per_epoch) {
        const double steps = epoch_count(epochs) * static_cast<double>(steps_per_epoch);
        require(steps >= 2.0, "srp_shrinking: ", steps_per_epoch, " steps in each of ", epochs,
                " epochs; a fall over steps needs two");
        return steps - 1.0;
    }

    float rate_;
    bool geometric_;
    bool at_epochs_;
    bool stops_at_zero_ = true;
};

}  // namespace tare::prune
