#pragma once
// SPDX-License-Identifier: MIT
// Activations as the integers that their quantization point made them from: what packed weights of
// few bits are multiplied with.

#include <algorithm>
#include <cmath>
#include <limits>

#include <tare/core/parallel.hpp>
#include <tare/core/tensor.hpp>

namespace tare {

/// The codes of x (M,K), which is codes times `step` already: the quotient is within 1/100 of one.
/// **NaN** has no code; keep_nan() puts it back into the product.
template <class Code>
[[nodiscard]] basic_tensor<Code> input_codes(matrix_view<const float> x, float step) {
    basic_tensor<Code> codes(shape{x.rows, x.columns});
    const matrix_view<Code> to = codes.mutable_view().matrix();
    const float per_step = 1.0F / step;
    constexpr auto most = static_cast<float>(std::numeric_limits<Code>::max());
    parallel_for(x.rows, 1, x.columns / 8, [&](extent begin, extent end) {
        for (extent m = begin; m < end; ++m) {
            const float* const from = x.row(m).data();
            Code* const out = to.row(m).data();
            for (extent k = 0; k < x.columns; ++k) {
                const float code = std::nearbyint(from[k] * per_step);
                out[k] = static_cast<Code>(code < most ? (code > -most ? code : -most) : most);
            }
        }
    });
    return codes;
}

/// Rows of y (M,N) whose x (M,K) holds a NaN become NaN, as they are where floats are multiplied.
inline void keep_nan(matrix_view<const float> x, matrix_view<float> y) {
    parallel_for(x.rows, 1, x.columns / 8, [&](extent begin, extent end) {
        for (extent m = begin; m < end; ++m) {
            const float* const from = x.row(m).data();
            bool lost = false;
            for (extent k = 0; k < x.columns; ++k)
                lost |= std::isnan(from[k]);
            if (lost) std::ranges::fill(y.row(m), std::numeric_limits<float>::quiet_NaN());
        }
    });
}

}  // namespace tare
