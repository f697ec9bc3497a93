#pragma once
// SPDX-License-Identifier: MIT
// Elementwise names beyond those of core/simd.hpp, for kernels that compare, select, look at bit
// patterns or write past the cache. Each gives the same bits with one lane and with sixteen: no
// operation here is fused, estimated or reordered.

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <tare/core/simd.hpp>

namespace tare::simd {

#ifdef TARE_NO_SIMD

inline ints truncate_to_int(floats v) {
    return static_cast<std::int32_t>(v);
}
inline ints nearest_to_int(floats v) {
    return static_cast<std::int32_t>(std::nearbyint(v));
}
inline floats trunc(floats v) {
    return std::trunc(v);
}
inline floats floor(floats v) {
    return std::floor(v);
}
inline floats ceil(floats v) {
    return std::ceil(v);
}
inline void store(std::int32_t* p, ints v) {
    *p = v;
}

#else

inline ints truncate_to_int(floats v) {
    return xsimd::to_int(v);
}
/// Half to even.
inline ints nearest_to_int(floats v) {
#if defined(TARE_SIMD_512)
    return _mm512_cvtps_epi32(v);
#elif defined(TARE_SIMD_256)
    return _mm256_cvtps_epi32(v);
#else
    return xsimd::nearbyint_as_int(v);
#endif
}
inline floats trunc(floats v) {
    return xsimd::trunc(v);
}
inline floats floor(floats v) {
    return xsimd::floor(v);
}
inline floats ceil(floats v) {
    return xsimd::ceil(v);
}
inline void store(std::int32_t* p, ints v) {
    v.store_unaligned(p);
}

#endif

/// floor(v) for |v| < 2^22; +0 for both zeros.
inline floats floor_small(floats v) {
#if defined(TARE_SIMD_512)
    // A number that large has no room for a fraction: the adder cuts it off, on either port, where
    // the instruction for it takes one port twice.
    constexpr int down = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
    const floats large = broadcast(0x1.8p23F);
    return floats(_mm512_add_round_ps(v, large, down)) - large;
#else
    return floor(v) + broadcast(0.0F);
#endif
}

/// ceil(v) for |v| < 2^22; +0 for what rounds to 0.
inline floats ceil_small(floats v) {
#if defined(TARE_SIMD_512)
    constexpr int up = _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC;
    const floats large = broadcast(0x1.8p23F);
    return floats(_mm512_add_round_ps(v, large, up)) - large;
#else
    return ceil(v) + broadcast(0.0F);
#endif
}
/// The same as an integer.
inline ints ceil_to_int(floats v) {
#if defined(TARE_SIMD_512)
    return _mm512_cvt_roundps_epi32(v, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
#else
    return truncate_to_int(ceil(v));
#endif
}

/// |v|, by clearing the sign bit (a NaN stays one).
inline floats magnitude(floats v) {
    return as_floats(as_ints(v) & ints(0x7FFFFFFF));
}
/// `size` with the sign bit of `sign`; `size` must not be negative.
inline floats with_sign_of(floats size, floats sign) {
    return as_floats(as_ints(size) | (as_ints(sign) & ints(static_cast<std::int32_t>(0x80000000))));
}
/// v where low <= v <= high, else the nearer bound; a NaN becomes `low`.
inline floats clamp(floats v, floats low, floats high) {
    return min(max(v, low), high);  // both give their second argument for a NaN
}
/// v where |v| <= most, else `most` with the sign of v; either bound for a NaN. most >= 0.
inline floats limit(floats v, floats most) {
#if defined(TARE_SIMD_512)
    return _mm512_range_ps(v, most, 2);  // the smaller magnitude, the sign of v
#else
    return max(min(v, most), -most);
#endif
}
/// v, with `other` in the place of a NaN.
inline floats unless_nan(floats v, floats other) {
    return select(v == v, v, other);
}

/// A constant to divide by. Where fused multiply-add exists, `divide` gives the correctly rounded
/// quotient, the bits of `/`, in five operations in place of one that takes as long as sixteen.
struct divisor {
    explicit divisor(floats v) : value(v), reciprocal(broadcast(1.0F) / v), usable(in_range(v)) {}
    /// From parts of other divisors, lane by lane.
    divisor(floats v, floats r, bool use) : value(v), reciprocal(r), usable(use) {}

    floats value;
    floats reciprocal;
    bool usable;

  private:
    // Far enough from both ends of the exponents that no step below can underflow in a way that
    // shows, provided that the quotient is not tiny (below 2^-40 its last bit may differ).
    static bool in_range(floats v) {
        float each[lanes];
        store(each, v);
        bool inside = true;
        for (const float one : each)
            inside = inside && std::fabs(one) >= 0x1p-60F && std::fabs(one) <= 0x1p60F;
        return inside;
    }
};

#if defined(TARE_SIMD_512) || defined(TARE_SIMD_256)
/// a / d.value, correctly rounded, for a finite, d usable and a quotient within float32 (beyond it
/// NaN); -0 by a d above 0 gives +0. Two corrections by the exact remainder: the first brings the
/// quotient within one unit of the last place, from where the second rounds it correctly.
/// Source: Markstein 1990, "Computation of elementary functions on the IBM RISC System/6000
/// processor", theorem 8.
[[gnu::always_inline]] inline floats divide_usable(floats a, const divisor& d) {
    const floats rough = a * d.reciprocal;
    const floats near = fma(fnma(rough, d.value, a), d.reciprocal, rough);
    return fma(fnma(near, d.value, a), d.reciprocal, near);
}
/// The same for any a, d and quotient.
[[gnu::always_inline]] inline floats divide(floats a, const divisor& d) {
    if (!d.usable) return a / d.value;
    const floats quotient = divide_usable(a, d);
    // Infinities and NaN have no remainder.
    if (!xsimd::all(magnitude(a * d.reciprocal) < broadcast(0x1p126F))) return a / d.value;
    return quotient;
}
#else
inline floats divide_usable(floats a, const divisor& d) {
    return a / d.value;
}
inline floats divide(floats a, const divisor& d) {
    return a / d.value;
}
#endif
/// The same for a known to be finite, a quotient within float32 and any d.
[[gnu::always_inline]] inline floats divide_finite(floats a, const divisor& d) {
    return d.usable ? divide_usable(a, d) : a / d.value;
}

inline constexpr std::size_t stream_alignment = 64;

/// v + 1 where m, v elsewhere.
inline ints increment_where(masks m, ints v) {
#if defined(TARE_SIMD_512)
    return _mm512_mask_add_epi32(v, m, v, _mm512_set1_epi32(1));
#elif defined(TARE_NO_SIMD)
    return v + (m ? 1 : 0);
#else
    return v - (as_ints(select(m, as_floats(ints(-1)), broadcast(0.0F))) >> 31);
#endif
}

}  // namespace tare::simd
