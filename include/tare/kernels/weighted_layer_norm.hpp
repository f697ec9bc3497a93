#pragma once
// SPDX-License-Identifier: MIT
// Layer normalisation for networks that lose columns:
//   y = (x - mean) rstd gamma + beta,  rstd = 1 / (deviation + eps)
//   with weights w:     S = sum(w),  mean = sum(w x) / S,  deviation^2 = sum(w (x - mean)^2) / S
//   without, C of D columns left:  S = D,  mean = sum(x) / D,
//                       deviation^2 = (sum((x - mean)^2) + mean^2 (D - C)) / D
// With weights of 0 and 1 a masked network and one whose masked columns were removed agree.
// Source: the selectively regularised pruning of Transformers (SRP, 2022): eps stands beside the
// deviation, not under the root.

#include <algorithm>
#include <cmath>
#include <span>
#include <type_traits>

#include <tare/core/aligned.hpp>
#include <tare/core/pack.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/layer_norm.hpp>
#include <tare/kernels/row.hpp>

namespace tare::kernels {

/// What the weighted kind keeps for its gradient, one value a row each.
template <class Scalar = float>
struct weighted_layer_norm_saved {
    std::span<Scalar> mean = {};
    std::span<Scalar> deviation = {};
};

/// Normalises each row. Shapes x, y (R, C), gamma, beta (C) or empty, weight (C) or empty; `y` may
/// be `x`. `created_columns` is D, at least C; 0 means C; ignored with weights.
/// NaN: a row with NaN or an infinity becomes NaN, and so does any row if the weights sum to 0.
/// Accuracy: as layer_norm. Throws on shapes that do not fit or half overlapping memory.
inline void weighted_layer_norm(matrix_view<const float> x, std::span<const float> weight,
                                extent created_columns, std::span<const float> gamma,
                                std::span<const float> beta, float eps, matrix_view<float> y,
                                weighted_layer_norm_saved<> saved = {});

namespace plain {

/// S of the formulas.
template <class Scalar>
Scalar total_weight(std::span<const Scalar> weight, extent columns, extent created_columns) {
    if (weight.empty())
        return Scalar(static_cast<float>(created_columns == 0 ? columns : created_columns));
    Scalar total = weight[0];
    for (const Scalar& w : weight.subspan(1))
        total = total + w;
    return total;
}

/// As many operations as op::weighted_layer_norm charges.
template <class Scalar>
void weighted_layer_norm(matrix_view<const std::type_identity_t<Scalar>> x,
                         std::span<const std::type_identity_t<Scalar>> weight,
                         extent created_columns,
                         std::span<const std::type_identity_t<Scalar>> gamma,
                         std::span<const std::type_identity_t<Scalar>> beta,
                         std::type_identity_t<Scalar> eps, matrix_view<Scalar> y,
                         weighted_layer_norm_saved<std::type_identity_t<Scalar>> saved = {}) {
    using std::sqrt;
    if (x.rows == 0 || x.columns == 0) return;
    const Scalar total = total_weight<Scalar>(weight, x.columns, created_columns);
    const extent absent =
        weight.empty() && created_columns != 0 ? created_columns - x.columns : extent{0};
    const auto weighted = [&](const Scalar& v, extent c) {
        return weight.empty() ? v : weight[static_cast<std::size_t>(c)] * v;
    };
    for (extent r = 0; r < x.rows; ++r) {
        Scalar sum = weighted(x(r, 0), 0);
        for (extent c = 1; c < x.columns; ++c)
            sum = sum + weighted(x(r, c), c);
        const Scalar mean = sum / total;
        Scalar squares = Scalar(0);
        for (extent c = 0; c < x.columns; ++c) {
            const Scalar d = x(r, c) - mean;
            y(r, c) = d;
            squares = c == 0 ? weighted(d, c) * d : squares + weighted(d, c) * d;
        }
        if (absent > 0) squares = squares + mean * mean * Scalar(static_cast<float>(absent));
        const Scalar deviation = sqrt(squares / total);
        const Scalar rstd = Scalar(1) / (deviation + eps);
        for (extent c = 0; c < x.columns; ++c) {
            const auto i = static_cast<std::size_t>(c);
            y(r, c) = y(r, c) * rstd;
            if (!gamma.empty()) y(r, c) = y(r, c) * gamma[i];
            if (!beta.empty()) y(r, c) = y(r, c) + beta[i];
        }
        if (!saved.mean.empty()) saved.mean[static_cast<std::size_t>(r)] = mean;
        if (!saved.deviation.empty()) saved.deviation[static_cast<std::size_t>(r)] = deviation;
    }
}

}  // namespace plain

namespace detail {

inline void require_weights(std::string_view function, matrix_view<const float> x,
                            std::span<const float> weight, extent created_columns,
                            std::span<const float> gamma, float eps) {
    require_row_of(function, "weight", weight, x.columns);
    require_row_of(function, "gamma", gamma, x.columns);
    if (created_columns != 0 && created_columns < x.columns)
        fail(function, ": x has ", x.columns, " columns but only ", created_columns,
             " were created; pass the original width, or 0 for the present one");
    if (!(eps >= 0)) fail(function, ": eps is ", eps, "; it must not be negative");
}

}  // namespace detail

inline void weighted_layer_norm(matrix_view<const float> x, std::span<const float> weight,
                                extent created_columns, std::span<const float> gamma,
                                std::span<const float> beta, float eps, matrix_view<float> y,
                                weighted_layer_norm_saved<> saved) {
    detail::require_rows("weighted_layer_norm", x, y);
    detail::require_weights("weighted_layer_norm", x, weight, created_columns, gamma, eps);
    detail::require_row_of("weighted_layer_norm", "beta", beta, x.columns);
    if (!saved.mean.empty())
        detail::require_size("weighted_layer_norm", "saved.mean", saved.mean, x.rows,
                             "one per row of x");
    if (!saved.deviation.empty())
        detail::require_size("weighted_layer_norm", "saved.deviation", saved.deviation, x.rows,
                             "one per row of x");
    detail::require_all_apart("weighted_layer_norm", {{"y", y}},
                              {{"weight", weight}, {"gamma", gamma}, {"beta", beta}});
    detail::require_all_apart(
        "weighted_layer_norm", {{"saved.mean", saved.mean}, {"saved.deviation", saved.deviation}},
        {{"x", x}, {"y", y}, {"weight", weight}, {"gamma", gamma}, {"beta", beta}});
    const auto n = static_cast<std::size_t>(x.columns);
    const float total = plain::total_weight<float>(weight, x.columns, created_columns);
    const float absent = weight.empty() ? total - static_cast<float>(x.columns) : 0.0F;
    // Empty rows of factors become rows of ones and zeros once, so the loop has one form.
    aligned_vector<float> factors(2 * n, 0.0F);
    std::fill_n(factors.data(), n, 1.0F);
    const float* scale_by = gamma.empty() ? factors.data() : gamma.data();
    const float* shift_by = beta.empty() ? factors.data() + n : beta.data();
    const float* weigh_by = weight.empty() ? factors.data() : weight.data();
    detail::each_row(x.rows, 5 * x.columns, [&](extent r) {
        const float* in = x.row(r).data();
        const float mean =
            detail::row_sum([](auto v, auto w) { return v * w; }, n, in, weigh_by) / total;
        // Weights read as zero behind the end, which silences those lanes.
        const float squares = detail::row_sum(
            [mean](auto v, auto w) {
                const auto d = v - like(v, mean);
                return w * d * d;
            },
            n, in, weigh_by);
        const float deviation = std::sqrt((squares + mean * mean * absent) / total);
        const float rstd = 1.0F / (deviation + eps);
        detail::row_map(
            [&](auto v, auto w, auto b) { return fma((v - like(v, mean)) * like(v, rstd), w, b); },
            y.row(r).data(), n, in, scale_by, shift_by);
        const auto at = static_cast<std::size_t>(r);
        if (!saved.mean.empty()) saved.mean[at] = mean;
        if (!saved.deviation.empty()) saved.deviation[at] = deviation;
    });
}

}  // namespace tare::kernels
