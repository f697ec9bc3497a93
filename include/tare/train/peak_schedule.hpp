#pragma once
// SPDX-License-Identifier: MIT
// Learning rates that rise linearly to a peak and fall from it, as functions of the updates already
// done, u = 0, 1, ...: the schedules of translation models.
//     u < W           start + u (peak - start) / W
//     inverse root    peak sqrt(W / u)
//     cosine          low + (high - low) (1 + cos(pi t / P)) / 2,   t = (u - W) mod P,
//                     high = peak s^k, low = floor s^k,   k = floor((u - W) / P)
// Source: Vaswani et al. 2017, section 5.3; Loshchilov and Hutter 2017, equation 5; the details are
// those of fairseq.

#include <cmath>
#include <numbers>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare::train {

/// From `start` at u = 0 towards `peak` at u = `steps`.
struct linear_rise {
    extent steps = 0;    ///< W; 0 for none
    double start = 0.0;  ///< rate of the very first update

    [[nodiscard]] double operator()(double peak, extent u) const noexcept {
        return start + static_cast<double>(u) * (peak - start) / static_cast<double>(steps);
    }
};

struct peaked_inverse_root {
    double peak = 5e-4;
    linear_rise rise{4000};

    /// **Throws** tare::error unless u >= 0 and the rise has at least one step.
    [[nodiscard]] double operator()(extent u) const {
        require(u >= 0 && rise.steps >= 1, "peaked_inverse_root: update ", u, " after a rise of ",
                rise.steps, " steps; expected an update from 0 on and at least 1 step");
        if (u < rise.steps) return rise(peak, u);
        return peak * std::sqrt(static_cast<double>(rise.steps) / static_cast<double>(u));
    }
};

struct peaked_cosine {
    double peak = 1e-3;
    double floor = 0.0;
    linear_rise rise{};
    extent period = 1;    ///< P, updates from the peak to the floor
    double shrink = 1.0;  ///< s, of both ends with each restart

    /// One fall that ends after `updates` updates in all.
    /// **Throws** tare::error unless they outlast the rise.
    [[nodiscard]] static peaked_cosine until(extent updates, double peak, double floor,
                                             linear_rise rise) {
        require(updates > rise.steps, "peaked_cosine: ", updates, " updates, of which ", rise.steps,
                " rise; there must be some left to fall");
        return {peak, floor, rise, updates - rise.steps};
    }

    /// A negative period of -P runs the fall backwards: the rate climbs from the floor again and
    /// again, which is what fairseq's options give for a run without a last update (P = W).
    /// **Throws** tare::error on u < 0 and a period of 0.
    [[nodiscard]] double operator()(extent u) const {
        require(u >= 0 && period != 0, "peaked_cosine: update ", u, " with a period of ", period,
                "; expected an update from 0 on and a period other than 0");
        if (u < rise.steps) return rise(peak, u);
        const double since = static_cast<double>(u - rise.steps);
        const double length = static_cast<double>(period);
        const double restarts = std::floor(since / length);
        const double scale = std::pow(shrink, restarts);
        const double at = since - length * restarts;
        const double low = scale * floor;
        return low + (scale * peak - low) * (1.0 + std::cos(std::numbers::pi * at / length)) / 2.0;
    }
};

}  // namespace tare::train
