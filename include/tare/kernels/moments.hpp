#pragma once
// SPDX-License-Identifier: MIT
// Mean and variance of an array, in one pass over memory: each block gives its mean m and its
// squared deviations S, and blocks are joined by the formula of Chan, Golub and LeVeque 1983,
// "Algorithms for computing the sample variance", equation 2.1.
//     m = sum x / n,   S = sum x^2 - n m^2              where 4 n m^2 <= S
//                      S = sum (x - m)^2                otherwise
// The first form costs one pass over a block and cancels nothing where it is used; the other reads
// the block again, from the first cache.

#include <cmath>
#include <limits>
#include <span>

#include <tare/kernels/arguments.hpp>
#include <tare/kernels/reduce_tree.hpp>

namespace tare::kernels {

/// Mean and biased variance.
template <class Scalar = float>
struct moments {
    Scalar mean;
    Scalar variance;
};

/// The formulas one value at a time, for any scalar.
namespace plain {

template <class Scalar>
Scalar sum(std::span<const Scalar> x) {
    Scalar total = Scalar(0);
    for (const Scalar& v : x)
        total = total + v;
    return total;
}
template <class Scalar>
Scalar dot(std::span<const Scalar> a, std::span<const Scalar> b) {
    Scalar total = Scalar(0);
    for (std::size_t i = 0; i < a.size(); ++i)
        total = total + a[i] * b[i];
    return total;
}
/// At least one value.
template <class Scalar>
moments<Scalar> mean_and_variance(std::span<const Scalar> x) {
    const Scalar count = Scalar(static_cast<float>(x.size()));
    const Scalar mean = plain::sum(x) / count;
    Scalar squares = Scalar(0);
    for (const Scalar& v : x)
        squares = squares + (v - mean) * (v - mean);
    return {mean, squares / count};
}
}  // namespace plain

namespace detail {

/// Values whose deviations are summed together: they stay in the first cache (32 KiB).
inline constexpr extent moments_block = 8192;

/// Count, mean and sum of squared deviations of a part, in double.
struct partial_moments {
    double count = 0;
    double mean = 0;
    double squares = 0;
};
[[nodiscard]] inline partial_moments join_moments(const partial_moments& a,
                                                  const partial_moments& b) {
    const double count = a.count + b.count;
    const double gap = b.mean - a.mean;
    return {count, a.mean + gap * (b.count / count),
            a.squares + b.squares + gap * gap * (a.count * b.count / count)};
}

/// Squared deviations of a block from `center`, in a pass of their own.
inline double squared_deviations(const float* p, extent count, float center) {
    const simd::pack zero = simd::pack_of(0.0F);
    simd::pack squares[8] = {zero, zero, zero, zero, zero, zero, zero, zero};
    const simd::pack shift = simd::pack_of(center);
    const extent whole = count / 16 * 16;
    accumulate(
        0, whole,
        [shift](auto a, auto v) {
            const auto d = v - shift;
            return simd::fma(d, d, a);
        },
        squares, p);
    double tail = 0;
    for (extent i = whole; i < count; ++i) {
        const double d = static_cast<double>(p[i] - center);
        tail += d * d;
    }
    return static_cast<double>(fold_sum(squares)) + tail;
}

/// One block: at most moments_block values, at least one.
inline partial_moments block_moments(const float* p, extent count) {
    const simd::pack zero = simd::pack_of(0.0F);
    simd::pack sums[8] = {zero, zero, zero, zero, zero, zero, zero, zero};
    simd::pack squares[8] = {zero, zero, zero, zero, zero, zero, zero, zero};
    extent i = 0;
    for (; i + 128 <= count; i += 128) {
#pragma GCC unroll 8
        for (extent u = 0; u < 8; ++u) {
            const simd::pack v = held(simd::load_pack(p + i + 16 * u));
            sums[u] = sums[u] + v;
            squares[u] = simd::fma(v, v, squares[u]);
        }
    }
    for (; i < count; i += 16) {
        const auto left = static_cast<std::size_t>(std::min<extent>(16, count - i));
        const simd::pack v = load_up_to(p + i, left);
        sums[0] = sums[0] + v;
        squares[0] = simd::fma(v, v, squares[0]);
    }
    const auto n = static_cast<double>(count);
    const double sum = static_cast<double>(fold_sum(sums));
    const double mean = sum / n;
    const double raw = static_cast<double>(fold_sum(squares));
    const double deviations = raw - sum * mean;
    // The second form also where squares overflowed or met a NaN.
    const bool safe = 4.0 * sum * mean <= deviations && !std::isinf(raw);
    if (safe) return {n, mean, deviations};
    const float center = static_cast<float>(mean);
    return {n, static_cast<double>(center), squared_deviations(p, count, center)};
}

}  // namespace detail

/// Mean and biased variance. NaN for an empty array; the variance is infinite where the squared
/// deviations of 8192 values in a row add up to more than 3.4e38.
/// Accuracy: mean as sum(); variance within 300 * 2^-24 relative plus the square of the mean's
/// error. (A lane sums 64 values, a fold 10 more: 74 2^-24 of sum x^2 <= 1.25 S, and of sum |x|,
/// which moves n m^2 by 74 2^-24 * 2 |m| sum |x| <= 83 2^-24 S.)
[[nodiscard]] inline moments<> mean_and_variance(std::span<const float> x) {
    detail::require_memory("mean_and_variance", "x", x);
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    if (x.empty()) return {nan, nan};
    const auto out = detail::reduce_blocks(
        static_cast<extent>(x.size()), detail::moments_block,
        [p = x.data()](extent begin, extent end) {
            return detail::block_moments(p + begin, end - begin);
        },
        detail::join_moments);
    return {static_cast<float>(out.mean), static_cast<float>(out.squares / out.count)};
}

}  // namespace tare::kernels
