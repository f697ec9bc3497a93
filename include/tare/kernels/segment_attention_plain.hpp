#pragma once
// SPDX-License-Identifier: MIT
// The plain form of attention with memory and relative positions: the formulas of
// segment_layout.hpp and their gradients, loop by loop, for any scalar (double for gradient checks,
// a counting type for prices). The fast form in segment_attention.hpp is tested against it.
//
// Backward, with w = points(p), dw_j = d_out . v_j, dp = points'(dw), D = sum_j p_j dp_j and
// ds_j = p_j (dp_j - D) * scale:
//     dv_j += w_j d_out,   dk_j += ds_j q,   dP[:,j] += ds_j q,   dq = sum_j ds_j (k_j + P[:,j])

#include <cmath>
#include <vector>

#include <tare/core/scalar.hpp>
#include <tare/kernels/attention_points.hpp>
#include <tare/kernels/segment_layout.hpp>

namespace tare::kernels {

namespace detail {

/// Keys and values of one (batch, head) by absolute position; positions before the chunk come from
/// the memory. A null pointer stands for the zeros of an empty memory.
template <class Scalar>
struct segment_history {
    const segment_layout& layout;
    matrix_view<Scalar> qkv;
    matrix_view<Scalar> memory;
    extent b;
    extent h;

