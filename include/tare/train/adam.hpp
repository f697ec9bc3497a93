#pragma once
// SPDX-License-Identifier: MIT
// Adam with bias corrections, in float32 in the order of PyTorch's single-tensor form:
//     m <- b1 m + (1 - b1) g        v <- b2 v + (1 - b2) g^2
//     w <- w - rate / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + epsilon)
// Source: Kingma and Ba 2015, algorithm 1 (the corrections folded into the step size). The form at
// the end of its section 2, which translation toolkits use, adds epsilon before the correction:
//     w <- w - rate sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon)

#include <array>
#include <cmath>

#include <tare/train/optimizer.hpp>

namespace tare::train {

/// **Throws** (update) tare::error on sizes that differ.
struct adam {
    static constexpr std::string_view name = "adam";
    static constexpr std::array<std::string_view, 2> moments{"mean", "square"};
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    bool epsilon_first = false;  ///< epsilon is added before the correction

    void update(std::span<float> weight, std::span<const float> gradient,
                std::span<const std::span<float>> state, const update_step& at) const {
        update_decayed(weight, gradient, state, at, 0.0);
    }

    /// The same after w <- (1 - decay) w.
    void update_decayed(std::span<float> weight, std::span<const float> gradient,
                        std::span<const std::span<float>> state, const update_step& at,
                        double decay) const {
        require(at.number >= 1, name, ": update number ", at.number, "; the first is 1");
        const auto t = static_cast<double>(at.number);
        const auto number = [](double x) { return simd::pack_of(static_cast<float>(x)); };
        const simd::pack b1 = number(beta1);
        const simd::pack b2 = number(beta2);
        const simd::pack c1 = number(1.0 - beta1);
        const simd::pack c2 = number(1.0 - beta2);
        const double correction = std::sqrt(1.0 - std::pow(beta2, t));
        const simd::pack root = number(correction);
        const simd::pack tiny = number(epsilon_first ? epsilon / correction : epsilon);
        const simd::pack step = number(at.rate / (1.0 - std::pow(beta1, t)));
        const simd::pack keep = number(1.0 - decay);
        const simd::pack factor = simd::pack_of(at.gradient_factor);
        update_values<2>(name, weight, gradient, state,
                         [=](simd::pack& w, const simd::pack& raw, simd::pack& m, simd::pack& v) {
                             const simd::pack g = raw * factor;
                             m = m * b1 + g * c1;
                             v = v * b2 + g * g * c2;
                             w = w * keep - step * m / (sqrt(v) / root + tiny);
                         });
    }
};
static_assert(optimizer<adam>);

}  // namespace tare::train
