#pragma once
// SPDX-License-Identifier: MIT
// Clipping by the global norm of all gradients: factor = min(1, limit / (norm + 1e-6)).
// The sum of squares has one shape for any number of threads and any register width: blocks of 4096
// values, sixteen double lanes inside a block, lanes, blocks and tensors added in order.
// Source: Pascanu, Mikolov, Bengio 2013, section 3.2; the 1e-6 is PyTorch's.

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include <tare/core/parallel.hpp>
#include <tare/core/shape.hpp>

namespace tare::train {

namespace detail {

inline double squares_of_block(std::span<const float> x) {
    std::array<double, 16> lane{};
    std::size_t i = 0;
    for (; i + lane.size() <= x.size(); i += lane.size())
        for (std::size_t l = 0; l < lane.size(); ++l) {
            const double v = static_cast<double>(x[i + l]);
            lane[l] += v * v;
        }
    for (std::size_t l = 0; i < x.size(); ++i, ++l) {
        const double v = static_cast<double>(x[i]);
        lane[l] += v * v;
    }
    double total = 0.0;
    for (const double part : lane)
        total += part;
    return total;
}

}  // namespace detail

/// Sum of squares of one array. **Accuracy** double: no float gradient overflows it.
[[nodiscard]] inline double sum_of_squares(std::span<const float> x) {
    constexpr extent block = 4096;
    const extent count = static_cast<extent>(x.size());
    const extent blocks = (count + block - 1) / block;
    std::vector<double> parts(static_cast<std::size_t>(blocks));
    parallel_for(blocks, 1, block, [&](extent begin, extent end) {
        for (extent b = begin; b < end; ++b)
            parts[static_cast<std::size_t>(b)] = detail::squares_of_block(
                x.subspan(static_cast<std::size_t>(b * block),
                          static_cast<std::size_t>(std::min(block, count - b * block))));
    });
    double total = 0.0;
    for (const double part : parts)
        total += part;
    return total;
}

/// L2 norm over all arrays together. NaN and infinity come through.
[[nodiscard]] inline double global_norm(std::span<const std::span<const float>> gradients) {
    double total = 0.0;
    for (const std::span<const float>& g : gradients)
        total += sum_of_squares(g);
    return std::sqrt(total);
}

/// What gradients of that norm are multiplied by; 1 below the limit, and for limit 0 (no clipping).
[[nodiscard]] inline float clip_factor(double norm, double limit) {
    if (limit == 0.0) return 1.0F;
    const double factor = limit / (norm + 1e-6);
    return factor < 1.0 ? static_cast<float>(factor) : 1.0F;
}

}  // namespace tare::train
