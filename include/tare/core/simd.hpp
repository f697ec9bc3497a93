#pragma once
// SPDX-License-Identifier: MIT
// The only file that includes xsimd, and the home of the few intrinsics that xsimd 8.1 lacks
// (masked loads and stores, streaming stores). More is in simd_masks.hpp, simd_transpose.hpp,
// simd_power.hpp, simd_fold.hpp, simd_words64.hpp and prefetch.hpp. Kernels are written once
// against the names below; with TARE_NO_SIMD they shrink to one lane of plain C++. Kernels whose
// result must not depend on the register width use core/pack.hpp.
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

// Which intrinsics may be used, here and by the files above: all of these or none.
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
inline ints max(ints a, ints b) {
    return a > b ? a : b;
}

#else

using floats = xsimd::batch<float>;
using ints = xsimd::batch<std::int32_t>;
using masks = xsimd::batch_bool<float>;
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
inline ints max(ints a, ints b) {
    return xsimd::max(a, b);
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

}  // namespace tare::simd

#ifndef TARE_NO_SIMD
#pragma GCC diagnostic pop
#endif
