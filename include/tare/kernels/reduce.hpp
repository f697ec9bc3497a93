#pragma once
// SPDX-License-Identifier: MIT
// One number from an array: sum and dot product here; extremes and the position of the maximum in
// extremes.hpp, mean and variance in moments.hpp, both of which this includes. The order of every
// sum is that of reduce_tree.hpp; blocks are added in double. NaN goes through every function.

#include <span>

#include <tare/kernels/arguments.hpp>
#include <tare/kernels/extremes.hpp>
#include <tare/kernels/moments.hpp>
#include <tare/kernels/reduce_tree.hpp>

namespace tare::kernels {

/// Sum; 0 for an empty array. Accuracy: relative to the sum of absolute values at most
/// 136 * 2^-24 + n 2^-67.
[[nodiscard]] inline float sum(std::span<const float> x) {
    detail::require_memory("sum", "x", x);
    const float* p = x.data();
    return static_cast<float>(detail::reduce_blocks(
        static_cast<extent>(x.size()), detail::reduce_block,
        [p](extent begin, extent end) {
            const simd::pack zero = simd::pack_of(0.0F);
            simd::pack acc[8] = {zero, zero, zero, zero, zero, zero, zero, zero};
            detail::accumulate(
                begin, end, [](auto a, auto v) { return a + v; }, acc, p);
            return static_cast<double>(detail::fold_sum(acc));
        },
        [](double a, double b) { return a + b; }));
}

/// Sum of products; sizes equal. Accuracy: as sum(), of the products' absolute values.
[[nodiscard]] inline float dot(std::span<const float> a, std::span<const float> b) {
    detail::require_size("dot", "b", b, static_cast<extent>(a.size()), "the size of a");
    detail::require_memory("dot", "a", a);
    const float* p = a.data();
    const float* q = b.data();
    return static_cast<float>(detail::reduce_blocks(
        static_cast<extent>(a.size()), detail::reduce_block,
        [p, q](extent begin, extent end) {
            const simd::pack zero = simd::pack_of(0.0F);
            simd::pack acc[8] = {zero, zero, zero, zero, zero, zero, zero, zero};
            detail::accumulate(
                begin, end, [](auto s, auto u, auto v) { return simd::fma(u, v, s); }, acc, p, q);
            return static_cast<double>(detail::fold_sum(acc));
        },
        [](double s, double t) { return s + t; }));
}

}  // namespace tare::kernels
