#pragma once
// SPDX-License-Identifier: MIT
// Transposes of register-sized blocks, from strided memory to strided memory.

#include <cstddef>

#include <tare/core/simd.hpp>

namespace tare::simd {

/// Transposes lanes x 4 numbers of 32 bits (floats or integers; bits are moved, never read):
/// to[c * to_stride + r] = from[r * from_stride + c], r < lanes, c < 4.
template <class Number>
inline void transpose_columns(const Number* numbers, std::ptrdiff_t from_stride, Number* turned,
                              std::ptrdiff_t to_stride) {
    static_assert(sizeof(Number) == sizeof(float));
#if defined(TARE_SIMD_512) || defined(TARE_SIMD_256)
    // Only addresses: what moves through them are vectors, which may alias anything.
    const auto* const from = reinterpret_cast<const float*>(numbers);
    auto* const to = reinterpret_cast<float*>(turned);
#endif
#if defined(TARE_SIMD_512)
    // Quarter q of row 4 g + q comes in through a load, not a shuffle: port 5 would be the limit.
    const auto gather_quarters = [&](int r) {
        const float* p = from + r * from_stride;
        __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(p));
        v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 4 * from_stride), 1);
        v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 8 * from_stride), 2);
        return _mm512_insertf32x4(v, _mm_loadu_ps(p + 12 * from_stride), 3);
    };
    const __m512 r0 = gather_quarters(0);
    const __m512 r1 = gather_quarters(1);
    const __m512 r2 = gather_quarters(2);
    const __m512 r3 = gather_quarters(3);
    const __m512d t0 = _mm512_castps_pd(_mm512_unpacklo_ps(r0, r1));
    const __m512d t1 = _mm512_castps_pd(_mm512_unpackhi_ps(r0, r1));
    const __m512d t2 = _mm512_castps_pd(_mm512_unpacklo_ps(r2, r3));
    const __m512d t3 = _mm512_castps_pd(_mm512_unpackhi_ps(r2, r3));
    _mm512_storeu_ps(to, _mm512_castpd_ps(_mm512_unpacklo_pd(t0, t2)));
    _mm512_storeu_ps(to + to_stride, _mm512_castpd_ps(_mm512_unpackhi_pd(t0, t2)));
    _mm512_storeu_ps(to + 2 * to_stride, _mm512_castpd_ps(_mm512_unpacklo_pd(t1, t3)));
    _mm512_storeu_ps(to + 3 * to_stride, _mm512_castpd_ps(_mm512_unpackhi_pd(t1, t3)));
#elif defined(TARE_SIMD_256)
    const auto gather_halves = [&](int r) {
        const float* p = from + r * from_stride;
        return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)),
                                    _mm_loadu_ps(p + 4 * from_stride), 1);
    };
    const __m256 r0 = gather_halves(0);
    const __m256 r1 = gather_halves(1);
    const __m256 r2 = gather_halves(2);
    const __m256 r3 = gather_halves(3);
    const __m256d t0 = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1));
    const __m256d t1 = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1));
    const __m256d t2 = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3));
    const __m256d t3 = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));
    _mm256_storeu_ps(to, _mm256_castpd_ps(_mm256_unpacklo_pd(t0, t2)));
    _mm256_storeu_ps(to + to_stride, _mm256_castpd_ps(_mm256_unpackhi_pd(t0, t2)));
    _mm256_storeu_ps(to + 2 * to_stride, _mm256_castpd_ps(_mm256_unpacklo_pd(t1, t3)));
    _mm256_storeu_ps(to + 3 * to_stride, _mm256_castpd_ps(_mm256_unpackhi_pd(t1, t3)));
#else
    for (std::ptrdiff_t c = 0; c < 4; ++c)
        for (std::ptrdiff_t r = 0; r < static_cast<std::ptrdiff_t>(lanes); ++r)
            turned[c * to_stride + r] = numbers[r * from_stride + c];
#endif
}

/// Transposes a block of lanes x lanes floats: to[c * to_stride + r] = from[r * from_stride + c].
inline void transpose_block(const float* from, std::ptrdiff_t from_stride, float* to,
                            std::ptrdiff_t to_stride) {
#if defined(TARE_NO_SIMD)
    static_cast<void>(from_stride);
    static_cast<void>(to_stride);
    *to = *from;
#else
    for (std::ptrdiff_t c = 0; c < static_cast<std::ptrdiff_t>(lanes); c += 4)
        transpose_columns(from + c, from_stride, to + c * to_stride, to_stride);
#endif
}

}  // namespace tare::simd
