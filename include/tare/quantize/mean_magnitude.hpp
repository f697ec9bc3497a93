#pragma once
// SPDX-License-Identifier: MIT
// The mean magnitude of a tensor, of all elements or of the larger ones: the scale of binary and
// ternary weights. The shape of the sums is that of quantize/statistics.hpp.

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <tare/core/prefetch.hpp>
#include <tare/core/shape.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// Mean of |x| over the finite elements with |x| above a bound, and how many they are.
struct magnitude_mean {
    float mean = 0.0F;
    extent count = 0;
};

namespace detail {

struct magnitude_sum {
    double sum = 0.0;
    extent count = 0;
};

/// Magnitudes, as bit patterns, from `first` to the largest finite one. Sixteen sums, added in the
/// order of block_sums(): the same bits in every build.
inline magnitude_sum block_magnitudes(const float* x, extent count, std::int32_t first) noexcept {
    double sum[virtual_lanes] = {};
    std::int32_t counted[virtual_lanes] = {};
    const auto pattern_of = [](float v) {
        return static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(v) & 0x7FFFFFFFU);
    };
    // All ones where a pattern counts, else 0, which adds nothing.
    const auto counts = [first](std::int32_t pattern) {
        return -static_cast<std::int32_t>((pattern >= first) & (pattern < infinity_pattern));
    };
    lanes8d s0{}, s1{};
    extent i = 0;
    for (; i + virtual_lanes <= count; i += virtual_lanes) {
        simd::prefetch(x + i, statistics_ahead);
        double d[virtual_lanes];
#pragma omp simd
        for (extent lane = 0; lane < virtual_lanes; ++lane) {
            const std::int32_t pattern = pattern_of(x[i + lane]);
            const std::int32_t mask = counts(pattern);
            d[lane] = static_cast<double>(std::bit_cast<float>(pattern & mask));
            counted[lane] -= mask;
        }
        lanes8d d0;
        lanes8d d1;
        std::memcpy(&d0, d, sizeof d0);
        std::memcpy(&d1, d + 8, sizeof d1);
        s0 += d0;
        s1 += d1;
    }
    std::memcpy(sum, &s0, sizeof s0);
    std::memcpy(sum + 8, &s1, sizeof s1);
    for (extent lane = 0; i < count; ++i, ++lane) {
        const std::int32_t pattern = pattern_of(x[i]);
        const std::int32_t mask = counts(pattern);
        sum[lane] += static_cast<double>(std::bit_cast<float>(pattern & mask));
        counted[lane] -= mask;
    }
    extent all = 0;
    for (const std::int32_t c : counted)
        all += c;
    return {fold_lanes(sum), all};
}

}  // namespace detail

/// Mean of |x| over finite elements with |x| > above (all of them by default); 0 where there is
/// none. Summed in double, in blocks; the result does not depend on the number of threads.
[[nodiscard]] inline magnitude_mean mean_magnitude(std::span<const float> x, float above = -1.0F) {
    // Patterns of magnitudes are ordered as the numbers are.
    const auto bound = std::bit_cast<std::int32_t>(above);
    const std::int32_t first = above < 0.0F ? 0 : (bound & 0x7FFFFFFF) + 1;
    detail::magnitude_sum all;
    if (x.size() <= static_cast<std::size_t>(statistics_block)) {
        all = detail::block_magnitudes(x.data(), static_cast<extent>(x.size()), first);
    } else {
        std::vector<detail::magnitude_sum> parts(detail::block_count(x));
        detail::for_each_block(x, 2, [&](extent block, const float* data, extent count) {
            parts[static_cast<std::size_t>(block)] = detail::block_magnitudes(data, count, first);
        });
        for (const detail::magnitude_sum& p : parts) {
            all.sum += p.sum;
            all.count += p.count;
        }
    }
    if (all.count == 0) return {};
    return {static_cast<float>(all.sum / static_cast<double>(all.count)), all.count};
}

}  // namespace tare
