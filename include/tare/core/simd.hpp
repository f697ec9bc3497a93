#pragma once
// SPDX-License-Identifier: MIT
// The only file that includes xsimd, and the home of the few intrinsics that xsimd 8.1 lacks
// (masked loads and stores, streaming stores, scaling by powers of two). Masks beyond comparisons,
// transposes and prefetching are in simd_masks.hpp, simd_transpose.hpp and prefetch.hpp. Kernels
// are written once against the names below; with TARE_NO_SIMD they shrink to one lane of plain C++.
// Kernels whose result must not depend on the register width use core/pack.hpp.
//
// Traps of xsimd 8.1 kept out of the kernels: rsqrt does not compile for AVX-512, != is false on
// NaN, round() is half away from zero (use nearbyint), bitwise_andnot negates its first operand,
// fma is a product and a sum for AVX-512 (this build forbids contraction, so it would stay that).

#include <bit>
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

// Which intrinsics may be used, here and by core/lanes.hpp: all of these or none.
#if !defined(TARE_NO_SIMD) && defined(__AVX512F__) && defined(__AVX512DQ__) &&                     \
    defined(__AVX512BW__) && defined(__AVX512VL__)
#define TARE_SIMD_512
#elif !defined(TARE_NO_SIMD) && defined(__AVX2__) && defined(__FMA__)
#define TARE_SIMD_256
#endif

namespace tare::simd {

/// Whether fma() rounds once. Without it results may differ from other builds in the last bits.
#if defined(TARE_SIMD_512) || defined(TARE_SIMD_256)
inline constexpr bool fused = true;
#else
inline constexpr bool fused = false;
#endif

#ifdef TARE_NO_SIMD

inline constexpr std::size_t lanes = 1;
using floats = float;
using ints = std::int32_t;
using masks = bool;
using words64 = std::uint64_t;
inline constexpr std::size_t lanes64 = 1;

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
inline floats abs(floats a) {
    return std::fabs(a);
}
inline floats sqrt(floats a) {
    return std::sqrt(a);
}
inline floats nearbyint(floats a) {
    return std::nearbyint(a);
}
inline float reduce_add(floats v) {
    return v;
}
inline floats select(masks m, floats a, floats b) {
    return m ? a : b;
}
inline ints as_ints(floats v) {
    return std::bit_cast<ints>(v);
}
inline floats as_floats(ints v) {
    return std::bit_cast<floats>(v);
}
inline floats to_floats(ints v) {
    return static_cast<float>(v);
}
/// v << bits, as if unsigned.
inline ints shift_left(ints v, int bits) {
    return static_cast<ints>(static_cast<std::uint32_t>(v) << bits);
}
/// v >> bits, keeping the sign.
inline ints shift_right(ints v, int bits) {
    return v >> bits;
}
inline ints add(ints a, ints b) {
    return static_cast<ints>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
}
inline words64 load(const std::uint64_t* p) {
    return *p;
}
/// Stores a0 b0 a1 b1 ... to unaligned memory of any type.
inline void store_in_turns(void* p, words64 a, words64 b) {
    const words64 both[2] = {a, b};
    std::memcpy(p, both, sizeof both);
}
/// Product of the low 32 bits of each lane, 64 bits wide.
inline words64 mul_low(words64 a, words64 b) {
    return (a & 0xFFFF'FFFFU) * (b & 0xFFFF'FFFFU);
}
/// The high 32 bits of each lane moved down; what is left above is not specified.
inline words64 high_to_low(words64 a) {
    return a >> 32;
}

#else

using floats = xsimd::batch<float>;
using ints = xsimd::batch<std::int32_t>;
using masks = xsimd::batch_bool<float>;
using words64 = xsimd::batch<std::uint64_t>;
inline constexpr std::size_t lanes = floats::size;
inline constexpr std::size_t lanes64 = words64::size;

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
inline floats abs(floats a) {
    return xsimd::abs(a);
}
inline floats sqrt(floats a) {
    return xsimd::sqrt(a);
}
inline floats nearbyint(floats a) {
    return xsimd::nearbyint(a);
}
inline float reduce_add(floats v) {
    return xsimd::hadd(v);
}
inline floats select(masks m, floats a, floats b) {
    return xsimd::select(m, a, b);
}
inline ints as_ints(floats v) {
    return xsimd::bitwise_cast<ints>(v);
}
inline floats as_floats(ints v) {
    return xsimd::bitwise_cast<floats>(v);
}
inline floats to_floats(ints v) {
    return xsimd::to_float(v);
}
/// v << bits, as if unsigned.
inline ints shift_left(ints v, int bits) {
    return v << bits;
}
/// v >> bits, keeping the sign.
inline ints shift_right(ints v, int bits) {
    return v >> bits;
}
inline ints add(ints a, ints b) {
    return a + b;
}
inline words64 load(const std::uint64_t* p) {
    return words64::load_unaligned(p);
}
/// Stores a0 b0 a1 b1 ... to unaligned memory of any type.
inline void store_in_turns(void* p, words64 a, words64 b) {
    char* const at = static_cast<char*>(p);
#if defined(__AVX512F__)
    const __m512i first = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    const __m512i second = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    _mm512_storeu_si512(at, _mm512_permutex2var_epi64(a, first, b));
    _mm512_storeu_si512(at + 64, _mm512_permutex2var_epi64(a, second, b));
#elif defined(__AVX2__)
    const __m256i even = _mm256_unpacklo_epi64(a, b);
    const __m256i odd = _mm256_unpackhi_epi64(a, b);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at + 32),
                        _mm256_permute2x128_si256(even, odd, 0x31));