    Scalar* key(extent position) const {
        if (position >= 0)
            return &qkv(position * layout.batch + b, h * layout.head_width() + layout.key_width);
        const extent known = remembered(layout, memory);
        if (position < -known) return nullptr;
        return &memory((position + known) * layout.batch + b, h * layout.memory_width());
    }
    Scalar* value(extent position) const {
        Scalar* const k = key(position);
        return k != nullptr ? k + layout.key_width : nullptr;
    }
};

template <class Scalar>
Scalar segment_score(const segment_layout& layout, const Scalar* q, const Scalar* k,
                     matrix_view<const Scalar> positions, extent j) {
    // Nothing is added to zero: what is executed here is what the accounting charges.
    Scalar position = q[0] * positions(0, j);
    for (extent c = 1; c < layout.key_width; ++c)
        position = position + q[c] * positions(c, j);
    const auto factor = constant<Scalar>(layout.factor());
    if (k == nullptr) return position * factor;
    Scalar content = q[0] * k[0];
    for (extent c = 1; c < layout.key_width; ++c)
        content = content + q[c] * k[c];
    return (content + position) * factor;
}

}  // namespace detail

/// Attention of a chunk, plainly.
///
/// **Shapes** out (T*B, H*nv); probabilities (T*B*H, S+1), the softmax before `points`, or no data.
/// **Throws** tare::error on shapes that do not fit.
template <class Scalar, class Points = no_attention_points>
    requires(attention_points<Points, Scalar>)
void segment_attention_forward_plain(const segment_layout& layout, const segment_inputs<Scalar>& in,
                                     matrix_view<Scalar> out,
                                     matrix_view<Scalar> probabilities = {},
                                     const Points& points = {}) {
    using std::exp;
    detail::require_segment("segment_attention_forward_plain", layout, in);
    detail::require_segment_results("segment_attention_forward_plain", layout, in, out,
                                    probabilities);
    const extent known = detail::remembered(layout, in.memory);
    const extent entries = layout.entries();
    std::vector<Scalar> p(static_cast<std::size_t>(entries), Scalar(0));
    for (extent t = 0; t < layout.tokens; ++t) {
        const extent first = detail::first_entry(layout, known, t);
        for (extent r = 0; r < layout.rows(); ++r) {
            const extent b = r / layout.heads;
            const extent h = r % layout.heads;
            const extent row = t * layout.rows() + r;
            const detail::segment_history<const Scalar> past{layout, in.qkv, in.memory, b, h};
            const Scalar* q = &in.qkv(t * layout.batch + b, h * layout.head_width());
            const auto at = [&](extent j) -> Scalar& { return p[static_cast<std::size_t>(j)]; };

            for (extent j = 0; j < first; ++j)
                at(j) = Scalar(0);
            Scalar top{};
            for (extent j = first; j < entries; ++j) {
                at(j) = detail::segment_score(layout, q, past.key(t - layout.window + j),
                                              in.positions, j);
                if (j == first || at(j) > top) top = at(j);
            }
            Scalar sum(0);
            for (extent j = first; j < entries; ++j) {
                at(j) = exp(at(j) - top);
                sum = j == first ? at(j) : sum + at(j);
            }
            for (extent j = first; j < entries; ++j)
                at(j) = at(j) / sum;
            if (probabilities.data != nullptr)
                for (extent j = 0; j < entries; ++j)
                    probabilities(row, j) = at(j);
            if (out.data == nullptr) continue;

            points.probabilities(std::span<Scalar>(p), row);
            Scalar* o = &out(t * layout.batch + b, h * layout.value_width);
            for (extent c = 0; c < layout.value_width; ++c)
                o[c] = Scalar(0);
            bool started = false;
            for (extent j = first; j < entries; ++j) {
                const Scalar* v = past.value(t - layout.window + j);
                if (v == nullptr) continue;
                for (extent c = 0; c < layout.value_width; ++c)
                    o[c] = started ? o[c] + at(j) * v[c] : at(j) * v[c];
                started = true;
            }
            points.output(std::span<Scalar>(o, static_cast<std::size_t>(layout.value_width)), row);
        }
    }
}

/// Gradients of attention, plainly, from the saved probabilities.
///
/// **Shapes** probabilities (T*B*H, S+1) as the forward call wrote them; d_out (T*B, H*nv).
/// **Throws** tare::error on shapes that do not fit.
template <class Scalar, class Points = no_attention_points>
    requires(attention_points<Points, Scalar>)
void segment_attention_backward_plain(const segment_layout& layout,
                                      const segment_inputs<Scalar>& in,
                                      matrix_view<const Scalar> probabilities,
                                      matrix_view<const Scalar> d_out,
                                      const segment_gradients<Scalar>& gradients,
                                      const Points& points = {}) {
    detail::require_segment("segment_attention_backward_plain", layout, in);
    detail::require_segment_gradients("segment_attention_backward_plain", layout, in, probabilities,
                                      d_out, gradients);
    const auto clear = [](matrix_view<Scalar> m) {
        for (extent r = 0; m.data != nullptr && r < m.rows; ++r)
            for (Scalar& x : m.row(r))
                x = Scalar(0);
    };
    clear(gradients.qkv);
    clear(gradients.positions);
    clear(gradients.memory);

    const extent known = detail::remembered(layout, in.memory);
    const auto factor = constant<Scalar>(layout.factor());
    const auto entries = static_cast<std::size_t>(layout.entries());
    std::vector<Scalar> w(entries, Scalar(0));
    std::vector<Scalar> dp(entries, Scalar(0));
    for (extent t = 0; t < layout.tokens; ++t) {
        const auto first = static_cast<std::size_t>(detail::first_entry(layout, known, t));
        for (extent r = 0; r < layout.rows(); ++r) {
            const extent b = r / layout.heads;
            const extent h = r % layout.heads;
            const extent row = t * layout.rows() + r;
            const detail::segment_history<const Scalar> past{layout, in.qkv, in.memory, b, h};
            const detail::segment_history<Scalar> d_past{layout, gradients.qkv, gradients.memory, b,
                                                         h};
            const Scalar* q = &in.qkv(t * layout.batch + b, h * layout.head_width());
            Scalar* dq = &gradients.qkv(t * layout.batch + b, h * layout.head_width());
            const Scalar* go = &d_out(t * layout.batch + b, h * layout.value_width);
            const std::span<const Scalar> p = probabilities.row(row);
            const auto position = [&](std::size_t j) {
                return t - layout.window + static_cast<extent>(j);
            };

            for (std::size_t j = 0; j < entries; ++j) {
                w[j] = p[j];
                dp[j] = Scalar(0);
                const Scalar* v = j < first ? nullptr : past.value(position(j));
                for (extent c = 0; v != nullptr && c < layout.value_width; ++c)
                    dp[j] = dp[j] + go[c] * v[c];
            }
            points.probabilities(std::span<Scalar>(w), row);
            points.d_probabilities(p, std::span<Scalar>(dp), row);
            Scalar mean(0);
            for (std::size_t j = first; j < entries; ++j)
                mean = mean + p[j] * dp[j];
            for (std::size_t j = first; j < entries; ++j) {
                const Scalar ds = p[j] * (dp[j] - mean) * factor;
                const auto column = static_cast<extent>(j);
                const Scalar* k = past.key(position(j));
                Scalar* dk = d_past.key(position(j));
                for (extent c = 0; c < layout.key_width; ++c) {
                    dq[c] = dq[c] + ds * in.positions(c, column);
                    if (k != nullptr) dq[c] = dq[c] + ds * k[c];
                    if (dk != nullptr) dk[c] = dk[c] + ds * q[c];
                    gradients.positions(c, column) = gradients.positions(c, column) + ds * q[c];
                }
                Scalar* dv = d_past.value(position(j));
                for (extent c = 0; dv != nullptr && c < layout.value_width; ++c)
                    dv[c] = dv[c] + w[j] * go[c];
            }
        }
    }
}

}  // namespace tare::kernels
