#pragma once
// SPDX-License-Identifier: MIT
// What SmaQ lets its user choose: what happens to codes that do not fit, and how a number between
// two codes is rounded. Formulas: smaq.hpp.

#include <string_view>

#include <tare/core/simd.hpp>
#include <tare/core/simd_masks.hpp>
#include <tare/core/simd_ops.hpp>

namespace tare {

/// Overflow: codes end where their bits do; nothing is undefined.
struct smaq_encodable {
    static constexpr bool faithful = false;
    static constexpr std::string_view name = "smaq";
};
/// Overflow: as published, codes do not end and NaN spreads.
struct smaq_faithful {
    static constexpr bool faithful = true;
    static constexpr std::string_view name = "smaq_faithful";
};

/// Half to even.
struct smaq_nearest {
    static constexpr bool draws = false;
    static simd::floats round(simd::floats y, simd::floats) { return simd::nearbyint(y); }
    /// The same for |y| < 2^22, never -0: a number that large has no room for a fraction.
    static simd::floats round_small(simd::floats y, simd::floats) {
        const simd::floats large = simd::broadcast(0x1.8p23F);
        return (y + large) - large;
    }
    static simd::ints round_to_int(simd::floats y, simd::floats) { return simd::nearest_to_int(y); }
};
/// Toward zero.
struct smaq_truncating {
    static constexpr bool draws = false;
    static simd::floats round(simd::floats y, simd::floats) { return simd::trunc(y); }
    static simd::floats round_small(simd::floats y, simd::floats) {
        return simd::trunc(y) + simd::broadcast(0.0F);
    }
    static simd::ints round_to_int(simd::floats y, simd::floats) {
        return simd::truncate_to_int(y);
    }
};
/// Up when the fraction exceeds a uniform draw: unbiased.
struct smaq_stochastic {
    static constexpr bool draws = true;
    /// As the reference rounds the comparison itself: rint(max(0, (f - u) + 1/2)).
    static simd::floats round(simd::floats y, simd::floats u) {
        const simd::floats below = simd::floor(y);
        const simd::floats chance = (y - below) - u + simd::broadcast(0.5F);
        const simd::floats zero = simd::broadcast(0.0F);
        // Written so that a NaN stays one.
        return below + simd::nearbyint(simd::select(chance < zero, zero, chance));
    }
    static simd::floats round_small(simd::floats y, simd::floats u) {
        const simd::floats below = simd::floor_small(y);
        return simd::add_where(u < y - below, below, simd::broadcast(1.0F));
    }
    static simd::ints round_to_int(simd::floats y, simd::floats u) {
        return simd::truncate_to_int(round_small(y, u));
    }
    /// The same for |y| <= 127 and draws of uniform_16, odd multiples of 2^-17: y less the draw,
    /// rounded to float32 and then up. The difference is above floor(y) where the fraction f is
    /// above u, and what has to be shown is that no rounding hides it. Outside [-1, 0) the ulps of
    /// y and of a difference between the same integers are one, between 2^-23 and 2^-17, so that
    /// it is exact, or y < 1 and small differences are exact. In [-1, 0) it takes f > u + 2^-25 to
    /// come out above -1, as it does for f to come out above u once f is rounded to float32: for
    /// u > 1/2 both are the midpoint above an even number, and below 1/2 f - u is a multiple of
    /// 2^-24.
    static simd::floats round_drawn(simd::floats y, simd::floats u) {
        return simd::ceil_small(y - u);
    }
    static simd::ints round_drawn_to_int(simd::floats y, simd::floats u) {
        return simd::ceil_to_int(y - u);
    }
};

}  // namespace tare
