#pragma once
// SPDX-License-Identifier: MIT
// Masks of pruned tensors: one byte for each element, 1 where the value is kept.
//     threshold = k-th smallest |w|, k = floor(sparsity * n)        mask = |w| > threshold
// Ties at the threshold are all pruned, so sparsity may exceed what was asked for.
// Source: Zhu and Gupta 2017, section 3; Han, Pool, Tran, Dally 2015 (magnitude).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare::prune {

using mask = std::vector<std::uint8_t>;

/// The mask that prunes the share `sparsity` of the values with the smallest magnitudes. A share
/// that rounds down to no element prunes nothing.
/// **Throws** tare::error on a sparsity outside [0, 1] and on values that are not finite.
[[nodiscard]] inline mask magnitude_mask(std::span<const float> values, double sparsity) {
    require(sparsity >= 0.0 && sparsity <= 1.0, "magnitude_mask: sparsity ", sparsity,
            "; expected 0 to 1");
    const auto count = static_cast<std::size_t>(sparsity * static_cast<double>(values.size()));
    mask keep(values.size(), 1);
    if (count == 0) return keep;
    std::vector<float> size(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        require(std::isfinite(values[i]), "magnitude_mask: value ", i, " is ", values[i],
                "; values that are not finite have no order");
        size[i] = std::abs(values[i]);
    }
    const auto at = size.begin() + static_cast<std::ptrdiff_t>(count - 1);
    std::nth_element(size.begin(), at, size.end());
    const float threshold = *at;
    for (std::size_t i = 0; i < values.size(); ++i)
        keep[i] = std::abs(values[i]) > threshold ? 1 : 0;
    return keep;
}

/// Sets what is masked to zero. **Throws** tare::error on sizes that differ.
inline void apply_mask(std::span<const std::uint8_t> keep, std::span<float> values) {
    require(keep.size() == values.size(), "apply_mask: a mask of ", keep.size(), " elements for ",
            values.size(), " values");
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = keep[i] != 0 ? values[i] : 0.0F;
}

/// Number of kept elements.
[[nodiscard]] inline extent kept(std::span<const std::uint8_t> keep) {
    extent count = 0;
    for (const std::uint8_t k : keep)
        count += k != 0 ? 1 : 0;
    return count;
}

}  // namespace tare::prune
