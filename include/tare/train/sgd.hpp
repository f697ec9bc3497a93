#pragma once
// SPDX-License-Identifier: MIT
// Stochastic gradient descent with momentum and L2 decay, in PyTorch's form:
//     g <- g + decay w        b <- momentum b + g        w <- w - rate b
// The buffer starts at zero, so the first update is plain. Source: Polyak 1964; Sutskever et al.
// 2013 (whose rate stands inside the buffer instead).

#include <array>

#include <tare/train/optimizer.hpp>

namespace tare::train {

/// **Throws** (update) tare::error on sizes that differ.
struct sgd {
    static constexpr std::string_view name = "sgd";
    static constexpr std::array<std::string_view, 1> moments{"momentum"};
    double momentum = 0.9;
    double decay = 0.0;

    void update(std::span<float> weight, std::span<const float> gradient,
                std::span<const std::span<float>> state, const update_step& at) const {
        const simd::pack rate = simd::pack_of(static_cast<float>(at.rate));
        const simd::pack mu = simd::pack_of(static_cast<float>(momentum));
        const simd::pack pull = simd::pack_of(static_cast<float>(decay));
        const simd::pack factor = simd::pack_of(at.gradient_factor);
        update_values<1>(name, weight, gradient, state,
                         [=](simd::pack& w, const simd::pack& g, simd::pack& b) {
                             b = b * mu + (g * factor + pull * w);
                             w = w - rate * b;
                         });
    }
};
static_assert(optimizer<sgd>);

}  // namespace tare::train
