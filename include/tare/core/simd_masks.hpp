#pragma once
// SPDX-License-Identifier: MIT
// Masks of lanes beyond comparisons: as bits, NaN told apart, lanes kept or cleared.

#include <cmath>
#include <cstddef>
#include <cstdint>

#include <tare/core/simd.hpp>

namespace tare::simd {

/// One bit a lane, lane 0 lowest.
inline std::uint32_t mask_bits(masks m) {
#if defined(TARE_NO_SIMD)
    return m ? 1U : 0U;
#elif defined(TARE_SIMD_512)
    return static_cast<__mmask16>(m);
#elif defined(TARE_SIMD_256)
    return static_cast<std::uint32_t>(_mm256_movemask_ps(m));
#else
    alignas(64) bool lane[lanes];
    m.store_aligned(lane);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < lanes; ++i)
        bits |= static_cast<std::uint32_t>(lane[i]) << i;
    return bits;
#endif
}

/// Lanes where a or b is NaN.
inline masks unordered(floats a, floats b) {
#if defined(TARE_NO_SIMD)
    return std::isunordered(a, b);
#elif defined(TARE_SIMD_512)
    return masks(_mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q));
#elif defined(TARE_SIMD_256)
    return masks(_mm256_cmp_ps(a, b, _CMP_UNORD_Q));
#else
    return xsimd::isnan(a) | xsimd::isnan(b);
#endif
}

/// m without the lanes where a or b is NaN.
inline masks keep_ordered(masks m, floats a, floats b) {
#if defined(TARE_SIMD_512)
    return masks(_mm512_mask_cmp_ps_mask(m, a, b, _CMP_ORD_Q));
#elif defined(TARE_NO_SIMD)
    return m && !unordered(a, b);
#else
    return m & !unordered(a, b);
#endif
}

/// m without the lanes where a <= b does not hold, as it does not with a NaN.
inline masks keep_at_most(masks m, floats a, floats b) {
#if defined(TARE_SIMD_512)
    return masks(_mm512_mask_cmp_ps_mask(m, a, b, _CMP_LE_OQ));
#elif defined(TARE_NO_SIMD)
    return m && a <= b;
#else
    return m & (a <= b);
#endif
}

/// a + b where m, a elsewhere.
inline floats add_where(masks m, floats a, floats b) {
#if defined(TARE_SIMD_512)
    return _mm512_mask_add_ps(a, m, a, b);
#else
    return select(m, a + b, a);
#endif
}
/// a - b where m, a elsewhere.
inline floats subtract_where(masks m, floats a, floats b) {
#if defined(TARE_SIMD_512)
    return _mm512_mask_sub_ps(a, m, a, b);
#else
    return select(m, a - b, a);
#endif
}
/// a * b + c, rounded once where `fused`, where m, zero elsewhere.
inline floats keep_fma(masks m, floats a, floats b, floats c) {
#if defined(TARE_SIMD_512)
    return _mm512_maskz_fmadd_ps(m, a, b, c);
#else
    return keep(m, fma(a, b, c));
#endif
}

/// Lanes where a < b does not hold: also those with a NaN.
inline masks not_less(floats a, floats b) {
#if defined(TARE_SIMD_512)
    return masks(_mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ));
#elif defined(TARE_SIMD_256)
    return masks(_mm256_cmp_ps(a, b, _CMP_NLT_UQ));
#else
    return !(a < b);
#endif
}

/// min(a, |b|) for a >= 0; anything where b is NaN.
inline floats min_magnitude(floats a, floats b) {
#if defined(TARE_SIMD_512)
    return _mm512_range_ps(a, b, 2);
#else
    return min(a, abs(b));
#endif
}

}  // namespace tare::simd
