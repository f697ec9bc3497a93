#pragma once
// SPDX-License-Identifier: MIT
// How much pruning each tensor bears, and the plan that follows: one tensor at a time is pruned to
// a few sparsities and the perplexity measured; then one bound on the perplexity, found by
// bisection, gives every tensor its largest sparsity below it, so that all together reach a wanted
// share. Source: Han, Pool, Tran, Dally 2015, section 4 (sensitivity); Zmora et al. 2019.

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/prune/mask.hpp>

namespace tare::prune {

/// Perplexity of the model with one tensor pruned.
struct sensitivity_point {
    double sparsity;
    double perplexity;
};

struct sensitivity_curve {
    std::string tensor;
    extent size = 0;
    std::vector<sensitivity_point> points;  ///< sparsity rising

    /// Largest sparsity whose perplexity stays at or below `bound`: linear between the measured
    /// points, a dip after a rise not used. `base` is the perplexity without pruning.
    [[nodiscard]] double largest_below(double bound, double base) const {
        sensitivity_point last{0.0, base};
        for (const sensitivity_point& p : points) {
            // Not "above": a perplexity that is no number is above every bound.
            if (!(p.perplexity <= bound)) {
                const double rise = p.perplexity - last.perplexity;
                const double way = rise > 0.0 ? (bound - last.perplexity) / rise : 0.0;
                return last.sparsity + std::clamp(way, 0.0, 1.0) * (p.sparsity - last.sparsity);
            }
            last = p;
        }
        return last.sparsity;
    }
};

/// Measures one tensor. `perplexity()` evaluates the model; `values`, its tensor, are pruned in
/// place and put back, also when an evaluation throws.
template <class Evaluate>
[[nodiscard]] sensitivity_curve measure_sensitivity(std::string tensor, std::span<float> values,
                                                    std::span<const double> sparsities,
                                                    Evaluate&& perplexity) {
    struct put_back {
        std::span<float> to;
        std::vector<float> from;
        ~put_back() { std::copy(from.begin(), from.end(), to.begin()); }
    };
    const put_back original{values, {values.begin(), values.end()}};
    sensitivity_curve curve{std::move(tensor), static_cast<extent>(values.size()), {}};
    for (const double sparsity : sparsities) {
        require(curve.points.empty() || sparsity > curve.points.back().sparsity,
                "measure_sensitivity: sparsities must rise, got ", sparsity, " after ",
                curve.points.empty() ? 0.0 : curve.points.back().sparsity);
        std::copy(original.from.begin(), original.from.end(), values.begin());
        apply_mask(magnitude_mask(values, sparsity), values);
        curve.points.push_back({sparsity, perplexity()});
    }
    return curve;
}

/// A final sparsity for each tensor.
struct sparsity_plan {
    double bound = 0.0;     ///< perplexity below which each tensor alone stays
    double sparsity = 0.0;  ///< of all `total` values together
    std::vector<std::pair<std::string, double>> tensors;
};

/// The plan that prunes the share `target` of `total` values (those of tensors without a curve
/// included). Bisection on the bound; the sparsity of the answer is never below the target, and at
/// most 1e-6 above where the curves are continuous.
/// **Throws** tare::error when the measured sparsities do not reach the target.
[[nodiscard]] inline sparsity_plan propose(std::span<const sensitivity_curve> curves, double base,
                                           double target, extent total) {
    const auto plan_of = [&](double bound) {
        sparsity_plan plan{bound, 0.0, {}};
        for (const sensitivity_curve& c : curves) {
            plan.tensors.emplace_back(c.tensor, c.largest_below(bound, base));
            plan.sparsity += plan.tensors.back().second * static_cast<double>(c.size) /
                             static_cast<double>(total);
        }
        return plan;
    };
    double high = base;
    for (const sensitivity_curve& c : curves)
        for (const sensitivity_point& p : c.points)
            if (p.perplexity > high) high = p.perplexity;
    sparsity_plan best = plan_of(high);
    require(total >= 1 && best.sparsity >= target, "propose: a sparsity of ", target, " of ", total,
            " values was asked for; the measured tensors and sparsities reach ", best.sparsity);
    double low = base;
    constexpr int halvings = 200;  // until two doubles have none between them, at the latest
    for (int i = 0; i < halvings && best.sparsity > target + 1e-6; ++i) {
        const double middle = low + 0.5 * (high - low);
        const sparsity_plan tried = plan_of(middle);
        if (tried.sparsity >= target) {
            best = tried;
            high = middle;
        } else {
            low = middle;
        }
    }
    return best;
}

}  // namespace tare::prune