#else
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm_unpacklo_epi64(a, b));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at + 16), _mm_unpackhi_epi64(a, b));
#endif
}
/// Product of the low 32 bits of each lane, 64 bits wide.
inline words64 mul_low(words64 a, words64 b) {
#if defined(__AVX512F__)
    return _mm512_mul_epu32(a, b);
#elif defined(__AVX2__)
    return _mm256_mul_epu32(a, b);
#else
    return _mm_mul_epu32(a, b);
#endif
}
/// The high 32 bits of each lane moved down; what is left above is not specified. A shuffle, since
/// AVX-512 shifts share their only port with the multiplications.
inline words64 high_to_low(words64 a) {
#if defined(__AVX512F__)
    return _mm512_shuffle_epi32(a, _MM_PERM_CDAB);
#elif defined(__AVX2__)
    return _mm256_shuffle_epi32(a, 0xB1);
#else
    return _mm_shuffle_epi32(a, 0xB1);
#endif
}

#endif

/// v, in a register from here on: GCC 12 otherwise reads memory again for each use of a loaded
/// value, and reading is what bounds a reduction.
[[gnu::always_inline]] inline floats held(floats v) {
#if defined(TARE_SIMD_512)
    __m512 bits = v;
    asm("" : "+v"(bits));
    return bits;
#elif defined(TARE_SIMD_256)
    __m256 bits = v;
    asm("" : "+x"(bits));
    return bits;
#else
    return v;
#endif
}

/// v, at this place in the order of instructions: the compiler moves nothing that is in_order past
/// something else that is.
[[gnu::always_inline]] inline floats in_order(floats v) {
#if defined(TARE_SIMD_512)
    __m512 bits = v;
    asm volatile("" : "+v"(bits));
    return bits;
#elif defined(TARE_SIMD_256)
    __m256 bits = v;
    asm volatile("" : "+x"(bits));
    return bits;
#else
    return v;
#endif
}

/// a * b + c, rounded once where `fused`.
inline floats fma(floats a, floats b, floats c) {
#if defined(TARE_SIMD_512)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(TARE_SIMD_256)
    return _mm256_fmadd_ps(a, b, c);
#else
    return a * b + c;
#endif
}

/// c - a * b, rounded once where `fused`.
inline floats fnma(floats a, floats b, floats c) {
#if defined(TARE_SIMD_512)
    return _mm512_fnmadd_ps(a, b, c);
#elif defined(TARE_SIMD_256)
    return _mm256_fnmadd_ps(a, b, c);
#else
    return c - a * b;
#endif
}

/// The first `count` <= lanes floats at p, `fill` behind them; no other memory is touched.
inline floats load_partial(const float* p, std::size_t count, float fill = 0.0F) {
#if defined(TARE_SIMD_512)
    return _mm512_mask_loadu_ps(broadcast(fill), static_cast<__mmask16>((1U << count) - 1U), p);
#else
    alignas(64) float block[lanes];
    store(block, broadcast(fill));
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

/// Writes past the caches; p must be a multiple of the register size. Call stream_fence() after.
inline void stream(float* p, floats v) {
#if defined(TARE_SIMD_512)
    _mm512_stream_ps(p, v);
#elif defined(TARE_SIMD_256)
    _mm256_stream_ps(p, v);
#else
    store(p, v);
#endif
}

/// Orders streamed stores before whatever another thread reads later.
inline void stream_fence() {
#if defined(TARE_SIMD_512) || defined(TARE_SIMD_256)
    _mm_sfence();
#endif
}

/// v where m, zero elsewhere.
inline floats keep(masks m, floats v) {
#if defined(TARE_SIMD_512)
    return _mm512_maskz_mov_ps(m, v);
#else
    return select(m, v, broadcast(0.0F));
#endif
}

/// v * 2^n for integral n of any size up to 2^22, rounded once (subnormal results included). |v|
/// must lie in [1/4, 4).
inline floats multiply_power(floats v, floats n) {
#if defined(TARE_SIMD_512)
    return _mm512_scalef_ps(v, n);
#else
    // Two normal factors, clamped where the result is 0 or infinite anyway. The first product
    // is exact, so rounding happens once, in the second.
    const floats bounded = max(min(n, broadcast(252.0F)), broadcast(-252.0F));
    const floats magic = broadcast(0x1.8p23F);
    const ints whole = add(as_ints(bounded + magic), as_ints(broadcast(0.0F)) - as_ints(magic));
    const ints half = shift_right(whole, 1);
    const ints one = as_ints(broadcast(1.0F));
    const floats first = as_floats(add(shift_left(half, 23), one));
    const floats second = as_floats(add(shift_left(whole - half, 23), one));
    return v * first * second;
#endif
}

/// v * 2^n for shifted = n + 1.5 * 2^23 and integral -126 <= n <= 127; cheaper than multiply_power
/// where the machine has no instruction for it. NaN in v stays.
inline floats multiply_near_power(floats v, floats shifted) {
#if defined(TARE_SIMD_512)
    return _mm512_scalef_ps(v, shifted - broadcast(0x1.8p23F));
#else
    // The low bits of `shifted` are n: moved onto the exponent of 1 they make 2^n.
    return v * as_floats(add(shift_left(as_ints(shifted), 23), as_ints(broadcast(1.0F))));
#endif
}

/// The same where m, zero elsewhere.
inline floats multiply_near_power(masks m, floats v, floats shifted) {
#if defined(TARE_SIMD_512)
    return _mm512_maskz_scalef_ps(m, v, shifted - broadcast(0x1.8p23F));
#else
    return keep(m, multiply_near_power(v, shifted));
#endif
}

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
