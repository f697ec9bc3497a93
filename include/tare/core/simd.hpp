#pragma once
// SPDX-License-Identifier: MIT
// The only file that includes xsimd, and the home of the few intrinsics that xsimd 8.1 lacks
// (masked loads and stores, reductions in a fixed order). Kernels are written once against the
// names below; with TARE_NO_SIMD they shrink to one lane of plain C++.
//
// Traps of xsimd 8.1 kept out of the kernels: rsqrt does not compile for AVX-512, != is false on
// NaN, round() is half away from zero (use nearbyint), bitwise_andnot negates its first operand.

#include <cmath>
#include <cstddef>
#include <cstdint>

#ifndef TARE_NO_SIMD
// GCC 12 warns falsely about undefined upper halves inside avx512fintrin.h.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#include <xsimd/xsimd.hpp>
#pragma GCC diagnostic pop
#endif

namespace tare::simd {

#ifdef TARE_NO_SIMD

inline constexpr std::size_t lanes = 1;
using floats = float;
using ints = std::int32_t;
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
inline floats fma(floats a, floats b, floats c) {
    return a * b + c;
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
inline words64 load(const std::uint64_t* p) {
    return *p;
}
inline void store(std::uint64_t* p, words64 v) {
    *p = v;
}
/// Product of the low 32 bits of each lane, 64 bits wide.
inline words64 mul_low(words64 a, words64 b) {
    return (a & 0xFFFF'FFFFU) * (b & 0xFFFF'FFFFU);
}

#else

using floats = xsimd::batch<float>;
using ints = xsimd::batch<std::int32_t>;
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
inline floats fma(floats a, floats b, floats c) {
    return xsimd::fma(a, b, c);
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
inline words64 load(const std::uint64_t* p) {
    return words64::load_unaligned(p);
}
inline void store(std::uint64_t* p, words64 v) {
    v.store_unaligned(p);
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

#endif

}  // namespace tare::simd
