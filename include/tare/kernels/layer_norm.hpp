#pragma once
// SPDX-License-Identifier: MIT
// Layer normalisation of rows:
//   y = (x - mean) rstd gamma + beta,  rstd = 1 / sqrt(variance + eps), variance biased.
// Source: Ba, Kiros, Hinton 2016, "Layer normalization", section 3.
// Four rows travel together so that the latencies of their horizontal sums overlap; each is read
// twice from the near caches for its statistics (sum, then squared deviations: one pass would
// cancel digits) and once for the result. Sums have the fixed order of core/pack.hpp.

#include <algorithm>
#include <cmath>
#include <span>
#include <type_traits>

#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/core/scalar.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/map.hpp>
#include <tare/kernels/row.hpp>

namespace tare::kernels {

/// What a layer norm keeps for its gradient, one value a row each; empty spans keep nothing.
template <class Scalar = float>
struct layer_norm_saved {
    std::span<Scalar> mean = {};
    std::span<Scalar> rstd = {};
};

/// Normalises each row. Shapes x, y (R, C), gamma, beta (C) or empty for 1 and 0; `y` may be `x`.
/// NaN: a row with NaN or an infinity becomes NaN.
/// Accuracy: |error| <= 2^-24 (4 |y| + (8 + C / 2048) |gamma| (1 + |mean| rstd)).
/// Throws on shapes that do not fit, a negative eps, or half overlapping memory.
inline void layer_norm(matrix_view<const float> x, std::span<const float> gamma,
                       std::span<const float> beta, float eps, matrix_view<float> y,
                       layer_norm_saved<> saved = {});

/// The same formulas for any scalar with + - * / and sqrt.
namespace plain {

template <class Scalar>
void layer_norm(matrix_view<const std::type_identity_t<Scalar>> x,
                std::span<const std::type_identity_t<Scalar>> gamma,
                std::span<const std::type_identity_t<Scalar>> beta,
                std::type_identity_t<Scalar> eps, matrix_view<Scalar> y,
                layer_norm_saved<std::type_identity_t<Scalar>> saved = {}) {
    // Each value is centred once, nothing is added to zero: 7 C + 2 operations a row.
    const Scalar count = constant<Scalar>(static_cast<double>(x.columns));
    for (extent r = 0; r < x.rows; ++r) {
        if (x.columns == 0) continue;
        Scalar sum = x(r, 0);
        for (extent c = 1; c < x.columns; ++c)
            sum = sum + x(r, c);
        const Scalar mean = sum / count;
        Scalar squares{};
        for (extent c = 0; c < x.columns; ++c) {
            y(r, c) = x(r, c) - mean;
            squares = c == 0 ? y(r, c) * y(r, c) : squares + y(r, c) * y(r, c);
        }
        const Scalar rstd = inverse_root(Scalar(squares / count + eps));
        for (extent c = 0; c < x.columns; ++c) {
            const auto i = static_cast<std::size_t>(c);
            Scalar v = y(r, c) * rstd;
            if (!gamma.empty()) v = v * gamma[i];
            if (!beta.empty()) v = v + beta[i];
            y(r, c) = v;
        }
        if (!saved.mean.empty()) saved.mean[static_cast<std::size_t>(r)] = mean;
        if (!saved.rstd.empty()) saved.rstd[static_cast<std::size_t>(r)] = rstd;
    }
}

}  // namespace plain

namespace detail {

/// Sums of f(x) of `Rows` rows (1 or 4) at once; every row in the order a single row would have.
template <int Rows, class F>
[[gnu::always_inline]] inline void rows_sum(const float* const (&x)[Rows], std::size_t n, F f,
                                            float (&out)[Rows]) {
    using simd::pack;
    constexpr std::size_t step = simd::pack_lanes;
    const pack zero = simd::pack_of(0.0F);
    pack total[Rows];
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r)
        total[r] = zero;
    for (std::size_t block = 0; block < n; block += sum_block) {
        const std::size_t end = std::min(n, block + sum_block);
        pack even[Rows];
        pack odd[Rows];
#pragma GCC unroll 4
        for (int r = 0; r < Rows; ++r)
            even[r] = odd[r] = zero;
        std::size_t i = block;
        for (; i + 2 * step <= end; i += 2 * step) {
#pragma GCC unroll 4
            for (int r = 0; r < Rows; ++r) {
                even[r] = f(simd::load_pack(x[r] + i), r, even[r]);
                odd[r] = f(simd::load_pack(x[r] + i + step), r, odd[r]);
            }
        }
        if (i + step <= end) {
#pragma GCC unroll 4
            for (int r = 0; r < Rows; ++r)
                even[r] = f(simd::load_pack(x[r] + i), r, even[r]);
            i += step;
        }
        if (i < end) {
#pragma GCC unroll 4
            for (int r = 0; r < Rows; ++r) {
                const pack grown = f(simd::load_pack(x[r] + i, end - i), r, odd[r]);
                odd[r] = first_lanes(grown, end - i, odd[r]);
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < Rows; ++r)
            total[r] = total[r] + (even[r] + odd[r]);
    }
    if constexpr (Rows == 4)
        simd::reduce_add(total, out);
    else
        out[0] = reduce_add(total[0]);
}

/// Up to four rows on their way: statistics first, results later.
template <int Rows>
struct norm_group {
    const float* in[Rows] = {};
    float mean[Rows] = {};
    float rstd[Rows] = {};

