#pragma once
// SPDX-License-Identifier: MIT
// Learning rates as functions of the step s = 0, 1, ..., before the update:
//     s <= warm-up    rate * min(1, max(s, 1) / max(1, warm-up))
//     cosine          rate * (1 + cos(pi s / steps)) / 2      no restart after the warm-up
//     constant        rate
//     inverse root    (the warm-up's factor, then 1) / sqrt(max(1, warm-up, s))
// A warm-up of -1 is none: cosine from step 0. Source: Loshchilov and Hutter 2017 (cosine), Vaswani
// et al. 2017, section 5.3 (inverse root); the details are those of the WikiText-103 entry.

#include <algorithm>
#include <cmath>
#include <numbers>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare::train {

/// Rises linearly to 1 at step `steps`.
struct warm_up {
    extent steps = 0;

    [[nodiscard]] bool covers(extent s) const noexcept { return s <= steps; }
    [[nodiscard]] double factor(extent s) const noexcept {
        if (!covers(s)) return 1.0;
        return std::min(1.0, static_cast<double>(std::max<extent>(s, 1)) /
                                 static_cast<double>(std::max<extent>(1, steps)));
    }
};

struct constant_rate {
    double rate = 1e-3;
    warm_up rise{};

    [[nodiscard]] double operator()(extent s) const noexcept { return rate * rise.factor(s); }
};

struct cosine_rate {
    double rate = 1e-3;
    extent steps = 1;  ///< where the rate reaches 0
    warm_up rise{};

    /// **Throws** tare::error unless steps >= 1.
    [[nodiscard]] double operator()(extent s) const {
        require(steps >= 1, "cosine_rate: ", steps, " steps; expected at least 1");
        if (rise.covers(s)) return rate * rise.factor(s);
        return rate *
               (1.0 +
                std::cos(std::numbers::pi * static_cast<double>(s) / static_cast<double>(steps))) /
               2.0;
    }
};

struct inverse_root_rate {
    double rate = 1e-3;
    warm_up rise{};

    [[nodiscard]] double operator()(extent s) const noexcept {
        const extent from = std::max({extent{1}, rise.steps, s});
        return rate * rise.factor(s) / std::sqrt(static_cast<double>(from));
    }
};

}  // namespace tare::train
