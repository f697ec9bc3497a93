#pragma once
// SPDX-License-Identifier: MIT
// Cross-entropy of softmax(logits) with one target a row, fused with its gradient:
//   l_c = ln softmax(x)_c
//   loss = -on_target l_t - on_each sum_c l_c
//   d loss / d x_c = (on_target + C on_each) e^(l_c) - on_target [c = t] - on_each
// on_each = 0 is the ordinary loss. Label smoothing e as fairseq has it: on_each = e / (C - 1),
// on_target = 1 - e - on_each. Probabilities are never stored when only the loss is asked for.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <type_traits>

#include <tare/core/pack.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/row.hpp>
#include <tare/kernels/softmax.hpp>

namespace tare::kernels {

/// Weights of the target's and of every class's logarithm.
struct target_weights {
    float on_target = 1.0F;
    float on_each = 0.0F;
};

/// losses[r] in nats. Shapes logits (R, C), targets, losses (R). A negative target means "no
/// target here" (a pad): loss 0.
/// NaN: as log_softmax. Accuracy: absolute error at most 2^-24 (2 |loss| + C / 2048 + 44) for
/// on_each = 0. Throws on shapes that do not fit or a target of C or more.
inline void cross_entropy(matrix_view<const float> logits, std::span<const std::int32_t> targets,
                          std::span<float> losses, target_weights weights = {});

/// The same, and gradient = factor d loss / d logits. Shape gradient (R, C); it may be `logits`.
/// Rows without target get zeros.
inline void cross_entropy_with_gradient(matrix_view<const float> logits,
                                        std::span<const std::int32_t> targets,
                                        std::span<float> losses, matrix_view<float> gradient,
                                        float factor = 1.0F, target_weights weights = {});

/// The formulas for any scalar with + - * / <, exp and log; `gradient` without memory is left out.
namespace plain {

template <class Scalar>
void cross_entropy_with_gradient(matrix_view<const std::type_identity_t<Scalar>> logits,
                                 std::span<const std::int32_t> targets, std::span<Scalar> losses,
                                 matrix_view<std::type_identity_t<Scalar>> gradient,
                                 std::type_identity_t<Scalar> factor, target_weights weights = {}) {
    using std::exp;
    using std::log;
    const Scalar on_target = Scalar(weights.on_target);
    const Scalar on_each = Scalar(weights.on_each);
    const Scalar total = on_target + Scalar(static_cast<float>(logits.columns)) * on_each;
    for (extent r = 0; r < logits.rows; ++r) {
        const std::int32_t target = targets[static_cast<std::size_t>(r)];
        Scalar loss = Scalar(0);
        if (target >= 0) {
            const auto [maximum, sum] = detail::scale_of<Scalar>(logits.row(r));
            const Scalar log_of_sum = log(sum);
            loss = on_target * (log_of_sum - (logits(r, target) - maximum));
            if (Scalar(0) < on_each) {
                for (extent c = 0; c < logits.columns; ++c)
                    loss = loss + on_each * (log_of_sum - (logits(r, c) - maximum));
            }
            for (extent c = 0; gradient.data != nullptr && c < logits.columns; ++c) {
                const Scalar p = exp(logits(r, c) - maximum) / sum;
                const Scalar hit = c == target ? on_target : Scalar(0);
                gradient(r, c) = factor * (total * p - hit - on_each);
            }
        } else {
            for (extent c = 0; gradient.data != nullptr && c < logits.columns; ++c)
                gradient(r, c) = Scalar(0);
        }
        losses[static_cast<std::size_t>(r)] = loss;
    }
}
template <class Scalar>
void cross_entropy(matrix_view<const std::type_identity_t<Scalar>> logits,
                   std::span<const std::int32_t> targets, std::span<Scalar> losses,
                   target_weights weights = {}) {
    plain::cross_entropy_with_gradient<Scalar>(logits, targets, losses, {}, Scalar(1), weights);
}

}  // namespace plain

namespace detail {

inline void require_targets(std::string_view function, matrix_view<const float> logits,
                            std::span<const std::int32_t> targets, std::span<float> losses) {
    require_view(function, "logits", logits);
    require_size(function, "targets", targets, logits.rows, "one per row of logits");
    require_size(function, "losses", losses, logits.rows, "one per row of logits");
    require_apart(function, "logits", logits, "losses", losses);
    for (std::size_t r = 0; r < targets.size(); ++r) {
        if (targets[r] >= logits.columns)
            fail(function, ": target ", targets[r], " of row ", r, " is outside the ",
                 logits.columns, " classes; pass a negative target for rows without one");
    }
}

/// Loss of one row; with Write also its exponentials e^(x - maximum). `sum` becomes their sum.
template <bool Write>
float cross_entropy_row(const float* x, std::size_t n, std::size_t target, target_weights weights,
                        float* exponentials, float& sum) {
    const float maximum = row_max(x, n);
    const float at_target = x[target] - maximum;
    float shifted_sum = 0.0F;
    if (weights.on_each != 0.0F) {
        // Places past the end read as the maximum and so add nothing.
        shifted_sum = row_sum_at(
            [maximum](std::size_t, std::size_t, const auto& v) { return v - like(v, maximum); }, n,
            maximum, x);
    }
    sum = row_exp_sum<Write>(x, n, maximum, exponentials);
    const float log_of_sum = std::log(sum);
    const float loss = weights.on_target * (log_of_sum - at_target);
    if (weights.on_each == 0.0F) return loss;
    return loss + weights.on_each * (static_cast<float>(n) * log_of_sum - shifted_sum);
}

}  // namespace detail

inline void cross_entropy(matrix_view<const float> logits, std::span<const std::int32_t> targets,
                          std::span<float> losses, target_weights weights) {
    detail::require_targets("cross_entropy", logits, targets, losses);
    const auto n = static_cast<std::size_t>(logits.columns);
    detail::each_row(logits.rows, 6 * logits.columns, [&](extent r) {
        const auto at = static_cast<std::size_t>(r);
        float sum = 0.0F;
        losses[at] = targets[at] < 0
                         ? 0.0F
                         : detail::cross_entropy_row<false>(logits.row(r).data(), n,
                                                            static_cast<std::size_t>(targets[at]),
                                                            weights, nullptr, sum);
    });
}

inline void cross_entropy_with_gradient(matrix_view<const float> logits,
                                        std::span<const std::int32_t> targets,
                                        std::span<float> losses, matrix_view<float> gradient,
                                        float factor, target_weights weights) {
    detail::require_targets("cross_entropy_with_gradient", logits, targets, losses);
    detail::require_view("cross_entropy_with_gradient", "gradient", gradient);
    detail::require_same_shape("cross_entropy_with_gradient", "logits", logits, "gradient",
                               gradient);
    detail::require_same_or_apart("cross_entropy_with_gradient", "logits", logits, "gradient",
                                  gradient);
    detail::require_apart("cross_entropy_with_gradient", "losses", losses, "gradient", gradient);
    const auto n = static_cast<std::size_t>(logits.columns);
    const float total = weights.on_target + static_cast<float>(n) * weights.on_each;
    detail::each_row(logits.rows, 8 * logits.columns, [&](extent r) {
        const auto at = static_cast<std::size_t>(r);
        float* g = gradient.row(r).data();
        if (targets[at] < 0) {
            losses[at] = 0.0F;
            std::fill_n(g, n, 0.0F);
            return;
        }
        const auto target = static_cast<std::size_t>(targets[at]);
        float sum = 0.0F;
        losses[at] =
            detail::cross_entropy_row<true>(logits.row(r).data(), n, target, weights, g, sum);
        const float slope = factor * total / sum;
        const float share = factor * weights.on_each;
        detail::row_map([&](auto e) { return e * like(e, slope) - like(e, share); }, g, n, g);
        g[target] -= factor * weights.on_target;
    });
}

}  // namespace tare::kernels
