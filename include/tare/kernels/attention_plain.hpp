#pragma once
// SPDX-License-Identifier: MIT
// The plain form of ordinary multi-head attention and its gradients, for any scalar: the formulas
// of attention_layout.hpp loop by loop. The fast form in attention.hpp is tested against it.

#include <cmath>
#include <vector>

#include <tare/core/scalar.hpp>
#include <tare/kernels/attention_layout.hpp>
#include <tare/kernels/attention_points.hpp>

namespace tare::kernels {

/// Multi-head attention, plainly.
///
/// **Shapes** out (Tq*B, H*nv); probabilities (Tq*B*H, Tk), the softmax before `points`, or no
/// data; mean_weights (Tq*B, Tk), the mean of the probabilities over the heads, or no data.
/// **Throws** tare::error on shapes that do not fit.
template <class Scalar, class Points = no_attention_points>
    requires(attention_points<Points, Scalar>)
void attention_forward_plain(const attention_layout& layout, const attention_inputs<Scalar>& in,
                             matrix_view<Scalar> out, matrix_view<Scalar> probabilities = {},
                             matrix_view<Scalar> mean_weights = {}, const Points& points = {}) {
    using std::exp;
    detail::require_attention("attention_forward_plain", layout, in);
    detail::require_attention_results("attention_forward_plain", layout, in, out, probabilities,
                                      mean_weights);
    const auto factor = constant<Scalar>(layout.factor());
    const bool scaled = layout.factor() != 1.0;
    std::vector<Scalar> p(static_cast<std::size_t>(layout.keys), Scalar(0));
    for (extent i = 0; i < layout.queries; ++i)
        for (extent b = 0; b < layout.batch; ++b)
            for (extent h = 0; h < layout.heads; ++h) {
                const extent query = i * layout.batch + b;
                const extent row = query * layout.heads + h;
                const extent visible = detail::visible_keys(layout, i);
                const auto at = [&](extent j) -> Scalar& { return p[static_cast<std::size_t>(j)]; };
                const auto allowed = [&](extent j) {
                    return j < visible && (in.padding.data == nullptr || in.padding(b, j) == 0);
                };
                bool any = false;
                Scalar top{};
                for (extent j = 0; j < layout.keys; ++j) {
                    at(j) = Scalar(0);
                    if (!allowed(j)) continue;
                    // Nothing is added to zero or multiplied by one: what is executed here is what
                    // the accounting charges.
                    const Scalar* q = &in.queries(query, h * layout.key_width);
                    const Scalar* k = &in.keys(j * layout.batch + b, h * layout.key_width);
                    at(j) = q[0] * k[0];
                    for (extent c = 1; c < layout.key_width; ++c)
                        at(j) = at(j) + q[c] * k[c];
                    if (scaled) at(j) = at(j) * factor;
                    if (!any || at(j) > top) top = at(j);
                    any = true;
                }
                Scalar sum(0);
                bool first = true;
                for (extent j = 0; j < layout.keys; ++j)
                    if (allowed(j)) {
                        at(j) = exp(at(j) - top);
                        sum = first ? at(j) : sum + at(j);
                        first = false;
                    }
                for (extent j = 0; j < layout.keys; ++j)
                    if (allowed(j)) at(j) = at(j) / sum;
                for (extent j = 0; j < layout.keys; ++j) {
                    if (probabilities.data != nullptr) probabilities(row, j) = at(j);
                    if (mean_weights.data == nullptr) continue;
                    Scalar& mean = mean_weights(query, j);
                    mean = h == 0 ? at(j) : mean + at(j);
                    if (h + 1 == layout.heads)
                        mean = mean / constant<Scalar>(static_cast<double>(layout.heads));
                }
                points.probabilities(std::span<Scalar>(p), row);
                Scalar* o = &out(query, h * layout.value_width);
                for (extent c = 0; c < layout.value_width; ++c)
                    o[c] = Scalar(0);
                first = true;
                for (extent j = 0; j < layout.keys; ++j) {
                    if (!allowed(j)) continue;
                    const Scalar* v = &in.values(j * layout.batch + b, h * layout.value_width);
                    for (extent c = 0; c < layout.value_width; ++c)
                        o[c] = first ? at(j) * v[c] : o[c] + at(j) * v[c];
                    first = false;
                }
                points.output(std::span<Scalar>(o, static_cast<std::size_t>(layout.value_width)),
                              row);
            }
}

/// Gradients of multi-head attention, plainly, from the saved probabilities.
///
/// **Shapes** probabilities (Tq*B*H, Tk) as the forward call wrote them; d_out (Tq*B, H*nv).
/// **Formula** with w = points(p), dw_j = d_out . v_j, dp = points'(dw), D = sum_j p_j dp_j,
/// ds_j = p_j (dp_j - D) * scale: dv_j += w_j d_out, dk_j += ds_j q, dq = sum_j ds_j k_j.
/// **Throws** tare::error on shapes that do not fit.
template <class Scalar, class Points = no_attention_points>
    requires(attention_points<Points, Scalar>)
void attention_backward_plain(const attention_layout& layout, const attention_inputs<Scalar>& in,
                              matrix_view<const Scalar> probabilities,
                              matrix_view<const Scalar> d_out,
                              const attention_gradients<Scalar>& gradients,
                              const Points& points = {}) {
    detail::require_attention("attention_backward_plain", layout, in);
    detail::require_attention_gradients("attention_backward_plain", layout, in, probabilities,
                                        d_out, gradients);
    for (const auto m : {gradients.queries, gradients.keys, gradients.values})
        for (extent r = 0; r < m.rows; ++r)
            for (Scalar& x : m.row(r))
                x = Scalar(0);
    const auto factor = constant<Scalar>(layout.factor());
    const auto keys = static_cast<std::size_t>(layout.keys);
    std::vector<Scalar> w(keys, Scalar(0));
    std::vector<Scalar> dp(keys, Scalar(0));
    for (extent i = 0; i < layout.queries; ++i)
        for (extent b = 0; b < layout.batch; ++b)
            for (extent h = 0; h < layout.heads; ++h) {
                const extent query = i * layout.batch + b;
                const extent row = query * layout.heads + h;
                const std::span<const Scalar> p = probabilities.row(row);
                const auto allowed = [&](std::size_t j) {
                    const auto key = static_cast<extent>(j);
                    return key < detail::visible_keys(layout, i) &&
                           (in.padding.data == nullptr || in.padding(b, key) == 0);
                };
                const auto at = [&](std::size_t j) {
                    return static_cast<extent>(j) * layout.batch + b;
                };
                const Scalar* go = &d_out(query, h * layout.value_width);
                for (std::size_t j = 0; j < keys; ++j) {
                    w[j] = p[j];
                    dp[j] = Scalar(0);
                    for (extent c = 0; allowed(j) && c < layout.value_width; ++c)
                        dp[j] = dp[j] + go[c] * in.values(at(j), h * layout.value_width + c);
                }
                points.probabilities(std::span<Scalar>(w), row);
                points.d_probabilities(p, std::span<Scalar>(dp), row);
                Scalar mean(0);
                for (std::size_t j = 0; j < keys; ++j)
                    if (allowed(j)) mean = mean + p[j] * dp[j];
                for (std::size_t j = 0; j < keys; ++j) {
                    if (!allowed(j)) continue;
                    const Scalar ds = p[j] * (dp[j] - mean) * factor;
                    for (extent c = 0; c < layout.key_width; ++c) {
                        const extent column = h * layout.key_width + c;
                        Scalar& dq = gradients.queries(query, column);
                        Scalar& dk = gradients.keys(at(j), column);
                        dq = dq + ds * in.keys(at(j), column);
                        dk = dk + ds * in.queries(query, column);
                    }
                    for (extent c = 0; c < layout.value_width; ++c) {
                        Scalar& dv = gradients.values(at(j), h * layout.value_width + c);
                        dv = dv + w[j] * go[c];
                    }
                }
            }
}

}  // namespace tare::kernels
