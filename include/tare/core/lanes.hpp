#pragma once
// SPDX-License-Identifier: MIT
// Movement between lanes that xsimd 8.1 lacks: full 32 x 32 bit products and a 16 x 16 transpose;
// and what only integers in packs need.

#include <cstddef>
#include <cstdint>

#include <tare/core/pack.hpp>

#ifndef TARE_NO_SIMD
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif

namespace tare::simd {

/// Upper and lower 32 bits of unsigned products.
struct wide_product {
    int_pack high;
    int_pack low;
};

/// a * factor, all 64 bits, lane by lane, unsigned.
[[gnu::always_inline]] inline wide_product multiply_wide(const int_pack& a, std::uint32_t factor) {
    wide_product out;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < pack_registers; ++r) {
#if defined(TARE_SIMD_512)
        const __m512i v = a.part[r];
        const __m512i f = _mm512_set1_epi64(static_cast<long long>(factor));
        // Products of the even lanes, then of the odd ones; halves go back to their lanes.
        const __m512i even = _mm512_mul_epu32(v, f);
        const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(v, 32), f);
        out.low.part[r] = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
        out.high.part[r] = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
#elif defined(TARE_SIMD_256)
        const __m256i v = a.part[r];
        const __m256i f = _mm256_set1_epi64x(static_cast<long long>(factor));
        const __m256i even = _mm256_mul_epu32(v, f);
        const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(v, 32), f);
        out.low.part[r] = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
        out.high.part[r] = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
#elif !defined(TARE_NO_SIMD)
        alignas(64) std::int32_t lane[lanes];
        alignas(64) std::int32_t high[lanes];
        alignas(64) std::int32_t low[lanes];
        a.part[r].store_aligned(lane);
        for (std::size_t i = 0; i < lanes; ++i) {
            const std::uint64_t p =
                std::uint64_t{static_cast<std::uint32_t>(lane[i])} * std::uint64_t{factor};
            high[i] = static_cast<std::int32_t>(p >> 32);
            low[i] = static_cast<std::int32_t>(p & 0xFFFFFFFFU);
        }
        out.high.part[r] = ints::load_aligned(high);
        out.low.part[r] = ints::load_aligned(low);
#else
        const std::uint64_t p =
            std::uint64_t{static_cast<std::uint32_t>(a.part[r])} * std::uint64_t{factor};
        out.high.part[r] = static_cast<std::int32_t>(p >> 32);
        out.low.part[r] = static_cast<std::int32_t>(p & 0xFFFFFFFFU);
#endif
    }
    return out;
}

/// Sixteen integers at p, and back.
[[gnu::always_inline]] inline int_pack load_ints(const std::int32_t* p) {
    int_pack out;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < pack_registers; ++r) {
#ifdef TARE_NO_SIMD
        out.part[r] = p[r];
#else
        out.part[r] = ints::load_unaligned(p + r * lanes);
#endif
    }
    return out;
}

/// The larger integers, lane by lane.
[[gnu::always_inline]] inline int_pack larger(const int_pack& a, const int_pack& b) {
    return detail::each(
        [](ints x, ints y) -> ints {
#ifdef TARE_NO_SIMD
            return x < y ? y : x;
#else
            return xsimd::max(x, y);
#endif
        },
        a, b);
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

/// out[c][r] = in[r][c] for a block of 16 x 16 floats; steps in elements.
inline void transpose_16x16(const float* in, std::ptrdiff_t in_step, float* out,
                            std::ptrdiff_t out_step) {
#if defined(TARE_SIMD_512)
    // Four stages that double the block size: 32-bit pairs, 64-bit pairs, then whole quarters.
    __m512 a[16];
    __m512 b[16];
    for (int r = 0; r < 16; ++r)
        a[r] = _mm512_loadu_ps(in + r * in_step);
    for (int r = 0; r < 16; r += 2) {
        b[r] = _mm512_unpacklo_ps(a[r], a[r + 1]);
        b[r + 1] = _mm512_unpackhi_ps(a[r], a[r + 1]);
    }
    for (int r = 0; r < 16; r += 4) {
        a[r] = _mm512_shuffle_ps(b[r], b[r + 2], 0x44);
        a[r + 1] = _mm512_shuffle_ps(b[r], b[r + 2], 0xEE);
        a[r + 2] = _mm512_shuffle_ps(b[r + 1], b[r + 3], 0x44);
        a[r + 3] = _mm512_shuffle_ps(b[r + 1], b[r + 3], 0xEE);
    }
    for (int r = 0; r < 16; r += 8) {
        for (int k = 0; k < 4; ++k) {
            b[r + k] = _mm512_shuffle_f32x4(a[r + k], a[r + k + 4], 0x88);
            b[r + k + 4] = _mm512_shuffle_f32x4(a[r + k], a[r + k + 4], 0xDD);
        }
    }
    for (int k = 0; k < 8; ++k) {
        a[k] = _mm512_shuffle_f32x4(b[k], b[k + 8], 0x88);
        a[k + 8] = _mm512_shuffle_f32x4(b[k], b[k + 8], 0xDD);
    }
    for (int r = 0; r < 16; ++r)
        _mm512_storeu_ps(out + r * out_step, a[r]);
#else
    // Short tiles keep both sides in few cache lines; the compiler unrolls and vectorises them.
    for (int c0 = 0; c0 < 16; c0 += 4) {
        for (int r = 0; r < 16; ++r) {
            for (int c = c0; c < c0 + 4; ++c)
                out[c * out_step + r] = in[r * in_step + c];
        }
    }
#endif
}

}  // namespace tare::simd

#ifndef TARE_NO_SIMD
#pragma GCC diagnostic pop
#endif
