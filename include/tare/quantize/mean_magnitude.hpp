#pragma once
// SPDX-License-Identifier: MIT
// The mean magnitude of a tensor, of all elements or of the larger ones: the scale of binary and
// ternary weights. The shape of the sums is that of quantize/statistics.hpp.

#include <cmath>
#include <span>
#include <vector>

#include <tare/core/shape.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// Mean of |x| over the finite elements with |x| above a bound, and how many they are.
struct magnitude_mean {
    float mean = 0.0F;
    extent count = 0;
};

/// Mean of |x| over finite elements with |x| > above (all of them by default); 0 where there is
/// none. Summed in double, in blocks; the result does not depend on the number of threads.
[[nodiscard]] inline magnitude_mean mean_magnitude(std::span<const float> x, float above = -1.0F) {
    struct part {
        double sum = 0.0;
        extent count = 0;
    };
    std::vector<part> parts(detail::block_count(x));
    detail::for_each_block(x, 2, [&](extent block, const float* data, extent count) {
        part& out = parts[static_cast<std::size_t>(block)];
        for (extent i = 0; i < count; ++i) {
            const float magnitude = std::fabs(data[i]);
            const bool counts = is_finite(magnitude) && magnitude > above;
            out.sum += counts ? static_cast<double>(magnitude) : 0.0;
            out.count += counts ? 1 : 0;
        }
    });
    part all;
    for (const part& p : parts) {
        all.sum += p.sum;
        all.count += p.count;
    }
    if (all.count == 0) return {};
    return {static_cast<float>(all.sum / static_cast<double>(all.count)), all.count};
}

}  // namespace tare
