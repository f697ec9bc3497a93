#pragma once
// SPDX-License-Identifier: MIT
// The only file that includes xsimd, and the home of the few intrinsics that xsimd 8.1 lacks
// (masked loads and stores, transposes, reductions in a fixed order). Kernels are written once
// against the names below; with TARE_NO_SIMD they shrink to one lane of plain C++.
//
// Traps of xsimd 8.1 kept out of the kernels: rsqrt does not compile for AVX-512, != is false on
// NaN, round() is half away from zero (use nearbyint), bitwise_andnot negates its first operand,
// fma is a product and a sum for AVX-512 (this build forbids contraction, so it would stay that).

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#ifndef TARE_NO_SIMD
// GCC 12 warns falsely about undefined upper halves inside avx512fintrin.h.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#include <xsimd/xsimd.hpp>
#endif

// Which intrinsics the helpers below may use; undefined again at the end of the file.
#if !defined(TARE_NO_SIMD) && defined(__AVX512F__) && defined(__AVX512DQ__) &&                     \
    defined(__AVX512BW__) && defined(__AVX512VL__)
#define TARE_SIMD_512
#elif !defined(TARE_NO_SIMD) && defined(__AVX2__) && defined(__FMA__)
#define TARE_SIMD_256
#endif

namespace tare::simd {

#ifdef TARE_NO_SIMD

inline constexpr std::size_t lanes = 1;
using floats = float;
using ints = std::int32_t;

inline floats load(const float* p) {
    return *p;
}
inline void store(float* p, floats v) {
    *p = v;
}
inline floats broadcast(float v) {
    return v;
}
inline floats max(floats a, floats b) {
    return a > b ? a : b;
}
inline floats min(floats a, floats b) {
    return a < b ? a : b;
}
inline floats nearbyint(floats a) {
    return std::nearbyint(a);
}
inline float reduce_add(floats v) {
    return v;
}

#else

using floats = xsimd::batch<float>;
using ints = xsimd::batch<std::int32_t>;
inline constexpr std::size_t lanes = floats::size;

inline floats load(const float* p) {
    return floats::load_unaligned(p);
}
inline void store(float* p, floats v) {
    v.store_unaligned(p);
}
inline floats broadcast(float v) {
    return floats(v);
}
inline floats max(floats a, floats b) {
    return xsimd::max(a, b);
}
inline floats min(floats a, floats b) {
    return xsimd::min(a, b);
}
inline floats nearbyint(floats a) {
    return xsimd::nearbyint(a);
}
inline float reduce_add(floats v) {
    return xsimd::hadd(v);
}

#endif

/// a * b + c, rounded once on AVX2 and AVX-512.
inline floats fma(floats a, floats b, floats c) {
#if defined(TARE_SIMD_512)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(TARE_SIMD_256)
    return _mm256_fmadd_ps(a, b, c);
#else
    return a * b + c;
#endif
}

/// The first `count` <= lanes floats at p, zeros behind them; nothing else is touched.
inline floats load_partial(const float* p, std::size_t count) {
#if defined(TARE_SIMD_512)
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << count) - 1U), p);
#else
    alignas(64) float block[lanes] = {};
    std::memcpy(block, p, count * sizeof(float));
    return load(block);
#endif
}

/// Writes the first `count` <= lanes floats of v to p.
inline void store_partial(float* p, floats v, std::size_t count) {
#if defined(TARE_SIMD_512)
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1U << count) - 1U), v);
#else
    alignas(64) float block[lanes];
    store(block, v);
    std::memcpy(p, block, count * sizeof(float));
#endif
}

/// Transposes a block of lanes x lanes floats: to[c * to_stride + r] = from[r * from_stride + c].
inline void transpose_block(const float* from, std::ptrdiff_t from_stride, float* to,
                            std::ptrdiff_t to_stride) {
#if defined(TARE_SIMD_512)
    // Quarter q of row 4 g + q comes in through a load, not a shuffle: port 5 would be the limit.
    const auto gather_quarters = [&](int r, int column) {
        const float* p = from + r * from_stride + column;
        __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(p));
        v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 4 * from_stride), 1);
        v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 8 * from_stride), 2);
        return _mm512_insertf32x4(v, _mm_loadu_ps(p + 12 * from_stride), 3);
    };
    for (int column = 0; column < 16; column += 4) {
        const __m512 r0 = gather_quarters(0, column);
        const __m512 r1 = gather_quarters(1, column);
        const __m512 r2 = gather_quarters(2, column);
        const __m512 r3 = gather_quarters(3, column);
        const __m512d t0 = _mm512_castps_pd(_mm512_unpacklo_ps(r0, r1));
        const __m512d t1 = _mm512_castps_pd(_mm512_unpackhi_ps(r0, r1));
        const __m512d t2 = _mm512_castps_pd(_mm512_unpacklo_ps(r2, r3));
        const __m512d t3 = _mm512_castps_pd(_mm512_unpackhi_ps(r2, r3));
        float* out = to + column * to_stride;
        _mm512_storeu_ps(out, _mm512_castpd_ps(_mm512_unpacklo_pd(t0, t2)));
        _mm512_storeu_ps(out + to_stride, _mm512_castpd_ps(_mm512_unpackhi_pd(t0, t2)));
        _mm512_storeu_ps(out + 2 * to_stride, _mm512_castpd_ps(_mm512_unpacklo_pd(t1, t3)));
        _mm512_storeu_ps(out + 3 * to_stride, _mm512_castpd_ps(_mm512_unpackhi_pd(t1, t3)));
    }
#elif defined(TARE_SIMD_256)
    const auto gather_halves = [&](int r, int column) {
        const float* p = from + r * from_stride + column;
        return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)),
                                    _mm_loadu_ps(p + 4 * from_stride), 1);
    };
    for (int column = 0; column < 8; column += 4) {
        const __m256 r0 = gather_halves(0, column);
        const __m256 r1 = gather_halves(1, column);
        const __m256 r2 = gather_halves(2, column);
        const __m256 r3 = gather_halves(3, column);
        const __m256d t0 = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1));
        const __m256d t1 = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1));
        const __m256d t2 = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3));
        const __m256d t3 = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));
        float* out = to + column * to_stride;
        _mm256_storeu_ps(out, _mm256_castpd_ps(_mm256_unpacklo_pd(t0, t2)));
        _mm256_storeu_ps(out + to_stride, _mm256_castpd_ps(_mm256_unpackhi_pd(t0, t2)));
        _mm256_storeu_ps(out + 2 * to_stride, _mm256_castpd_ps(_mm256_unpacklo_pd(t1, t3)));
        _mm256_storeu_ps(out + 3 * to_stride, _mm256_castpd_ps(_mm256_unpackhi_pd(t1, t3)));
    }
#else
    constexpr auto side = static_cast<std::ptrdiff_t>(lanes);
    for (std::ptrdiff_t c = 0; c < side; ++c)
        for (std::ptrdiff_t r = 0; r < side; ++r)
            to[c * to_stride + r] = from[r * from_stride + c];
#endif
}

}  // namespace tare::simd

#undef TARE_SIMD_512
#undef TARE_SIMD_256
#ifndef TARE_NO_SIMD
#pragma GCC diagnostic pop
#endif
