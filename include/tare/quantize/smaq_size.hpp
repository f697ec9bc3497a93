#pragma once
// SPDX-License-Identifier: MIT
// How many bits SmaQ takes, which depends on the values: elements beyond the threshold have longer
// codes. The reference counts them, but neither mean nor deviation.
// Source: Shoghi, Bersatti, Qureshi, Kim 2021, IEEE Computer Architecture Letters 20(2).

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include <tare/quantize/smaq_fold.hpp>

namespace tare {

/// How the reference counts a tensor: mean and deviation are free.
struct smaq_reference_size {
    std::int64_t new_bits = 0;
    std::int64_t original_bits = 0;
    /// original / new, in float32; 1 for a tensor without elements.
    [[nodiscard]] float ratio() const noexcept {
        if (new_bits == 0) return 1.0F;
        return static_cast<float>(static_cast<double>(original_bits) /
                                  static_cast<double>(new_bits));
    }
};

namespace detail {

/// Elements with |(v - mean) / divisor| > threshold, v being the folded element; NaN is none.
[[nodiscard]] inline std::int64_t count_outliers(std::span<const float> x, float mean,
                                                 float divisor, float threshold,
                                                 const smaq_fold& fold) {
    std::int64_t count = 0;
    for_each_channel(0, static_cast<extent>(x.size()), fold,
                     [&](extent from, extent to, float gamma, float beta) {
                         for (extent i = from; i < to; ++i) {
                             const float v = (x[static_cast<std::size_t>(i)] - beta) / gamma;
                             count += std::fabs((v - mean) / divisor) > threshold ? 1 : 0;
                         }
                     });
    return count;
}

}  // namespace detail

}  // namespace tare
