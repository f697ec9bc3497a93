#pragma once
// SPDX-License-Identifier: MIT
// The options of SmaQ and the two numbers it keeps of a tensor: mean and deviation, of all elements
// or of a sample, by squares or by range.
// Source: Shoghi, Bersatti, Qureshi, Kim 2021, "SmaQ: Smart quantization for DNN training by
// exploiting value clustering", IEEE Computer Architecture Letters 20(2).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/random.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

struct smaq_options {
    int main_bits = 6;               ///< bits of a value within the main threshold
    int outlier_bits = 8;            ///< bits of the others; of each, two are flag and sign
    double main_threshold = 1.0;     ///< in deviations
    double outlier_threshold = 2.5;  ///< in deviations: the largest outlier that has a code
    bool sample_statistics = false;  ///< mean and deviation of `samples` random elements
    extent samples = 16;
    bool range_deviation = false;  ///< deviation = (max - min) / sqrt(2 ln n)
    bool all_positive = false;     ///< negative results become 0 (second moments)
    extent min_size = 8;           ///< smaller tensors are stored as they are
    bool half_precision = false;   ///< faithful only: the divisor is kept in [1e-4, 1e4]
    std::uint64_t seed = 0;        ///< of sampling and stochastic rounding

    friend bool operator==(const smaq_options&, const smaq_options&) = default;
};

namespace detail {

/// Throws unless bits are in [2, 16], thresholds 0 < main < outlier and at least one sample is
/// taken.
inline void require_smaq_options(std::string_view who, const smaq_options& options) {
    const auto bits_fit = [](int b) { return b >= 2 && b <= 16; };
    require(bits_fit(options.main_bits) && bits_fit(options.outlier_bits), who, ": codes of ",
            options.main_bits, " and ", options.outlier_bits, " bits; choose 2 to 16");
    require(options.main_threshold > 0.0 && options.outlier_threshold > options.main_threshold, who,
            ": thresholds ", options.main_threshold, " and ", options.outlier_threshold,
            " must be positive and ascending");
    require(options.samples > 0 && options.min_size >= 0, who, ": ", options.samples,
            " samples and min_size ", options.min_size, "; samples must be positive");
}

}  // namespace detail

/// What is stored of a tensor beside its codes.
struct smaq_params {
    float mean = 0.0F;
    float deviation = 0.0F;
    friend bool operator==(const smaq_params&, const smaq_params&) = default;
};

/// `k` different indices below `n`: a set that depends on the seed alone, every one as likely. The
/// order is that of drawing and not random; all n where k is larger.
/// Complexity: k^2 comparisons at most (Floyd's method), however large n is.
/// Source: Bentley and Floyd 1987, "A sample of brilliance".
[[nodiscard]] inline std::vector<extent> sample_indices(extent n, extent k, std::uint64_t seed) {
    constexpr std::uint64_t sampling_stream = 0x736D6171U;
    require(k >= 0 && n >= 0, "sample_indices: ", k, " of ", n, " elements; both must be positive");
    const random_stream random(seed, sampling_stream);
    std::vector<extent> chosen;
    for (extent i = std::max<extent>(0, n - k); i < n; ++i) {
        const auto draw = static_cast<std::uint64_t>(chosen.size());
        // 53 random bits: a multiply-shift without visible bias for any tensor that fits a memory.
        const std::uint64_t bits =
            (std::uint64_t{random.bits(2 * draw)} << 21) ^ (random.bits(2 * draw + 1) >> 11);
        const auto pick = std::min(i, static_cast<extent>(static_cast<double>(bits) * 0x1p-53 *
                                                          static_cast<double>(i + 1)));
        const bool taken = std::ranges::find(chosen, pick) != chosen.end();
        chosen.push_back(taken ? i : pick);
    }
    return chosen;
}

namespace detail {

/// 1 / sqrt(2 ln n) in float32: the expected half range of n normal values is 1 / C deviations.
[[nodiscard]] inline float range_factor(extent n) noexcept {
    return static_cast<float>(1.0 / std::sqrt(2.0 * std::log(static_cast<double>(n))));
}

/// Mean and deviation of `x`; `biased` divides by n in place of n - 1. NaN and infinite elements
/// are left out; a deviation that cannot be formed is 0, one beyond float32 is FLT_MAX.
[[nodiscard]] inline smaq_params smaq_statistics(std::span<const float> x, bool biased,
                                                 bool by_range) {
    const moments m = moments_of(x);
    double deviation = biased ? m.biased_deviation() : m.unbiased_deviation();
    if (by_range) {
        const extremes range = range_of(x);
        deviation = m.count < 2
                        ? 0.0
                        : (static_cast<double>(range.high) - static_cast<double>(range.low)) *
                              static_cast<double>(range_factor(m.count));
    }
    constexpr double most = std::numeric_limits<float>::max();
    return {static_cast<float>(m.mean), static_cast<float>(std::min(deviation, most))};
}

/// The same as the reference computes it: any NaN or infinity poisons the result, and one element
/// has no unbiased and no range deviation.
[[nodiscard]] inline smaq_params smaq_statistics_faithful(std::span<const float> x, bool biased,
                                                          bool by_range) {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    float bad = 0.0F;
    for (const float v : x)
        if (!is_finite(v)) bad += v;
    if (!is_finite(bad)) return {bad, nan};
    smaq_params p = smaq_statistics(x, biased, false);
    if (x.size() < 2 && (by_range || !biased)) p.deviation = nan;
    if (by_range && x.size() >= 2) {
        const extremes range = range_of(x);
        p.deviation = (range.high - range.low) * range_factor(static_cast<extent>(x.size()));
    }
    return p;
}

}  // namespace detail

}  // namespace tare
