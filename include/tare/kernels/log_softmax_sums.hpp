#pragma once
// SPDX-License-Identifier: MIT
// Two sums of log softmax over rows that have a target t_r, of which every cross-entropy with
// smoothed labels is a combination, and their gradient:
//     picked = sum_r l_(r,t_r),   all = sum_r sum_c l_rc,   l_rc = z_rc - m_r - ln s_r
//     d z_rc = p [c = t_r] + a - (p + C a) e^(z_rc - m_r) / s_r     p, a: gradients of the two sums
// Neither pass writes anything as large as the logits but the gradient itself, which is one map
// over them: no probabilities, no smoothed labels in between.
// Source: Szegedy et al. 2016, section 7 (labels smoothed towards the uniform distribution).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/scalar.hpp>
#include <tare/kernels/pick_log_softmax.hpp>
#include <tare/kernels/row.hpp>

namespace tare::kernels {

/// Over rows: log softmax at the targets, and at all columns.
template <class Scalar>
struct softmax_sums {
    Scalar picked{};
    Scalar all{};
};

namespace plain {

/// Logits (N, C); targets, statistics (N). A row of negative target is left out.
template <class Scalar>
softmax_sums<Scalar> log_softmax_sums(matrix_view<const Scalar> logits,
                                      std::span<const std::int32_t> targets,
                                      softmax_statistics<Scalar> statistics) {
    using std::exp;
    using std::log;
    softmax_sums<Scalar> out;
    bool first = true;
    for (std::size_t r = 0; r < targets.size(); ++r) {
        if (targets[r] < 0) continue;
        const std::span<const Scalar> row = logits.row(static_cast<extent>(r));
        Scalar top = row[0];
        for (std::size_t c = 1; c < row.size(); ++c)
            if (top < row[c]) top = row[c];
        Scalar sum{};
        Scalar shifted{};
        Scalar picked{};
        for (std::size_t c = 0; c < row.size(); ++c) {
            const Scalar below = row[c] - top;
            if (c == static_cast<std::size_t>(targets[r])) picked = below;
            shifted = c == 0 ? below : shifted + below;
            sum = c == 0 ? exp(below) : sum + exp(below);
        }
        const Scalar log_sum = log(sum);
        picked = picked - log_sum;
        const Scalar all = shifted - constant<Scalar>(static_cast<double>(row.size())) * log_sum;
        out.picked = first ? picked : out.picked + picked;
        out.all = first ? all : out.all + all;
        first = false;
        statistics.maximum[r] = top;
        statistics.sum[r] = sum;
    }
    return out;
}

/// Adds the gradient to `to` (N, C); rows left out get nothing.
template <class Scalar>
void log_softmax_sums_backward(matrix_view<const Scalar> logits,
                               std::span<const std::int32_t> targets,
                               softmax_statistics<const Scalar> statistics,
                               const softmax_sums<Scalar>& d_sums, matrix_view<Scalar> to) {
    using std::exp;
    const Scalar whole =
        d_sums.picked + constant<Scalar>(static_cast<double>(logits.columns)) * d_sums.all;
    for (std::size_t r = 0; r < targets.size(); ++r) {
        if (targets[r] < 0) continue;
        const auto row = static_cast<extent>(r);
        const Scalar share = whole / statistics.sum[r];
        for (extent c = 0; c < logits.columns; ++c) {
            Scalar& d = to(row, c);
            d = d + (d_sums.all - share * exp(logits(row, c) - statistics.maximum[r]));
        }
        Scalar& d = to(row, targets[r]);
        d = d + d_sums.picked;
    }
}

}  // namespace plain

namespace detail {

inline void require_softmax_rows(std::string_view function, matrix_view<const float> logits,
                                 std::span<const std::int32_t> targets, std::size_t maxima,
                                 std::size_t sums) {
    require_view(function, "logits", logits);
    require_size(function, "targets", targets, logits.rows, "one per row, -1 for none");
    if (maxima != targets.size() || sums != targets.size())
        fail(function, ": statistics of ", maxima, " maxima and ", sums, " sums for ",
             targets.size(), " rows; expected one of each per row");
    for (std::size_t r = 0; r < targets.size(); ++r)
        if (targets[r] >= logits.columns)
            fail(function, ": target ", targets[r], " of row ", r, " is outside the ",
                 logits.columns, " columns; pass -1 for a row without a target");
}

}  // namespace detail

/// The two sums, each rounded once to double from rows summed in float32.
/// **Shapes** logits (N, C); targets, statistics (N). Rows of negative target are left out: they
/// are not read, and their statistics stay as they are.
/// **Units** nats. **NaN** a row with a NaN or +inf, or of -inf only, makes both sums NaN; another
/// -inf makes `all` -inf.
/// **Accuracy** per row at most 2^-24 (2 |l_t| + C / 2048 + 44) for `picked`, C times as much plus
/// 2^-24 (C / 2048 + 40) |l| for `all`.
/// **Throws** tare::error on shapes that do not fit, a target of C or more, overlap.
/// **Complexity/threads** rows in parallel, added in their order.
inline softmax_sums<double> log_softmax_sums(matrix_view<const float> logits,
                                             std::span<const std::int32_t> targets,
                                             softmax_statistics<float> statistics) {
    const std::string_view name = "log_softmax_sums";
    detail::require_softmax_rows(name, logits, targets, statistics.maximum.size(),
                                 statistics.sum.size());
    detail::require_all_apart(
        name, {{"statistics.maximum", statistics.maximum}, {"statistics.sum", statistics.sum}},
        {{"logits", logits}, {"targets", targets}});
    std::vector<softmax_sums<double>> rows(targets.size());
    const auto n = static_cast<std::size_t>(logits.columns);
    detail::each_row(logits.rows, 7 * logits.columns, [&](extent r) {
        const auto at = static_cast<std::size_t>(r);
        if (targets[at] < 0) return;
        const float* const z = logits.row(r).data();
        const float top = detail::row_max(z, n);
        const float sum = detail::row_exp_sum<false>(z, n, top, nullptr);
        // Summed as distances from the maximum: terms of one sign, nothing cancels. Places past the
        // end read as the maximum, so that they add nothing.
        const float shifted = detail::row_sum_at(
            [top](std::size_t, std::size_t, const auto& v) { return v - like(v, top); }, n, top, z);
        statistics.maximum[at] = top;
        statistics.sum[at] = sum;
        const double log_sum = std::log(static_cast<double>(sum));
        const double picked = static_cast<double>(z[targets[at]]) - static_cast<double>(top);
        rows[at] = {picked - log_sum,
                    static_cast<double>(shifted) - static_cast<double>(n) * log_sum};
    });
    softmax_sums<double> out;
    for (const softmax_sums<double>& row : rows) {
        out.picked += row.picked;
        out.all += row.all;
    }
    return out;
}

/// Adds the gradient to `gradient.to` (N, C), or starts it: rows left out are then zeros.
/// **Accuracy** that of softmax() times |p + C a|, and 2^-24 of |p| + |a| and of what it is added
/// to. **Throws** as above.
inline void log_softmax_sums_backward(matrix_view<const float> logits,
                                      std::span<const std::int32_t> targets,
                                      softmax_statistics<const float> statistics,
                                      const softmax_sums<float>& d_sums,
                                      const logit_gradient& gradient) {
    const std::string_view name = "log_softmax_sums_backward";
    detail::require_softmax_rows(name, logits, targets, statistics.maximum.size(),
                                 statistics.sum.size());
    detail::require_view(name, "gradient", gradient.to);
    detail::require_same_shape(name, "logits", logits, "gradient", gradient.to);
    detail::require_all_apart(name, {{"gradient", gradient.to}},
                              {{"logits", logits},
                               {"targets", targets},
                               {"statistics.maximum", statistics.maximum},
                               {"statistics.sum", statistics.sum}});
    const float whole = d_sums.picked + static_cast<float>(logits.columns) * d_sums.all;
    const auto n = static_cast<std::size_t>(logits.columns);
    detail::each_row(logits.rows, 6 * logits.columns, [&](extent r) {
        const auto at = static_cast<std::size_t>(r);
        float* const to = gradient.to.row(r).data();
        if (targets[at] < 0) {
            if (gradient.starts) std::fill_n(to, n, 0.0F);
            return;
        }
        const float* const z = logits.row(r).data();
        const float share = whole / statistics.sum[at];
        const float top = statistics.maximum[at];
        const auto less = [=, every = d_sums.all](auto v, auto g) {
            const auto e = vector_math::exp_nonpositive(v - like(v, top));
            return g + fnma(e, like(v, share), like(v, every));
        };
        if (gradient.starts)
            detail::row_map([less](auto v) { return less(v, like(v, 0.0F)); }, to, n, z);
        else
            detail::row_map(less, to, n, z, to);
        to[targets[at]] += d_sums.picked;
    });
}

}  // namespace tare::kernels
