#pragma once
// SPDX-License-Identifier: MIT
// Gradients of the layer normalisation of weighted_layer_norm.hpp:
//   g = dy gamma,  h = (x - mean) rstd,  k = (deviation + eps) / deviation
//   dx = rstd (g - w / S (sum(g) + k h sum(g h)))
//   dw -= (sum(g) h + sum(g h) (k h^2 - 1 / k) / 2) / S, summed over rows
// A constant row (deviation 0) has h = 0; k is taken as 0 there and 1 / k too.
// Source: as there; the gradient flows through the weights and their sum.

#include <algorithm>
#include <initializer_list>
#include <span>
#include <string_view>
#include <type_traits>

#include <tare/core/aligned.hpp>
#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/layer_norm_backward.hpp>
#include <tare/kernels/row.hpp>
#include <tare/kernels/weighted_layer_norm.hpp>

namespace tare::kernels {

/// Where the gradients go; empty spans are left out. dx is written and may be `dy`, the rest is
/// added to.
template <class Scalar = float>
struct weighted_layer_norm_gradients {
    matrix_view<Scalar> x;
    std::span<Scalar> weight = {};
    std::span<Scalar> gamma = {};
    std::span<Scalar> beta = {};
};

/// Gradients. Shapes as forward, mean and deviation (R) as saved. NaN: a row with one gives NaN.
/// Throws on shapes that do not fit or half overlapping memory.
inline void weighted_layer_norm_backward(matrix_view<const float> x, std::span<const float> weight,
                                         extent created_columns, std::span<const float> gamma,
                                         float eps, weighted_layer_norm_saved<const float> saved,
                                         matrix_view<const float> dy,
                                         weighted_layer_norm_gradients<> gradients);

namespace plain {

template <class Scalar>
void weighted_layer_norm_backward(
    matrix_view<const std::type_identity_t<Scalar>> x,
    std::span<const std::type_identity_t<Scalar>> weight, extent created_columns,
    std::span<const std::type_identity_t<Scalar>> gamma, std::type_identity_t<Scalar> eps,
    weighted_layer_norm_saved<const std::type_identity_t<Scalar>> saved,
    matrix_view<const std::type_identity_t<Scalar>> dy,
    weighted_layer_norm_gradients<Scalar> gradients) {
    const Scalar total = total_weight<Scalar>(weight, x.columns, created_columns);
    for (extent r = 0; r < x.rows; ++r) {
        const Scalar mean = saved.mean[static_cast<std::size_t>(r)];
        const Scalar deviation = saved.deviation[static_cast<std::size_t>(r)];
        const bool constant = !(Scalar(0) < deviation);
        const Scalar k = constant ? Scalar(0) : (deviation + eps) / deviation;
        const Scalar one_over_k = constant ? Scalar(0) : deviation / (deviation + eps);
        const auto h = [&](extent c) { return (x(r, c) - mean) / (deviation + eps); };
        const auto g = [&](extent c) {
            return gamma.empty() ? dy(r, c) : dy(r, c) * gamma[static_cast<std::size_t>(c)];
        };
        Scalar sum_g = Scalar(0);
        Scalar sum_gh = Scalar(0);
        for (extent c = 0; c < x.columns; ++c) {
            const auto i = static_cast<std::size_t>(c);
            sum_g = sum_g + g(c);
            sum_gh = sum_gh + g(c) * h(c);
            if (!gradients.gamma.empty()) gradients.gamma[i] = gradients.gamma[i] + dy(r, c) * h(c);
            if (!gradients.beta.empty()) gradients.beta[i] = gradients.beta[i] + dy(r, c);
        }
        for (extent c = 0; c < x.columns; ++c) {
            const auto i = static_cast<std::size_t>(c);
            const Scalar share = (weight.empty() ? Scalar(1) : weight[i]) / total;
            if (!gradients.weight.empty())
                gradients.weight[i] =
                    gradients.weight[i] -
                    (sum_g * h(c) + sum_gh * (k * h(c) * h(c) - one_over_k) / Scalar(2)) / total;
            gradients.x(r, c) = (g(c) - share * (sum_g + k * h(c) * sum_gh)) / (deviation + eps);
        }
    }
}

}  // namespace plain

namespace detail {

/// One row of the backward pass. `part` holds three rows to add to: dgamma, dbeta, dweight.
inline void weighted_layer_norm_backward_row(const float* x, const float* dy, float* dx,
                                             std::size_t n, const float* weight, const float* gamma,
                                             float eps, float total, float row_mean,
                                             float deviation, float* part) {
    const pack mean = pack_of(row_mean);
    const pack rstd = pack_of(1.0F / (deviation + eps));
    const bool constant = !(deviation > 0.0F);
    const float factor = constant ? 0.0F : (deviation + eps) / deviation;
    const float inverse = constant ? 0.0F : deviation / (deviation + eps);
    const pack one = pack_of(1.0F);
    pack sum_g = pack_of(0.0F);
    pack sum_gh = sum_g;
    const auto g_at = [&](std::size_t i, std::size_t count) {
        const pack d = load_up_to(dy + i, count);
        return gamma == nullptr ? d : d * load_up_to(gamma + i, count);
    };
    for (std::size_t i = 0; i < n; i += pack_lanes) {
        const std::size_t count = std::min(pack_lanes, n - i);
        const pack h = (load_up_to(x + i, count) - mean) * rstd;
        const pack d = load_up_to(dy + i, count);
        const pack g = g_at(i, count);
        sum_g = sum_g + g;
        sum_gh = fma(g, h, sum_gh);
        store_up_to(part + i, fma(d, h, load_up_to(part + i, count)), count);
        store_up_to(part + n + i, d + load_up_to(part + n + i, count), count);
    }
    const float g_all = reduce_add(sum_g) / total;
    const float gh_all = reduce_add(sum_gh) / total;
    const pack g_share = pack_of(g_all);
    const pack gh_share = pack_of(gh_all * factor);
    const pack half_gh = pack_of(0.5F * gh_all);
    for (std::size_t i = 0; i < n; i += pack_lanes) {
        const std::size_t count = std::min(pack_lanes, n - i);
        const pack h = (load_up_to(x + i, count) - mean) * rstd;
        const pack g = g_at(i, count);
        const pack w = weight == nullptr ? one : load_up_to(weight + i, count);
        const pack curve = fma(h * h, pack_of(factor), pack_of(-inverse));
        const pack slope = fma(g_share, h, half_gh * curve);
        store_up_to(part + 2 * n + i, load_up_to(part + 2 * n + i, count) - slope, count);
        store_up_to(dx + i, rstd * fnma(w, fma(h, gh_share, g_share), g), count);
    }
}

}  // namespace detail

inline void weighted_layer_norm_backward(matrix_view<const float> x, std::span<const float> weight,
                                         extent created_columns, std::span<const float> gamma,
                                         float eps, weighted_layer_norm_saved<const float> saved,
                                         matrix_view<const float> dy,
                                         weighted_layer_norm_gradients<> gradients) {
    constexpr std::string_view name = "weighted_layer_norm_backward";
    detail::require_gradient(name, x, dy, gradients.x);
    detail::require_weights(name, x, weight, created_columns, gamma, eps);
    detail::require_row_of(name, "gradients.weight", gradients.weight, x.columns);
    detail::require_row_of(name, "gradients.gamma", gradients.gamma, x.columns);
    detail::require_row_of(name, "gradients.beta", gradients.beta, x.columns);
    detail::require_size(name, "saved.mean", saved.mean, x.rows, "one per row of x");
    detail::require_size(name, "saved.deviation", saved.deviation, x.rows, "one per row of x");
    const std::initializer_list<detail::named_bytes> kept = {{"weight", weight},
                                                             {"gamma", gamma},
                                                             {"saved.mean", saved.mean},
                                                             {"saved.deviation", saved.deviation}};
    detail::require_all_apart(name, {{"gradients.x", gradients.x}}, kept);
    const std::initializer_list<detail::named_bytes> sums = {{"gradients.weight", gradients.weight},
                                                             {"gradients.gamma", gradients.gamma},
                                                             {"gradients.beta", gradients.beta}};
    detail::require_all_apart(name, sums, kept);
    detail::require_all_apart(name, sums, {{"x", x}, {"dy", dy}, {"gradients.x", gradients.x}});
    if (x.rows == 0 || x.columns == 0) return;
    const auto n = static_cast<std::size_t>(x.columns);
    const float total = plain::total_weight<float>(weight, x.columns, created_columns);
    const extent height = detail::layer_norm_block;
    const extent blocks = (x.rows + height - 1) / height;
    aligned_vector<float> parts(static_cast<std::size_t>(blocks) * 3 * n, 0.0F);
    parallel_for(blocks, 1, 12 * x.columns * height, [&](extent begin, extent end) {
        for (extent r = begin * height; r < std::min(x.rows, end * height); ++r)
            detail::weighted_layer_norm_backward_row(
                x.row(r).data(), dy.row(r).data(), gradients.x.row(r).data(), n,
                weight.empty() ? nullptr : weight.data(), gamma.empty() ? nullptr : gamma.data(),
                eps, total, saved.mean[static_cast<std::size_t>(r)],
                saved.deviation[static_cast<std::size_t>(r)],
                parts.data() + static_cast<std::size_t>(r / height) * 3 * n);
    });
    for (std::size_t b = 0; b < static_cast<std::size_t>(blocks); ++b) {
        const float* part = parts.data() + b * 3 * n;
        const auto add = [](auto sum, auto v) { return sum + v; };
        const auto into = [&](std::span<float> out, const float* from) {
            detail::row_map(add, out.data(), out.size(), out.data(), from);
        };
        into(gradients.gamma, part);
        into(gradients.beta, part + n);
        into(gradients.weight, part + 2 * n);
    }
}

}  // namespace tare::kernels
