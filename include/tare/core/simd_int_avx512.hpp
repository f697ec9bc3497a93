#pragma once
// SPDX-License-Identifier: MIT
// The words of simd_int.hpp in AVX-512 registers; VNNI and BF16 instructions where the compiler may
// use them. Included by simd_int.hpp alone.

#include <cstddef>
#include <cstdint>

#include <tare/core/simd.hpp>
#include <tare/core/simd_int_words.hpp>

#if defined(TARE_SIMD_512)

// GCC 12 warns falsely about undefined registers inside its own intrinsics; the pragmas have to
// stand around the functions that use them.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace tare::simd {

/// Sums that a tile may keep in registers, of 32.
inline constexpr int word_sums = 24;
inline constexpr int byte_sums = 24;
/// Rows of the largest tile.
inline constexpr int word_tile_rows = 12;
inline constexpr int byte_tile_rows = 12;
/// Fields of a byte may stay where they are: the dot product takes any unsigned byte.
inline constexpr bool any_byte_is_small = true;
/// Whether dot_s16 is one instruction that costs what a fused multiply-add costs.
#if defined(__AVX512VNNI__)
inline constexpr bool dot_is_fast = true;
#else
inline constexpr bool dot_is_fast = false;
#endif

/// Sixteen float sums.
using reals = __m512;

/// The register as the intrinsics name it.
[[gnu::always_inline]] inline __m512i raw(words a) {
    return (__m512i)a;
}
/// A 16-bit number for each lane, from p on. (GCC 12 makes four instructions of a vector's
/// conversion.)
[[gnu::always_inline]] inline words load_halves(const std::uint16_t* p) {
    return words(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
}
/// The same with signs.
[[gnu::always_inline]] inline words load_halves(const std::int16_t* p) {
    return words(_mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
}
/// Writes the first `count` <= 16 words.
[[gnu::always_inline]] inline void store_words(std::int32_t* p, words a, std::size_t count) {
    _mm512_mask_storeu_epi32(p, static_cast<__mmask16>((1U << count) - 1U), raw(a));
}
[[gnu::always_inline]] inline words dot_s16(words acc, words a, words b) {
#if defined(__AVX512VNNI__)
    return words(_mm512_dpwssd_epi32(raw(acc), raw(a), raw(b)));
#else
    return words(_mm512_add_epi32(raw(acc), _mm512_madd_epi16(raw(a), raw(b))));
#endif
}
[[gnu::always_inline]] inline words dot_u8s8(words acc, words u, words s) {
#if defined(__AVX512VNNI__)
    return words(_mm512_dpbusd_epi32(raw(acc), raw(u), raw(s)));
#else
    const __m512i even = _mm512_madd_epi16(_mm512_and_si512(raw(u), _mm512_set1_epi16(255)),
                                           _mm512_srai_epi16(_mm512_slli_epi16(raw(s), 8), 8));
    const __m512i odd =
        _mm512_madd_epi16(_mm512_srli_epi16(raw(u), 8), _mm512_srai_epi16(raw(s), 8));
    return words(_mm512_add_epi32(raw(acc), _mm512_add_epi32(even, odd)));
#endif
}
[[gnu::always_inline]] inline words dot_small_u8s8(words acc, words u, words s) {
    return dot_u8s8(acc, u, s);
}

[[gnu::always_inline]] inline reals reals_of(float value) {
    return _mm512_set1_ps(value);
}
// AMD's cores do two vdpbf16ps a cycle, Intel's (Sapphire Rapids) one in two cycles: there two fma
// on widened codes are a quarter faster in a tile.
[[gnu::always_inline]] inline reals dot_bf16(reals acc, words a, words b) {
#if defined(__AVX512BF16__) && (defined(__znver3__) || defined(__znver4__) || defined(__znver5__))
    return _mm512_dpbf16_ps(acc, (__m512bh)raw(a), (__m512bh)raw(b));
#else
    const __m512i high = _mm512_set1_epi32(static_cast<std::int32_t>(0xFFFF0000U));
    const __m512 low = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(raw(a), 16)),
                                       _mm512_castsi512_ps(_mm512_slli_epi32(raw(b), 16)), acc);
    return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(raw(a), high)),
                           _mm512_castsi512_ps(_mm512_and_si512(raw(b), high)), low);
#endif
}

/// Writes a byte for each lane; lanes are integers from -128 to 127.
[[gnu::always_inline]] inline void store_bytes(std::int8_t* p, floats a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}
/// Part `part` of the words, rounded to float (half to even).
[[gnu::always_inline]] inline floats part_to_floats(words a, int) {
    return _mm512_cvtepi32_ps(raw(a));
}
/// The bits of part `part`.
[[gnu::always_inline]] inline floats part_as_floats(words a, int) {
    return _mm512_castsi512_ps(raw(a));
}
[[gnu::always_inline]] inline floats part_of(reals a, int) {
    return a;
}

/// Lane i is the next value at p where bit i of `mask` is set, zero elsewhere. Reads sixteen
/// floats from p on.
[[gnu::always_inline]] inline floats expand(std::uint32_t mask, const float* p) {
    // Where it comes from a shift GCC 12 shifts in mask registers, which costs three instructions
    // of the port that expands.
    asm("" : "+r"(mask));
    return _mm512_maskz_expand_ps(static_cast<__mmask16>(mask), _mm512_loadu_ps(p));
}

/// The byte at 8 i is all ones where bit i of `bits` is set, zero elsewhere.
[[gnu::always_inline]] inline words byte_mask(std::uint64_t bits) {
    return words(_mm512_movm_epi8(bits));
}
/// -x in the bytes whose bit is set, x in the others.
[[gnu::always_inline]] inline words negate_bytes(std::uint64_t bits, words x) {
    return words(_mm512_mask_sub_epi8(raw(x), bits, _mm512_setzero_si512(), raw(x)));
}
/// Byte i is the next one at p where bit i of `bits` is set, zero elsewhere. Reads 64 bytes from p
/// on.
[[gnu::always_inline]] inline words expand_bytes(std::uint64_t bits, const std::uint8_t* p) {
#if defined(__AVX512VBMI2__)
    return words(_mm512_maskz_expand_epi8(bits, _mm512_loadu_si512(p)));
#else
    alignas(64) std::uint8_t block[64];
    for (int i = 0; i < 64; ++i)
        block[i] = (bits >> i & 1U) != 0 ? *p++ : std::uint8_t{0};
    return load_words(block);
#endif
}

}  // namespace tare::simd

#pragma GCC diagnostic pop

#endif
