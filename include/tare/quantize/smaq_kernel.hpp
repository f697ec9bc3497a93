#pragma once
// SPDX-License-Identifier: MIT
// The element of SmaQ in vectors: which side of the threshold, which integer, which value. The
// formulas stand in smaq.hpp; every operation is rounded to float32 and none is fused (the
// quotients are the correctly rounded ones, see simd::divide).

#include <limits>

#include <tare/core/simd.hpp>
#include <tare/core/simd_ops.hpp>
#include <tare/quantize/smaq_statistics.hpp>

namespace tare {

/// Half to even.
struct smaq_nearest {
    static constexpr bool draws = false;
    static simd::floats round(simd::floats y, simd::floats) { return simd::nearbyint(y); }
};
/// Toward zero.
struct smaq_truncating {
    static constexpr bool draws = false;
    static simd::floats round(simd::floats y, simd::floats) { return simd::trunc(y); }
};
/// Up when the fraction exceeds a uniform draw: unbiased.
struct smaq_stochastic {
    static constexpr bool draws = true;
    static simd::floats round(simd::floats y, simd::floats u) {
        const simd::floats below = simd::floor(y);
        const simd::floats chance = (y - below) - u + simd::broadcast(0.5F);
        const simd::floats zero = simd::broadcast(0.0F);
        // Written so that a NaN stays one.
        return below + simd::nearbyint(simd::select(chance < zero, zero, chance));
    }
};

namespace detail {

/// One side of the threshold: codes per deviation and the largest code.
struct smaq_side {
    smaq_side(int bits, double span)
        : levels(static_cast<float>((1 << (bits - 2)) - 1)),
          scale(static_cast<float>(static_cast<double>(levels) / span)) {}
    float levels;
    float scale;
};

/// Everything an element needs.
template <bool Faithful>
struct smaq_constants {
    smaq_constants(const smaq_options& options, const smaq_params& p)
        : main(options.main_bits, options.main_threshold),
          outlier(options.outlier_bits, options.outlier_threshold - options.main_threshold),
          mean(p.mean),
          deviation(p.deviation == 0.0F ? 1.0F : p.deviation),
          threshold(static_cast<float>(options.main_threshold)),
          floor(options.all_positive ? 0.0F : -std::numeric_limits<float>::infinity()),
          inward(simd::broadcast(bounded(deviation, options.half_precision))),
          main_back(simd::broadcast(back(main.scale))),
          outlier_back(simd::broadcast(back(outlier.scale))) {}

    // Without levels every code is 0, and so is 0 / 1; the reference divides by 0.
    static float back(float scale) { return !Faithful && scale == 0.0F ? 1.0F : scale; }
    static float bounded(float deviation, bool half) {
        if (!Faithful) return deviation;
        const float low = half ? 1e-4F : 1e-38F;
        const float high = half ? 1e4F : 1e38F;
        return deviation < low ? low : (deviation > high ? high : deviation);
    }

    smaq_side main, outlier;
    float mean, deviation, threshold, floor;
    simd::divisor inward, main_back, outlier_back;
};

/// Integers on the grid; what was added to z (0: not an outlier, its sign is against that of z).
struct smaq_lanes {
    simd::floats q;
    simd::floats offset;
};

// Inlined by force: GCC counts the body as large, and a call spills every vector.
template <bool Faithful, class Rounding>
[[gnu::always_inline]] inline smaq_lanes smaq_grid(simd::floats v, simd::floats u,
                                                   const smaq_constants<Faithful>& k) {
    const simd::floats zero = simd::broadcast(0.0F);
    const simd::floats tm = simd::broadcast(k.threshold);
    const simd::floats z = simd::divide(v - simd::broadcast(k.mean), k.inward);
    const simd::masks outlier = simd::magnitude(z) > tm;
    const simd::floats offset = simd::select(outlier, simd::with_sign_of(tm, -z), zero);
    const auto pick = [outlier](float far, float near) {
        return simd::select(outlier, simd::broadcast(far), simd::broadcast(near));
    };
    simd::floats q = Rounding::round((z + offset) * pick(k.outlier.scale, k.main.scale), u);
    if constexpr (!Faithful) {
        const simd::floats most = pick(k.outlier.levels, k.main.levels);
        q = simd::clamp(simd::unless_nan(q, zero), -most, most) + zero;
    }
    return {q, offset};
}

template <bool Faithful>
[[gnu::always_inline]] inline simd::floats smaq_value(const smaq_lanes& c,
                                                      const smaq_constants<Faithful>& k) {
    const simd::masks outlier = simd::magnitude(c.offset) > simd::broadcast(0.0F);
    const simd::divisor back(
        simd::select(outlier, k.outlier_back.value, k.main_back.value),
        simd::select(outlier, k.outlier_back.reciprocal, k.main_back.reciprocal),
        k.outlier_back.usable && k.main_back.usable);
    const simd::floats w =
        (Faithful ? simd::divide(c.q, back) : simd::divide_finite(c.q, back)) - c.offset;
    const simd::floats out = w * simd::broadcast(k.deviation) + simd::broadcast(k.mean);
    if constexpr (Faithful) return out;
    const simd::floats most = simd::broadcast(std::numeric_limits<float>::max());
    return simd::clamp(out, -most, most);
}

/// Second moments: nothing below 0. A NaN stays one.
inline simd::floats smaq_not_below(simd::floats v, float floor) {
    return simd::max(simd::broadcast(floor), v);  // the second argument for a NaN
}

}  // namespace detail

}  // namespace tare