    void find_mean(matrix_view<const float> x, extent first) {
        for (int r = 0; r < Rows; ++r)
            in[r] = x.row(first + r).data();
        const auto add = [](const simd::pack& v, int, const simd::pack& acc) { return acc + v; };
        rows_sum<Rows>(in, static_cast<std::size_t>(x.columns), add, mean);
        for (int r = 0; r < Rows; ++r)
            mean[r] /= static_cast<float>(x.columns);
    }
    void find_rstd(extent columns, float eps) {
        const auto square = [this](const simd::pack& v, int r, const simd::pack& acc) {
            const simd::pack d = v - simd::pack_of(mean[r]);
            return fma(d, d, acc);
        };
        rows_sum<Rows>(in, static_cast<std::size_t>(columns), square, rstd);
        for (int r = 0; r < Rows; ++r)
            rstd[r] = 1.0F / std::sqrt(rstd[r] / static_cast<float>(columns) + eps);
    }
    void write(int r, std::size_t n, const float* gamma, const float* beta, float* out,
               bool past_caches) const {
        const float m = mean[r];
        const float s = rstd[r];
        const auto normal = [m, s](auto v) { return (v - like(v, m)) * like(v, s); };
        if (gamma != nullptr && beta != nullptr)
            map_values([=](auto v, auto w, auto b) { return fma(normal(v), w, b); }, out, n,
                       past_caches, in[r], gamma, beta);
        else if (gamma != nullptr)
            map_values([=](auto v, auto w) { return normal(v) * w; }, out, n, past_caches, in[r],
                       gamma);
        else if (beta != nullptr)
            map_values([=](auto v, auto b) { return normal(v) + b; }, out, n, past_caches, in[r],
                       beta);
        else
            map_values(normal, out, n, past_caches, in[r]);
    }
};

/// Everything the rows of one call share.
struct norm_call {
    matrix_view<const float> x;
    const float* gamma;
    const float* beta;
    float eps;
    matrix_view<float> y;
    layer_norm_saved<> saved;
    bool past_caches;

    /// Asks for the beginning of a row of x (4 KiB; beyond it the machine's own prefetching
    /// follows): between the short rows of one group and those of the next the memory system would
    /// rest.
    void fetch_row(extent r) const {
        constexpr extent line = 16;  // floats
        for (extent c = 0; c < std::min(x.columns, extent{1024}); c += line)
            simd::prefetch_early(x.data, r * x.stride + c);
    }
    template <int Rows>
    void write(const norm_group<Rows>& group, extent first, int begin, int end) const {
        for (int r = begin; r < end; ++r) {
            const auto at = static_cast<std::size_t>(first + r);
            if (!saved.mean.empty()) saved.mean[at] = group.mean[r];
            if (!saved.rstd.empty()) saved.rstd[at] = group.rstd[r];
            if (past_caches) fetch_row(first + r + 8);
            group.write(r, static_cast<std::size_t>(x.columns), gamma, beta,
                        y.row(first + r).data(), past_caches);
        }
    }

    /// Rows [begin, end): each half of a group's results is written while the horizontal sums of
    /// the next group are on their way.
    void run(extent begin, extent end) const {
        const extent last = begin + (end - begin) / 4 * 4;
        norm_group<4> now;
        if (begin < last) {
            now.find_mean(x, begin);
            now.find_rstd(x.columns, eps);
        }
        for (extent r = begin; r < last; r += 4) {
            norm_group<4> next = now;
            const bool more = r + 4 < last;
            if (more) next.find_mean(x, r + 4);
            write(now, r, 0, 2);
            if (more) next.find_rstd(x.columns, eps);
            write(now, r, 2, 4);
            now = next;
        }
        for (extent r = last; r < end; ++r) {
            norm_group<1> one;
            one.find_mean(x, r);
            one.find_rstd(x.columns, eps);
            write(one, r, 0, 1);
        }
        if (past_caches) simd::stream_fence();
    }
};

}  // namespace detail

inline void layer_norm(matrix_view<const float> x, std::span<const float> gamma,
                       std::span<const float> beta, float eps, matrix_view<float> y,
                       layer_norm_saved<> saved) {
    detail::require_rows("layer_norm", x, y);
    detail::require_row_of("layer_norm", "gamma", gamma, x.columns);
    detail::require_row_of("layer_norm", "beta", beta, x.columns);
    detail::require_apart("layer_norm", "gamma", gamma, "y", y);
    detail::require_apart("layer_norm", "beta", beta, "y", y);
    require(eps >= 0, "layer_norm: eps is ", eps, "; it must not be negative");
    if (!saved.mean.empty())
        detail::require_size("layer_norm", "saved.mean", saved.mean, x.rows, "one per row of x");
    if (!saved.rstd.empty())
        detail::require_size("layer_norm", "saved.rstd", saved.rstd, x.rows, "one per row of x");
    detail::require_all_apart("layer_norm",
                              {{"saved.mean", saved.mean}, {"saved.rstd", saved.rstd}},
                              {{"x", x}, {"y", y}, {"gamma", gamma}, {"beta", beta}});
    if (x.columns == 0) return;
    const bool past_caches = detail::rows_worth_streaming(x, y);
    const float* w = gamma.empty() ? nullptr : gamma.data();
    const float* b = beta.empty() ? nullptr : beta.data();
    const detail::norm_call call = {x, w, b, eps, y, saved, past_caches};
    parallel_for(x.rows, 4, 4 * x.columns, [&](extent begin, extent end) { call.run(begin, end); });
}

}  // namespace tare::kernels
