#pragma once
// SPDX-License-Identifier: MIT
// Arithmetic of whole arrays: sums, products, scaled sums, a bias added to every row, and the sum
// of every column (which is the gradient of that bias). Each fast version stands behind its plain
// one, which any scalar type with + and * can run.

#include <algorithm>
#include <span>
#include <type_traits>
#include <vector>

#include <tare/core/aligned.hpp>
#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/map.hpp>

namespace tare::kernels {

/// out = a + b. Sizes equal; `out` may be `a` or `b`.
/// Accuracy: correctly rounded. Throws on unequal sizes or half overlapping memory.
inline void add(std::span<const float> a, std::span<const float> b, std::span<float> out) {
    map(
        "add", 2, [](auto x, auto y) { return x + y; }, out, a, b);
}

/// out = a - b, as add().
inline void subtract(std::span<const float> a, std::span<const float> b, std::span<float> out) {
    map(
        "subtract", 2, [](auto x, auto y) { return x - y; }, out, a, b);
}

/// out = a * b element by element, as add().
inline void multiply(std::span<const float> a, std::span<const float> b, std::span<float> out) {
    map(
        "multiply", 2, [](auto x, auto y) { return x * y; }, out, a, b);
}

/// out = factor * x, as add().
inline void scale(std::span<const float> x, float factor, std::span<float> out) {
    map(
        "scale", 2, [factor](auto v) { return v * simd::like(v, factor); }, out, x);
}

/// y = y + factor * x. Accuracy: one rounding on builds that fuse, two otherwise.
inline void axpy(float factor, std::span<const float> x, std::span<float> y) {
    map(
        "axpy", 2, [factor](auto v, auto sum) { return simd::fma(simd::like(v, factor), v, sum); },
        y, x, std::span<const float>(y));
}

/// out(r, c) = x(r, c) + bias(c). Shapes x, out (R, C), bias (C); `out` may be `x`.
/// Throws on shapes that do not fit or half overlapping memory.
inline void add_to_rows(matrix_view<const float> x, std::span<const float> bias,
                        matrix_view<float> out) {
    detail::require_view("add_to_rows", "x", x);
    detail::require_view("add_to_rows", "out", out);
    detail::require_same_shape("add_to_rows", "x", x, "out", out);
    detail::require_size("add_to_rows", "bias", bias, x.columns, "one per column of x");
    detail::require_same_or_apart("add_to_rows", "x", x, "out", out);
    detail::require_apart("add_to_rows", "bias", bias, "out", out);
    const bool past_caches =
        x.data != out.data &&
        detail::worth_streaming(detail::bytes_of(out).end - detail::bytes_of(out).begin);
    parallel_for(x.rows, 1, 2 * x.columns, [&](extent begin, extent end) {
        for (extent r = begin; r < end; ++r)
            detail::map_values([](auto v, auto b) { return v + b; }, out.row(r).data(),
                               static_cast<std::size_t>(x.columns), past_caches, x.row(r).data(),
                               bias.data());
        if (past_caches) simd::stream_fence();
    });
}

/// out(c) = sum over r of x(r, c); with `accumulate` added to what out holds.
/// Shapes x (R, C), out (C). Accuracy: rows are summed in float in blocks of 64, the blocks one
/// after another: relative error at most (64 + R / 64) * 2^-24 of the sum of absolute values. The
/// order is fixed by R alone. An empty matrix gives zeros.
inline void column_sums(matrix_view<const float> x, std::span<float> out, bool accumulate = false);

/// The same formulas one element at a time, for any scalar.
namespace plain {

template <class Scalar>
void add(std::span<const std::type_identity_t<Scalar>> a,
         std::span<const std::type_identity_t<Scalar>> b, std::span<Scalar> out) {
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = a[i] + b[i];
}
template <class Scalar>
void subtract(std::span<const std::type_identity_t<Scalar>> a,
              std::span<const std::type_identity_t<Scalar>> b, std::span<Scalar> out) {
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = a[i] - b[i];
}
template <class Scalar>
void multiply(std::span<const std::type_identity_t<Scalar>> a,
              std::span<const std::type_identity_t<Scalar>> b, std::span<Scalar> out) {
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = a[i] * b[i];
}
template <class Scalar>
void scale(std::span<const std::type_identity_t<Scalar>> x, std::type_identity_t<Scalar> factor,
           std::span<Scalar> out) {
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = factor * x[i];
}
template <class Scalar>
void axpy(std::type_identity_t<Scalar> factor, std::span<const std::type_identity_t<Scalar>> x,
          std::span<Scalar> y) {
    for (std::size_t i = 0; i < y.size(); ++i)
        y[i] = y[i] + factor * x[i];
}
template <class Scalar>
void add_to_rows(matrix_view<const std::type_identity_t<Scalar>> x,
                 std::span<const std::type_identity_t<Scalar>> bias, matrix_view<Scalar> out) {
    for (extent r = 0; r < x.rows; ++r) {
        for (extent c = 0; c < x.columns; ++c)
            out(r, c) = x(r, c) + bias[static_cast<std::size_t>(c)];
    }
}
template <class Scalar>
void column_sums(matrix_view<const std::type_identity_t<Scalar>> x, std::span<Scalar> out,
                 bool accumulate = false) {
    for (extent c = 0; c < x.columns; ++c) {
        Scalar& sum = out[static_cast<std::size_t>(c)];
        if (!accumulate) sum = Scalar(0);
        for (extent r = 0; r < x.rows; ++r)
            sum = sum + x(r, c);
    }
}

}  // namespace plain

namespace detail {

/// Columns [c, c + 16 * Packs) of column_sums, the last pack `last` columns wide.
template <int Packs>
void column_stripe(matrix_view<const float> x, extent c, std::size_t last, float* out,
                   bool accumulate) {
    using simd::pack;
    const auto load = [&](const float* p, int u) {
        return u == Packs - 1 && last < simd::pack_lanes ? simd::load_pack(p + 16 * u, last)
                                                         : simd::load_pack(p + 16 * u);
    };
    pack total[Packs];
    for (int u = 0; u < Packs; ++u)
        total[u] = accumulate ? load(out + c, u) : simd::pack_of(0.0F);
    for (extent block = 0; block < x.rows; block += 64) {
        const extent end = std::min(x.rows, block + 64);
        pack sum[Packs];
        for (int u = 0; u < Packs; ++u)
            sum[u] = simd::pack_of(0.0F);
        for (extent r = block; r < end; ++r) {
            for (int u = 0; u < Packs; ++u)
                sum[u] = sum[u] + load(x.data + r * x.stride + c, u);
        }
        for (int u = 0; u < Packs; ++u)
            total[u] = total[u] + sum[u];
    }
    for (int u = 0; u < Packs; ++u) {
        if (u == Packs - 1)
            store(out + c + 16 * u, total[u], last);
        else
            store(out + c + 16 * u, total[u]);
    }
}

}  // namespace detail

inline void column_sums(matrix_view<const float> x, std::span<float> out, bool accumulate) {
    detail::require_view("column_sums", "x", x);
    detail::require_size("column_sums", "out", out, x.columns, "one per column of x");
    detail::require_apart("column_sums", "x", x, "out", out);
    // Threads own columns, so that each column is one thread's sum in one order.
    parallel_for(x.columns, 64, x.rows, [&](extent begin, extent end) {
        extent c = begin;
        for (; c + 64 <= end; c += 64)
            detail::column_stripe<4>(x, c, 16, out.data(), accumulate);
        for (; c < end; c += 16)
            detail::column_stripe<1>(x, c, static_cast<std::size_t>(std::min<extent>(16, end - c)),
                                     out.data(), accumulate);
    });
}

}  // namespace tare::kernels
