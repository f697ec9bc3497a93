#pragma once
// SPDX-License-Identifier: MIT
// Largest magnitude and mean binary logarithm of a tensor, in one pass at the speed of memory and
// without a logarithm per element: exponents are added as integers and mantissas are multiplied,
//
//   sum log2 |x_i| = sum e_i + log2 prod m_i,   |x_i| = 2^e_i m_i,  1 <= m_i < 2
//
// with one logarithm for each block. Products run in sixteen lanes and are brought back to [1, 2)
// before they can overflow. Multiplications and integer additions only, in an order fixed by the
// size: the same bits in every build and for every number of threads.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <tare/core/pack.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// Of the elements that are neither zero nor NaN nor infinite; all 0 where there is none.
struct log_statistics {
    double mean = 0.0;     ///< of log2 |x|
    float largest = 0.0F;  ///< |x|
    extent count = 0;
};

namespace detail {

struct log_sums {
    double sum = 0.0;  // of log2 |x|
    float largest = 0.0F;
    extent count = 0;
};

// The block, or false (and no result) if it holds a subnormal number, NaN or infinity. Zeros are
// taken for ones, which change neither sum nor product, and counted.
[[nodiscard]] inline bool block_logs(const float* x, extent count, log_sums& out) noexcept {
    using simd::int_pack;
    using simd::pack;
    constexpr auto lanes = static_cast<extent>(simd::pack_lanes);
    constexpr extent products = 64;  // below 2^64
    const pack zero = simd::pack_of(0.0F);
    const pack one = simd::pack_of(1.0F);
    const pack least = simd::pack_of(std::numeric_limits<float>::min());
    const pack infinity = simd::pack_of(std::numeric_limits<float>::infinity());
    const int_pack mantissa_bits = simd::ints_of(0x007FFFFF);
    const int_pack one_bits = simd::ints_of(0x3F800000);
    pack product = one;
    pack zeros = zero;
    pack largest = zero;
    int_pack exponents = simd::ints_of(0);
    const auto mantissa_of = [&](const pack& v) {
        return simd::as_floats((simd::as_ints(v) & mantissa_bits) | one_bits);
    };
    simd::mask_pack odd = zero < zero;
    const auto take = [&](const pack& v) {
        const pack size = simd::abs(v);
        const simd::mask_pack none = size == zero;
        const pack a = simd::select(none, one, size);
        odd = odd | (simd::not_less(a, infinity) | (a < least));
        largest = simd::max(size, largest);
        zeros = zeros + simd::keep(none, one);
        exponents = exponents + simd::shift_right(simd::as_ints(a), 23);
        product = product * mantissa_of(a);
    };
    extent vectors = 0;
    for (extent i = 0; i < count;) {
        const extent stop = std::min(count - i, products * lanes);
        for (const extent end = i + stop / lanes * lanes; i < end; i += lanes, ++vectors) {
            simd::prefetch(x + i, statistics_ahead);
            take(simd::load_pack(x + i));
        }
        if (i < count && count - i < lanes) {
            take(simd::load_pack(x + i, static_cast<std::size_t>(count - i)));
            ++vectors;
            i = count;
        }
        exponents = exponents + simd::shift_right(simd::as_ints(product), 23) + simd::ints_of(-127);
        product = mantissa_of(product);
    }
    if (simd::mask_bits(odd) != 0) return false;
    alignas(64) float lane[simd::pack_lanes];
    simd::store(lane, product);
    double mantissas = 1.0;  // below 2^16
    for (const float m : lane)
        mantissas *= static_cast<double>(m);
    simd::store(lane, simd::as_floats(exponents));
    std::int64_t exponent = 0;
    for (const float e : lane)
        exponent += std::bit_cast<std::int32_t>(e);
    exponent -= 127 * vectors * lanes;
    const auto empty = static_cast<extent>(simd::reduce_add(zeros));
    out = {static_cast<double>(exponent) + std::log2(mantissas), simd::reduce_max(largest),
           vectors * lanes - empty};
    return true;
}

// Any block: the numbers that count are copied together, subnormal ones 2^24 times as large.
inline log_sums block_logs_of_any(const float* x, extent count) noexcept {
    float kept[statistics_block];
    extent n = 0;
    extent lifted = 0;
    float largest = 0.0F;
    for (extent i = 0; i < count; ++i) {
        const float a = std::fabs(x[i]);
        if (!is_finite(a) || a == 0.0F) continue;
        const bool tiny = a < std::numeric_limits<float>::min();
        largest = std::max(largest, a);
        lifted += tiny ? 1 : 0;
        kept[n++] = tiny ? a * 0x1p24F : a;
    }
    log_sums out;
    static_cast<void>(block_logs(kept, n, out));
    return {out.sum - 24.0 * static_cast<double>(lifted), largest, n};
}

}  // namespace detail

/// Mean of log2 |x| and largest |x| over the finite elements that are not zero.
/// Accuracy: mean within 2^-23 absolute (each product is rounded to 2^-24, which its logarithm
/// shrinks to 1.44 2^-24 per element, plus the sums in double).
/// Threads: blocks; the result does not depend on their number.
[[nodiscard]] inline log_statistics log_statistics_of(std::span<const float> x) {
    std::vector<detail::log_sums> parts(detail::block_count(x));
    detail::for_each_block(x, 2, [&](extent block, const float* data, extent count) {
        detail::log_sums& part = parts[static_cast<std::size_t>(block)];
        if (!detail::block_logs(data, count, part)) part = detail::block_logs_of_any(data, count);
    });
    log_statistics all;
    for (const detail::log_sums& part : parts) {
        all.mean += part.sum;
        all.largest = std::max(all.largest, part.largest);
        all.count += part.count;
    }
    if (all.count > 0) all.mean /= static_cast<double>(all.count);
    return all;
}

}  // namespace tare
