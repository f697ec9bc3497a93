#pragma once
// SPDX-License-Identifier: MIT
// softmax, its logarithm and the logarithm of its denominator, row by row, with their gradients.
//   softmax(x)_c = e^(x_c - m) / s,  s = sum_c e^(x_c - m),  m = max_c x_c
//   log_softmax(x)_c = (x_c - m) - ln s,  log_sum_exp(x) = m + ln s
// A row is read three times while it is in the near caches: maximum, exponentials with their sum,
// division. Sums run over 64 virtual lanes in blocks of 2048 columns, an order fixed by the row's
// length alone, so results depend neither on threads nor on the register width.

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <type_traits>

#include <tare/core/aligned.hpp>
#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/row.hpp>
#include <tare/kernels/vector_math.hpp>

namespace tare::kernels {

/// Probabilities of each row. Shapes x, y (R, C); `y` may be `x`.
/// NaN: a row with a NaN or +inf, or of -inf only, becomes NaN; other -inf become exactly 0, and so
/// do values more than 87.33 below the maximum.
/// Accuracy: each value within 4 ulp + the error of the sum, at most (C / 2048 + 40) * 2^-24.
/// Throws on unequal shapes or half overlapping memory.
inline void softmax(matrix_view<const float> x, matrix_view<float> y);

/// Logarithms of those probabilities. Shapes, NaN and throws as softmax().
/// Accuracy: absolute error at most 2^-24 (2 |y| + C / 2048 + 44).
inline void log_softmax(matrix_view<const float> x, matrix_view<float> y);

/// ln of the sum of exponentials of each row. Shapes x (R, C), out (R). An empty row gives -inf.
/// NaN: any NaN gives NaN; rows of -inf only give -inf, a +inf gives +inf.
inline void log_sum_exp(matrix_view<const float> x, std::span<float> out);

/// dx = y * (dy - sum_c dy_c y_c), y = softmax(x). Shapes (R, C); `dx` may be `dy`.
inline void softmax_backward(matrix_view<const float> y, matrix_view<const float> dy,
                             matrix_view<float> dx);

/// dx = dy - e^y sum_c dy_c, y = log_softmax(x). Shapes (R, C); `dx` may be `dy`.
inline void log_softmax_backward(matrix_view<const float> y, matrix_view<const float> dy,
                                 matrix_view<float> dx);

/// The formulas above for any scalar with + - * / <, exp and log.
namespace plain {

namespace detail {
/// Maximum and sum of exponentials of one row of at least one value.
template <class Scalar>
struct row_scale {
    Scalar maximum;
    Scalar sum;
};
template <class Scalar>
row_scale<Scalar> scale_of(std::span<const Scalar> row) {
    using std::exp;
    Scalar maximum = row[0];
    for (const Scalar& v : row)
        maximum = maximum < v ? v : maximum;
    Scalar sum = Scalar(0);
    for (const Scalar& v : row)
        sum = sum + exp(v - maximum);
    return {maximum, sum};
}
}  // namespace detail

template <class Scalar>
void softmax(matrix_view<const std::type_identity_t<Scalar>> x, matrix_view<Scalar> y) {
    using std::exp;
    for (extent r = 0; r < x.rows && x.columns > 0; ++r) {
        const auto [maximum, sum] = detail::scale_of<Scalar>(x.row(r));
        for (extent c = 0; c < x.columns; ++c)
            y(r, c) = exp(x(r, c) - maximum) / sum;
    }
}
template <class Scalar>
void log_softmax(matrix_view<const std::type_identity_t<Scalar>> x, matrix_view<Scalar> y) {
    using std::log;
    for (extent r = 0; r < x.rows && x.columns > 0; ++r) {
        const auto [maximum, sum] = detail::scale_of<Scalar>(x.row(r));
        const Scalar log_of_sum = log(sum);
        for (extent c = 0; c < x.columns; ++c)
            y(r, c) = (x(r, c) - maximum) - log_of_sum;
    }
}
template <class Scalar>
void log_sum_exp(matrix_view<const std::type_identity_t<Scalar>> x, std::span<Scalar> out) {
    using std::log;
    for (extent r = 0; r < x.rows; ++r) {
        const auto [maximum, sum] = detail::scale_of<Scalar>(x.row(r));
        out[static_cast<std::size_t>(r)] = maximum + log(sum);
    }
}
template <class Scalar>
void softmax_backward(matrix_view<const std::type_identity_t<Scalar>> y,
                      matrix_view<const std::type_identity_t<Scalar>> dy, matrix_view<Scalar> dx) {
    for (extent r = 0; r < y.rows; ++r) {
        Scalar dot = Scalar(0);
        for (extent c = 0; c < y.columns; ++c)
            dot = dot + dy(r, c) * y(r, c);
        for (extent c = 0; c < y.columns; ++c)
            dx(r, c) = y(r, c) * (dy(r, c) - dot);
    }
}
template <class Scalar>
void log_softmax_backward(matrix_view<const std::type_identity_t<Scalar>> y,
                          matrix_view<const std::type_identity_t<Scalar>> dy,
                          matrix_view<Scalar> dx) {
    using std::exp;
    for (extent r = 0; r < y.rows; ++r) {
        Scalar sum = Scalar(0);
        for (extent c = 0; c < y.columns; ++c)
            sum = sum + dy(r, c);
        for (extent c = 0; c < y.columns; ++c)
            dx(r, c) = dy(r, c) - exp(y(r, c)) * sum;
    }
}

}  // namespace plain

namespace detail {

/// Columns of a row of exponentials that stays in the second cache: 512 KiB.
inline constexpr std::size_t held_columns = 128 * 1024;

/// Sum of e^(x - maximum); with Write also y = those exponentials (y may be x). `beside(at)` is
/// called for each wide pack, the one at `at`: what else a thread may do meanwhile.
template <bool Write, class Beside>
inline float row_exp_sum(const float* x, std::size_t n, float maximum, float* y,
                         const Beside& beside) {
    // Always inline: a call would pass the packs through memory.
    return row_sum_at(
        [=](std::size_t at, std::size_t count, const auto& v) __attribute__((always_inline)) {
            const auto e = vector_math::exp_nonpositive(v - like(v, maximum));
            beside(at);
            if constexpr (Write) {
                prefetch_wide(y + at);
                if (count == simd::wide_lanes)
                    store(y + at, e);
                else
                    store(y + at, e, count);
            }
            return e;
        },
        n, -std::numeric_limits<float>::infinity(), x);
}
template <bool Write>
inline float row_exp_sum(const float* x, std::size_t n, float maximum, float* y) {
    return row_exp_sum<Write>(x, n, maximum, y, [](std::size_t) {});
}

}  // namespace detail

inline void softmax(matrix_view<const float> x, matrix_view<float> y) {
    detail::require_rows("softmax", x, y);
    const auto n = static_cast<std::size_t>(x.columns);
    // Exponentials of a row that the second cache holds wait there, not in y: y is then written
    // once, without being read.
    const bool past_caches = n <= detail::held_columns && detail::rows_worth_streaming(x, y);
    parallel_for(x.rows, 1, 6 * x.columns, [&](extent begin, extent end) {
        aligned_vector<float> held(past_caches ? n : 0);
        for (extent r = begin; r < end; ++r) {
            const float* in = x.row(r).data();
            float* out = y.row(r).data();
            float* exponentials = past_caches ? held.data() : out;
            const float maximum = detail::row_max(in, n);
            const float sum = detail::row_exp_sum<true>(in, n, maximum, exponentials);
            const float factor = 1.0F / sum;
            detail::map_values([factor](auto e) { return e * like(e, factor); }, out, n,
                               past_caches, exponentials);
        }
        if (past_caches) simd::stream_fence();
    });
}

inline void log_softmax(matrix_view<const float> x, matrix_view<float> y) {
    detail::require_rows("log_softmax", x, y);
    const auto n = static_cast<std::size_t>(x.columns);
    const bool past_caches = detail::rows_worth_streaming(x, y);
    parallel_for(x.rows, 1, 6 * x.columns, [&](extent begin, extent end) {
        for (extent r = begin; r < end; ++r) {
            const float* in = x.row(r).data();
            const float maximum = detail::row_max(in, n);
            const float sum = detail::row_exp_sum<false>(in, n, maximum, nullptr);
            const float log_of_sum = std::log(sum);
            detail::map_values([&](auto v) { return (v - like(v, maximum)) - like(v, log_of_sum); },
                               y.row(r).data(), n, past_caches, in);
        }
        if (past_caches) simd::stream_fence();
    });
}

inline void log_sum_exp(matrix_view<const float> x, std::span<float> out) {
    detail::require_view("log_sum_exp", "x", x);
    detail::require_size("log_sum_exp", "out", out, x.rows, "one per row of x");
    detail::require_apart("log_sum_exp", "x", x, "out", out);
    const auto n = static_cast<std::size_t>(x.columns);
    detail::each_row(x.rows, 5 * x.columns, [&](extent r) {
        const float* in = x.row(r).data();
        const float maximum = detail::row_max(in, n);
        float& result = out[static_cast<std::size_t>(r)];
        if (std::isinf(maximum)) {
            // The maximum is the answer itself, unless a NaN hides in the row.
            const bool has_nan = std::any_of(in, in + n, [](float v) { return std::isnan(v); });
            result = has_nan ? std::numeric_limits<float>::quiet_NaN() : maximum;
            return;
        }
        result = maximum + std::log(detail::row_exp_sum<false>(in, n, maximum, nullptr));
    });
}

inline void softmax_backward(matrix_view<const float> y, matrix_view<const float> dy,
                             matrix_view<float> dx) {
    detail::require_gradient("softmax_backward", y, dy, dx);
    const auto n = static_cast<std::size_t>(y.columns);
    detail::each_row(y.rows, 3 * y.columns, [&](extent r) {
        const float* p = y.row(r).data();
        const float* g = dy.row(r).data();
        const float dot = detail::row_sum([](auto a, auto b) { return a * b; }, n, p, g);
        detail::row_map([dot](auto a, auto b) { return a * (b - like(b, dot)); }, dx.row(r).data(),
                        n, p, g);
    });
}

inline void log_softmax_backward(matrix_view<const float> y, matrix_view<const float> dy,
                                 matrix_view<float> dx) {
    detail::require_gradient("log_softmax_backward", y, dy, dx);
    const auto n = static_cast<std::size_t>(y.columns);
    detail::each_row(y.rows, 6 * y.columns, [&](extent r) {
        const float* g = dy.row(r).data();
        const float sum = detail::row_sum([](auto v) { return v; }, n, g);
        detail::row_map(
            [sum](auto l, auto v) {
                return fnma(vector_math::exp_nonpositive(l), like(v, sum), v);
            },
            dx.row(r).data(), n, y.row(r).data(), g);
    });
}

}  // namespace tare::kernels
