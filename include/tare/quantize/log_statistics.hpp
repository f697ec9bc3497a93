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

// Sixteen sums of exponents and products of mantissas.
class log_lanes {
  public:
    static constexpr auto lanes = static_cast<extent>(simd::pack_lanes);
    /// Takes between two calls of settle(): below 2^64.
    static constexpr extent products = 64;

    /// Takes sixteen normal numbers above 0, as patterns.
    [[gnu::always_inline]] void take(const simd::int_pack& pattern) noexcept {
        exponents_ = exponents_ + simd::shift_right(pattern, 23);
        product_ = product_ * mantissa_of(pattern);
    }
    /// Brings the products back to [1, 2).
    void settle() noexcept {
        const simd::int_pack pattern = simd::as_ints(product_);
        exponents_ = exponents_ + simd::shift_right(pattern, 23) + simd::ints_of(-127);
        product_ = mantissa_of(pattern);
    }
    /// The sum of all logarithms, after `takes` takes, behind settle().
    [[nodiscard]] double sum(extent takes) const noexcept {
        alignas(64) float lane[simd::pack_lanes];
        simd::store(lane, product_);
        double mantissas = 1.0;  // below 2^16
        for (const float m : lane)
            mantissas *= static_cast<double>(m);
        simd::store(lane, simd::as_floats(exponents_));
        std::int64_t exponent = 0;
        for (const float e : lane)
            exponent += std::bit_cast<std::int32_t>(e);
        return static_cast<double>(exponent - 127 * takes * lanes) + std::log2(mantissas);
    }

  private:
    [[gnu::always_inline]] static simd::pack mantissa_of(const simd::int_pack& pattern) noexcept {
        return simd::as_floats((pattern & simd::ints_of(0x007FFFFF)) | simd::ints_of(0x3F800000));
    }

    simd::pack product_ = simd::pack_of(1.0F);
    simd::int_pack exponents_ = simd::ints_of(0);
};

// A block of normal numbers, as most are: half the work of block_logs, which tells the others
// apart. False (and no result) if there is another number in it or if it does not fill the lanes.
[[nodiscard]] inline bool block_logs_of_normal(const float* x, extent count,
                                               log_sums& out) noexcept {
    constexpr extent lanes = log_lanes::lanes;
    if (count == 0 || count % lanes != 0) return false;
    log_lanes logs;
    // Patterns moved so that, as signed integers, those of normal numbers are below all others: one
    // maximum finds the largest number and what is not one.
    constexpr std::int32_t move = 0x7F800000;
    constexpr std::int32_t first_odd = -0x01000000;  // of infinity; zero is far above
    simd::int_pack most = simd::ints_of(std::numeric_limits<std::int32_t>::min());
    for (extent i = 0; i < count;) {
        const extent stop = std::min(count, i + log_lanes::products * lanes);
        for (; i < stop; i += lanes) {
            simd::prefetch(x + i, statistics_ahead);
            const simd::int_pack pattern =
                simd::as_ints(simd::load_pack(x + i)) & simd::ints_of(0x7FFFFFFF);
            most = max(most, pattern + simd::ints_of(move));
            logs.take(pattern);
        }
        logs.settle();
    }
    alignas(64) float lane[simd::pack_lanes];
    simd::store(lane, simd::as_floats(most));
    std::int32_t largest = std::numeric_limits<std::int32_t>::min();
    for (const float m : lane)
        largest = std::max(largest, std::bit_cast<std::int32_t>(m));
    if (largest >= first_odd) return false;
    const auto pattern = static_cast<std::uint32_t>(largest) - static_cast<std::uint32_t>(move);
    out = {logs.sum(count / lanes), std::bit_cast<float>(pattern), count};
    return true;
}

// The block, or false (and no result) if it holds a subnormal number, NaN or infinity. Zeros are
// taken for ones, which change neither sum nor product, and counted.
[[nodiscard]] inline bool block_logs(const float* x, extent count, log_sums& out) noexcept {
    using simd::pack;
    constexpr extent lanes = log_lanes::lanes;
    const pack zero = simd::pack_of(0.0F);
    const pack one = simd::pack_of(1.0F);
    const pack least = simd::pack_of(std::numeric_limits<float>::min());
    const pack infinity = simd::pack_of(std::numeric_limits<float>::infinity());
    log_lanes logs;
    pack zeros = zero;
    pack largest = zero;
    simd::mask_pack odd = zero < zero;
    const auto take = [&](const pack& v) {
        const pack size = simd::abs(v);
        const simd::mask_pack none = size == zero;
        const pack a = simd::select(none, one, size);
        odd = odd | (simd::not_less(a, infinity) | (a < least));
        largest = simd::max(size, largest);
        zeros = zeros + simd::keep(none, one);
        logs.take(simd::as_ints(a));
    };
    extent takes = 0;
    for (extent i = 0; i < count;) {
        const extent stop = std::min(count - i, log_lanes::products * lanes);
        for (const extent end = i + stop / lanes * lanes; i < end; i += lanes, ++takes) {
            simd::prefetch(x + i, statistics_ahead);
            take(simd::load_pack(x + i));
        }
        if (i < count && count - i < lanes) {
            take(simd::load_pack(x + i, static_cast<std::size_t>(count - i)));
            ++takes;
            i = count;
        }
        logs.settle();
    }
    if (simd::mask_bits(odd) != 0) return false;
    const auto empty = static_cast<extent>(simd::reduce_add(zeros));
    out = {logs.sum(takes), simd::reduce_max(largest), takes * lanes - empty};
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
        if (detail::block_logs_of_normal(data, count, part)) return;
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
