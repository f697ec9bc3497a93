#pragma once
// SPDX-License-Identifier: MIT
// What a quantization point with a known range does to values:
//     y = round_half_to_even(clamp(x, -max_abs, max_abs) / step) * step
// All in float32, each operation rounded.

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>

#include <tare/core/parallel.hpp>
#include <tare/core/simd_ops.hpp>
#include <tare/kernels/arguments.hpp>

namespace tare::kernels {

/// Clamps and rounds. Holds what a division by the step needs, so it is made once for many values.
class round_to_steps {
  public:
    round_to_steps(float max_abs, float step)
        : high_(simd::broadcast(max_abs)),
          low_(simd::broadcast(-max_abs)),
          step_(simd::broadcast(step)) {}

    /// **NaN** stays NaN. **Rounding** the bits of the formula above, but for the sign of a zero.
    [[gnu::always_inline]] simd::floats operator()(simd::floats x) const {
        simd::floats v = simd::select(x < low_, low_, x);
        v = simd::select(high_ < v, high_, v);
        return simd::nearbyint(simd::divide_finite(v, step_)) * step_.value;
    }

    /// The same for many values; `y` may be `x`. **Throws** tare::error on unequal sizes and half
    /// overlapping memory.
    void operator()(std::span<const float> x, std::span<float> y) const {
        constexpr std::string_view name = "round_to_steps";
        detail::require_size(name, "y", y, static_cast<extent>(x.size()), "one for each of x");
        detail::require_same_or_apart(name, "x", x, "y", y);
        parallel_for(static_cast<extent>(x.size()), 64, 2, [&](extent begin, extent end) {
            const float* const from = x.data();
            float* const to = y.data();
            constexpr auto step = static_cast<extent>(simd::lanes);
            extent i = begin;
            for (; i + step <= end; i += step)
                simd::store(to + i, (*this)(simd::load(from + i)));
            if constexpr (step > 1) {
                if (i >= end) return;
                const auto rest = static_cast<std::size_t>(end - i);
                simd::store_partial(to + i, (*this)(simd::load_partial(from + i, rest)), rest);
            }
        });
    }

  private:
    simd::floats high_;
    simd::floats low_;
    simd::divisor step_;
};

}  // namespace tare::kernels
