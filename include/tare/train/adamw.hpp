#pragma once
// SPDX-License-Identifier: MIT
// Adam with weight decay that does not pass through the moments:
//     w <- (1 - rate decay) w, then Adam's update.
// Source: Loshchilov and Hutter 2019, algorithm 2.

#include <tare/train/adam.hpp>

namespace tare::train {

/// **Throws** (update) tare::error on sizes that differ.
struct adamw {
    static constexpr std::string_view name = "adamw";
    static constexpr auto moments = adam::moments;
    adam inner{};
    double decay = 0.01;

    void update(std::span<float> weight, std::span<const float> gradient,
                std::span<const std::span<float>> state, const update_step& at) const {
        inner.update_decayed(weight, gradient, state, at, at.rate * decay);
    }
};
static_assert(optimizer<adamw>);

}  // namespace tare::train
