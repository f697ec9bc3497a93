#pragma once
// SPDX-License-Identifier: MIT
// Registers of 64-bit words: what a counter-based random generator needs of them.

#include <cstddef>
#include <cstdint>
#include <cstring>

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

#ifdef TARE_NO_SIMD

using words64 = std::uint64_t;
inline constexpr std::size_t lanes64 = 1;

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

using words64 = xsimd::batch<std::uint64_t>;
inline constexpr std::size_t lanes64 = words64::size;

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

}  // namespace tare::simd

#ifndef TARE_NO_SIMD
#pragma GCC diagnostic pop
#endif
