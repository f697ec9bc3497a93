#pragma once
// SPDX-License-Identifier: MIT
// One value out of the lanes of a register or of a pack, in an order that every build shares: the
// order of pairs does not depend on how wide the registers are.

#include <cstddef>

#include <tare/core/pack_group.hpp>
#include <tare/core/simd.hpp>

#ifndef TARE_NO_SIMD
// As in simd.hpp.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif

namespace tare::simd {

/// Folds the lanes of one register by halves: lane i joins lane i + n/2, then i + n/4, and so on to
/// lane 0. `join` must serve registers of every width.
template <class Join>
inline float fold(floats v, Join join) {
#if defined(TARE_NO_SIMD)
    static_cast<void>(join);
    return v;
#elif defined(TARE_SIMD_512) || defined(TARE_SIMD_256)
    using quarter = xsimd::batch<float, xsimd::sse2>;
#if defined(TARE_SIMD_512)
    using half = xsimd::batch<float, xsimd::avx>;
    const half eight = join(half(_mm512_castps512_ps256(v)), half(_mm512_extractf32x8_ps(v, 1)));
#else
    const __m256 eight = v;
#endif
    const quarter four =
        join(quarter(_mm256_castps256_ps128(eight)), quarter(_mm256_extractf128_ps(eight, 1)));
    const quarter two = join(four, quarter(_mm_movehl_ps(four, four)));
    const quarter one = join(two, quarter(_mm_shuffle_ps(two, two, 1)));
    return _mm_cvtss_f32(one);
#else
    alignas(64) float lane[lanes];
    store(lane, v);
    for (std::size_t half = lanes / 2; half > 0; half /= 2) {
        for (std::size_t i = 0; i < half; ++i)
            lane[i] = join(floats(lane[i]), floats(lane[i + half])).get(0);
    }
    return lane[0];
#endif
}

/// Folds the lanes by halves: lane i joins lane i + 8, then + 4, + 2, + 1. `join` must serve
/// registers of every width.
template <class Join>
[[gnu::always_inline]] inline float fold(pack v, Join join) {
#pragma GCC unroll 4
    for (std::size_t half = pack_registers / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
        for (std::size_t r = 0; r < half; ++r)
            v.part[r] = join(v.part[r], v.part[r + half]);
    }
    return fold(v.part[0], join);
}
/// Sum of the lanes in the order of fold().
[[gnu::always_inline]] inline float reduce_add(const pack& v) {
    return fold(v, [](auto a, auto b) -> decltype(a) { return a + b; });
}
/// Largest lane; no promise where a lane is NaN.
[[gnu::always_inline]] inline float reduce_max(const pack& v) {
    return fold(v, [](auto a, auto b) -> decltype(a) { return max(a, b); });
}
/// Smallest lane; no promise where a lane is NaN.
[[gnu::always_inline]] inline float reduce_min(const pack& v) {
    return fold(v, [](auto a, auto b) -> decltype(a) { return min(a, b); });
}

/// out[r] = reduce_add(v[r]), bit by bit, for four packs in the time of little more than one.
[[gnu::always_inline]] inline void reduce_add(const pack (&v)[4], float (&out)[4]) {
#if defined(TARE_SIMD_512)
    // The halves of fold() for two rows, then four, in one register.
    const auto halves = [](__m512 a, __m512 b) {
        return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
    };
    const __m512 ab = halves(v[0].part[0], v[1].part[0]);
    const __m512 cd = halves(v[2].part[0], v[3].part[0]);
    __m512 sum =
        _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
    sum = _mm512_add_ps(sum, _mm512_permute_ps(sum, 0x4E));
    sum = _mm512_add_ps(sum, _mm512_permute_ps(sum, 0xB1));
    out[0] = _mm512_cvtss_f32(sum);
    out[1] = _mm_cvtss_f32(_mm512_extractf32x4_ps(sum, 1));
    out[2] = _mm_cvtss_f32(_mm512_extractf32x4_ps(sum, 2));
    out[3] = _mm_cvtss_f32(_mm512_extractf32x4_ps(sum, 3));
#else
    for (int r = 0; r < 4; ++r)
        out[r] = reduce_add(v[r]);
#endif
}

}  // namespace tare::simd

#ifndef TARE_NO_SIMD
#pragma GCC diagnostic pop
#endif
