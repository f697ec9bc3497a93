#pragma once
// SPDX-License-Identifier: MIT
// How one-token attention holds the keys and values of the past (attention_cache.hpp): as floats,
// or, where they passed a quantization point, as the 16-bit codes that the point rounded them to.
//     value = code * step
// A point's step is cut so that the product is exact (quantize/linear_levels.hpp), so codes give
// back the floats that were appended, in half the bytes: at one token attention is bound by reading
// them. Only the sign of a zero is lost, which no sum that begins at +0 sees.

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>

#include <tare/core/simd_int.hpp>

namespace tare::kernels {

/// Everything is held, as it is.
struct float_values {
    using stored = float;

    [[nodiscard, gnu::always_inline]] simd::floats load(const stored* p) const {
        return simd::load(p);
    }
    [[nodiscard]] float value(stored v) const { return v; }
    [[nodiscard]] stored code(float v) const { return v; }
    [[nodiscard]] bool hold(std::span<const float>) const { return true; }
};

/// Multiples of a step, up to 32767 of them.
struct code_values {
    using stored = std::int16_t;
    float step = 1.0F;

    /// The values of simd::lanes codes. Reads the codes of a register of words from p on.
    [[nodiscard, gnu::always_inline]] simd::floats load(const stored* p) const {
        return simd::part_to_floats(simd::load_halves(p), 0) * simd::broadcast(step);
    }
    [[nodiscard]] float value(stored code) const { return static_cast<float>(code) * step; }
    /// The code of a value that is held.
    [[nodiscard]] stored code(float v) const {
        return static_cast<stored>(std::nearbyint(v * (1.0F / step)));
    }
    /// Whether each value is that of its code. **NaN** none is.
    [[nodiscard]] bool hold(std::span<const float> values) const {
        constexpr auto most = static_cast<float>(std::numeric_limits<stored>::max());
        int misfits = 0;
        for (const float v : values) {
            const float code = std::nearbyint(v * (1.0F / step));
            misfits |= std::abs(code) <= most && code * step == v ? 0 : 1;
        }
        return misfits == 0;
    }
};

}  // namespace tare::kernels
