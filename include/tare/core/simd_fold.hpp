#pragma once
// SPDX-License-Identifier: MIT
// One value out of the lanes of a register, in an order of their own that every build shares.

#include <cstddef>

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

}  // namespace tare::simd

#ifndef TARE_NO_SIMD
#pragma GCC diagnostic pop
#endif
