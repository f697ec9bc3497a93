#pragma once
// SPDX-License-Identifier: MIT
// Cross-entropy against smoothed labels, summed over the rows that have a target:
//     loss = -(target share * picked + share of every class * all)
// with the two sums of ops/log_softmax_sums.hpp. `picked` alone is the loss that perplexity speaks
// of, so one pass gives both. Three definitions of the shares are in use, e being the smoothing:
//     over others   every = e / (n - 1), target = 1 - e - every     (newer fairseq; n classes)
//     over all      every = e / n,       target = 1 - e             (older fairseq, HAT)
//     PET's         as over others, with n = the number of rows: over_others(e, rows)
// The sum over all classes includes the target and the padding class.
// Source: Szegedy et al. 2016, section 7; the definitions are those of the named toolkits.

#include <algorithm>
#include <span>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/ops/log_softmax_sums.hpp>
#include <tare/ops/weighted_sum.hpp>

namespace tare::train {

/// What a smoothed label gives to its target beyond what it gives to every class.
struct label_smoothing {
    double target = 1.0;
    double every = 0.0;

    /// Smoothing `e` shared by the n - 1 other classes.
    /// **Throws** tare::error unless 0 <= e < 1 and n >= 2.
    [[nodiscard]] static label_smoothing over_others(double e, extent n) {
        require(e >= 0.0 && e < 1.0 && n >= 2, "label_smoothing: smoothing ", e, " over ", n,
                " classes; expected 0 <= smoothing < 1 and at least 2 classes");
        const double every = e / static_cast<double>(n - 1);
        return {1.0 - e - every, every};
    }
    /// Smoothing `e` shared by all n classes.
    /// **Throws** tare::error unless 0 <= e < 1 and n >= 1.
    [[nodiscard]] static label_smoothing over_all(double e, extent n) {
        require(e >= 0.0 && e < 1.0 && n >= 1, "label_smoothing: smoothing ", e, " over ", n,
                " classes; expected 0 <= smoothing < 1 and at least 1 class");
        return {1.0 - e, e / static_cast<double>(n)};
    }
};

/// The targets with -1 (no target) in the place of `padding`.
[[nodiscard]] inline std::vector<token> without_padding(std::span<const token> targets,
                                                        token padding) {
    std::vector<token> out(targets.begin(), targets.end());
    std::ranges::replace(out, padding, token{-1});
    return out;
}

/// Loss of the two sums divided by `divisor` (the number of target tokens, usually: gradients are
/// then those of the mean). **Shapes** sums (2) of log_softmax_sums(); result a single number.
/// **Units** nats. **Throws** tare::error unless divisor > 0.
template <class T>
[[nodiscard]] T smoothed_loss(const T& sums, const label_smoothing& label, double divisor = 1.0) {
    require(divisor > 0.0, "smoothed_loss: divisor ", divisor,
            "; expected the number of targets, at least 1");
    return weighted_sum(sums, {-label.target / divisor, -label.every / divisor});
}

/// The same of logits (N, C) and N targets, -1 for rows without one.
template <class T>
[[nodiscard]] T smoothed_cross_entropy(const T& logits, std::vector<token> targets,
                                       const label_smoothing& label, double divisor = 1.0) {
    return smoothed_loss(log_softmax_sums(logits, std::move(targets)), label, divisor);
}

}  // namespace tare::train
