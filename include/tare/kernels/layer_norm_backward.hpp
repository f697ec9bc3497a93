#pragma once
// SPDX-License-Identifier: MIT
// The gradients of a layer norm (layer_norm.hpp) of rows:
//   g = dy gamma,  h = (x - mean) rstd,  dx = rstd (g - (sum(g) + h sum(g h)) / C)
//   dgamma += sum over rows of dy h,  dbeta += sum over rows of dy
// Two passes over a row: its sums with its part of the column sums, then dx. Column sums close
// every 64 rows and add the blocks in order: the same bits for any number of threads.

#include <algorithm>
#include <span>
#include <type_traits>

#include <tare/core/aligned.hpp>
#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/scalar.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/row.hpp>

namespace tare::kernels {

/// The formulas for any scalar with + - * /.
namespace plain {

template <class Scalar>
void layer_norm_backward(matrix_view<const std::type_identity_t<Scalar>> x,
                         std::span<const std::type_identity_t<Scalar>> gamma,
                         std::span<const std::type_identity_t<Scalar>> mean,
                         std::span<const std::type_identity_t<Scalar>> rstd,
                         matrix_view<const std::type_identity_t<Scalar>> dy, matrix_view<Scalar> dx,
                         std::span<std::type_identity_t<Scalar>> dgamma,
                         std::span<std::type_identity_t<Scalar>> dbeta) {
    const Scalar count = constant<Scalar>(static_cast<double>(x.columns));
    for (extent r = 0; r < x.rows; ++r) {
        const Scalar m = mean[static_cast<std::size_t>(r)];
        const Scalar s = rstd[static_cast<std::size_t>(r)];
        Scalar sum_g = Scalar(0);
        Scalar sum_gh = Scalar(0);
        for (extent c = 0; c < x.columns; ++c) {
            const auto i = static_cast<std::size_t>(c);
            const Scalar h = (x(r, c) - m) * s;
            const Scalar g = gamma.empty() ? dy(r, c) : dy(r, c) * gamma[i];
            sum_g = sum_g + g;
            sum_gh = sum_gh + g * h;
            if (!dgamma.empty()) dgamma[i] = dgamma[i] + dy(r, c) * h;
            if (!dbeta.empty()) dbeta[i] = dbeta[i] + dy(r, c);
        }
        for (extent c = 0; c < x.columns; ++c) {
            const Scalar h = (x(r, c) - m) * s;
            const Scalar g =
                gamma.empty() ? dy(r, c) : dy(r, c) * gamma[static_cast<std::size_t>(c)];
            dx(r, c) = s * (g - (sum_g + h * sum_gh) / count);
        }
    }
}

}  // namespace plain

namespace detail {

/// Rows whose column sums are closed before the next ones start.
inline constexpr extent layer_norm_block = 64;

/// dx of rows [begin, end) and their part of dgamma and dbeta (written to part, 2 C values).
inline void layer_norm_backward_block(matrix_view<const float> x, const float* gamma,
                                      std::span<const float> mean, std::span<const float> rstd,
                                      matrix_view<const float> dy, matrix_view<float> dx,
                                      extent begin, extent end, float* part) {
    using simd::pack;
    const auto n = static_cast<std::size_t>(x.columns);
    const float per_column = 1.0F / static_cast<float>(x.columns);
    std::fill_n(part, 2 * n, 0.0F);
    for (extent r = begin; r < end; ++r) {
        const float* in = x.row(r).data();
        const float* up = dy.row(r).data();
        const float row_mean = mean[static_cast<std::size_t>(r)];
        const float row_rstd = rstd[static_cast<std::size_t>(r)];
        const pack m = simd::pack_of(row_mean);
        const pack s = simd::pack_of(row_rstd);
        pack sum_g[2] = {simd::pack_of(0.0F), simd::pack_of(0.0F)};
        pack sum_gh[2] = {sum_g[0], sum_g[0]};
        std::size_t turn = 0;
        for (std::size_t i = 0; i < n; i += simd::pack_lanes, turn ^= 1U) {
            const std::size_t count = std::min(simd::pack_lanes, n - i);
            // Lanes past the end hold dy = 0 and add nothing.
            const pack d = load_up_to(up + i, count);
            const pack h = (load_up_to(in + i, count) - m) * s;
            const pack g = gamma == nullptr ? d : d * load_up_to(gamma + i, count);
            sum_g[turn] = sum_g[turn] + g;
            sum_gh[turn] = simd::fma(g, h, sum_gh[turn]);
            store_up_to(part + i, simd::fma(d, h, load_up_to(part + i, count)), count);
            store_up_to(part + n + i, d + load_up_to(part + n + i, count), count);
        }
        const float g_mean = reduce_add(sum_g[0] + sum_g[1]) * per_column;
        const float gh_mean = reduce_add(sum_gh[0] + sum_gh[1]) * per_column;
        float* out = dx.row(r).data();
        const auto back = [&](auto v, auto g) {
            const auto h = (v - like(v, row_mean)) * like(v, row_rstd);
            return like(v, row_rstd) * (g - fma(h, like(v, gh_mean), like(v, g_mean)));
        };
        if (gamma == nullptr)
            row_map(back, out, n, in, up);
        else
            row_map([&back](auto v, auto d, auto w) { return back(v, d * w); }, out, n, in, up,
                    gamma);
    }
}

}  // namespace detail

/// Gradients. Shapes x, dy, dx (R, C), gamma (C) or empty, mean, rstd (R) as layer_norm saved
/// them; dx is written and may be `dy`; dgamma and dbeta (C) or empty are added to.
/// NaN: a row with one, or whose mean or rstd is one, gives NaN. Accuracy: sums of C and R terms as
/// row_sum, dx within a few roundings of its terms. Throws on shapes that do not fit and half
/// overlapping memory.
inline void layer_norm_backward(matrix_view<const float> x, std::span<const float> gamma,
                                std::span<const float> mean, std::span<const float> rstd,
                                matrix_view<const float> dy, matrix_view<float> dx,
                                std::span<float> dgamma, std::span<float> dbeta) {
    detail::require_gradient("layer_norm_backward", x, dy, dx);
    detail::require_row_of("layer_norm_backward", "gamma", gamma, x.columns);
    detail::require_row_of("layer_norm_backward", "dgamma", dgamma, x.columns);
    detail::require_row_of("layer_norm_backward", "dbeta", dbeta, x.columns);
    detail::require_size("layer_norm_backward", "mean", mean, x.rows, "one per row of x");
    detail::require_size("layer_norm_backward", "rstd", rstd, x.rows, "one per row of x");
    detail::require_all_apart("layer_norm_backward", {{"dx", dx}},
                              {{"gamma", gamma}, {"mean", mean}, {"rstd", rstd}});
    detail::require_all_apart(
        "layer_norm_backward", {{"dgamma", dgamma}, {"dbeta", dbeta}},
        {{"x", x}, {"dy", dy}, {"dx", dx}, {"gamma", gamma}, {"mean", mean}, {"rstd", rstd}});
    if (x.rows == 0 || x.columns == 0) return;
    const extent blocks = (x.rows + detail::layer_norm_block - 1) / detail::layer_norm_block;
    const auto width = static_cast<std::size_t>(2 * x.columns);
    aligned_vector<float> parts(static_cast<std::size_t>(blocks) * width);
    const float* w = gamma.empty() ? nullptr : gamma.data();
    parallel_for(blocks, 1, 8 * x.columns * detail::layer_norm_block,
                 [&](extent begin, extent end) {
                     for (extent b = begin; b < end; ++b)
                         detail::layer_norm_backward_block(
                             x, w, mean, rstd, dy, dx, b * detail::layer_norm_block,
                             std::min(x.rows, (b + 1) * detail::layer_norm_block),
                             parts.data() + static_cast<std::size_t>(b) * width);
                 });
    for (std::size_t b = 0; b < static_cast<std::size_t>(blocks); ++b) {
        const float* part = parts.data() + b * width;
        const auto add = [](auto sum, auto v) { return sum + v; };
        detail::row_map(add, dgamma.data(), dgamma.size(), dgamma.data(), part);
        detail::row_map(add, dbeta.data(), dbeta.size(), dbeta.data(), part + width / 2);
    }
}

}  // namespace tare::kernels
