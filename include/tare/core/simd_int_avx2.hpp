#pragma once
// SPDX-License-Identifier: MIT
// The words of simd_int.hpp in AVX2 registers. Included by simd_int.hpp alone.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tare/core/simd.hpp>
#include <tare/core/simd_int_words.hpp>

#if defined(TARE_SIMD_256)

namespace tare::simd {

/// Sums that a tile may keep in registers, of 16; byte products need four more registers for the
/// widened halves.
inline constexpr int word_sums = 12;
inline constexpr int byte_sums = 8;
/// Rows of the largest tile.
inline constexpr int word_tile_rows = 6;
inline constexpr int byte_tile_rows = 4;
/// Fields of a byte are moved down, so that they stay small enough for vpmaddubsw.
inline constexpr bool any_byte_is_small = false;
/// dot_s16 takes a multiplication and an addition.
inline constexpr bool dot_is_fast = false;

/// Eight float sums.
using reals = __m256;

/// The register as the intrinsics name it.
[[gnu::always_inline]] inline __m256i raw(words a) {
    return (__m256i)a;
}
/// A 16-bit number for each lane, from p on. (GCC 12 makes four instructions of a vector's
/// conversion.)
[[gnu::always_inline]] inline words load_halves(const std::uint16_t* p) {
    return words(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
/// The same with signs.
[[gnu::always_inline]] inline words load_halves(const std::int16_t* p) {
    return words(_mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
/// Writes the first `count` <= 8 words.
[[gnu::always_inline]] inline void store_words(std::int32_t* p, words a, std::size_t count) {
    alignas(32) std::int32_t block[word_lane_count];
    store_words(block, a);
    std::memcpy(p, block, count * sizeof(std::int32_t));
}
[[gnu::always_inline]] inline words dot_s16(words acc, words a, words b) {
    return words(_mm256_add_epi32(raw(acc), _mm256_madd_epi16(raw(a), raw(b))));
}
[[gnu::always_inline]] inline words dot_u8s8(words acc, words u, words s) {
#if defined(__AVXVNNI__)
    return words(_mm256_dpbusd_avx_epi32(raw(acc), raw(u), raw(s)));
#else
    // Bytes 0 and 2 of a word, then 1 and 3, as 16-bit numbers. Each half is loop-invariant for one
    // of the operands and moves out of the tile's inner loop.
    const __m256i even = _mm256_madd_epi16(_mm256_and_si256(raw(u), _mm256_set1_epi16(255)),
                                           _mm256_srai_epi16(_mm256_slli_epi16(raw(s), 8), 8));
    const __m256i odd =
        _mm256_madd_epi16(_mm256_srli_epi16(raw(u), 8), _mm256_srai_epi16(raw(s), 8));
    return words(_mm256_add_epi32(_mm256_add_epi32(raw(acc), even), odd));
#endif
}
[[gnu::always_inline]] inline words dot_small_u8s8(words acc, words u, words s) {
#if defined(__AVXVNNI__)
    return dot_u8s8(acc, u, s);
#else
    return dot_s16(acc, words(_mm256_maddubs_epi16(raw(u), raw(s))), words(_mm256_set1_epi16(1)));
#endif
}

[[gnu::always_inline]] inline reals reals_of(float value) {
    return _mm256_set1_ps(value);
}
/// A product of two bfloat16 has at most 16 significant bits, so fusing changes nothing but time.
[[gnu::always_inline]] inline reals dot_bf16(reals acc, words a, words b) {
    const __m256i high = _mm256_set1_epi32(static_cast<std::int32_t>(0xFFFF0000U));
    const __m256 low = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_slli_epi32(raw(a), 16)),
                                       _mm256_castsi256_ps(_mm256_slli_epi32(raw(b), 16)), acc);
    return _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_and_si256(raw(a), high)),
                           _mm256_castsi256_ps(_mm256_and_si256(raw(b), high)), low);
}

/// Writes a byte for each lane; lanes are integers from -128 to 127.
[[gnu::always_inline]] inline void store_bytes(std::int8_t* p, floats a) {
    const __m256i codes = _mm256_cvtps_epi32(a);
    const __m128i halves =
        _mm_packs_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(halves, halves));
}
/// Part `part` of the words, rounded to float (half to even).
[[gnu::always_inline]] inline floats part_to_floats(words a, int) {
    return _mm256_cvtepi32_ps(raw(a));
}
/// The bits of part `part`.
[[gnu::always_inline]] inline floats part_as_floats(words a, int) {
    return _mm256_castsi256_ps(raw(a));
}
[[gnu::always_inline]] inline floats part_of(reals a, int) {
    return a;
}

namespace detail {

/// For each 8-bit mask: which of the next values each lane takes. AVX2 has no expand instruction.
consteval std::array<std::array<std::uint8_t, 8>, 256> expansion_table() {
    std::array<std::array<std::uint8_t, 8>, 256> table{};
    for (unsigned mask = 0; mask < 256; ++mask) {
        std::uint8_t next = 0;
        for (unsigned lane = 0; lane < 8; ++lane)
            if ((mask >> lane & 1U) != 0) table[mask][lane] = next++;
    }
    return table;
}
alignas(64) inline constexpr auto expansion = expansion_table();

/// All ones in the lanes whose bit is set.
[[gnu::always_inline]] inline __m256i lanes_of(std::uint32_t mask) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi32(static_cast<std::int32_t>(mask)), bit);
    return _mm256_cmpeq_epi32(set, bit);
}

}  // namespace detail

/// Lane i is the next value at p where bit i of `mask` is set, zero elsewhere. Reads eight floats
/// from p on.
[[gnu::always_inline]] inline floats expand(std::uint32_t mask, const float* p) {
    std::int64_t packed;
    std::memcpy(&packed, detail::expansion[mask & 255U].data(), sizeof packed);
    const __m256i from = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(packed));
    const __m256 values = _mm256_permutevar8x32_ps(_mm256_loadu_ps(p), from);
    return _mm256_and_ps(values, _mm256_castsi256_ps(detail::lanes_of(mask)));
}

/// The byte at 8 i is all ones where bit i < 32 of `bits` is set, zero elsewhere.
[[gnu::always_inline]] inline words byte_mask(std::uint64_t bits) {
    const __m256i bit = _mm256_set1_epi64x(static_cast<std::int64_t>(0x8040201008040201U));
    const __m256i which =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i each = _mm256_shuffle_epi8(
        _mm256_set1_epi32(static_cast<std::int32_t>(static_cast<std::uint32_t>(bits))), which);
    return words(_mm256_cmpeq_epi8(_mm256_and_si256(each, bit), bit));
}
/// -x in the bytes whose bit is set, x in the others.
[[gnu::always_inline]] inline words negate_bytes(std::uint64_t bits, words x) {
    const __m256i flip = raw(byte_mask(bits));
    return words(_mm256_sub_epi8(_mm256_xor_si256(raw(x), flip), flip));
}
/// Byte i is the next one at p where bit i < 32 of `bits` is set, zero elsewhere. Reads 32 bytes
/// from p on.
[[gnu::always_inline]] inline words expand_bytes(std::uint64_t bits, const std::uint8_t* p) {
    alignas(32) std::uint64_t block[4];
    for (int i = 0; i < 4; ++i) {
        const std::uint64_t eight = bits >> (8 * i) & 255U;
#if defined(__BMI2__)
        std::uint64_t next;
        std::memcpy(&next, p, sizeof next);
        block[i] = _pdep_u64(next, _pdep_u64(eight, 0x0101010101010101U) * 255U);
        p += std::popcount(eight);
#else
        block[i] = 0;
        for (int j = 0; j < 8; ++j)
            if ((eight >> j & 1U) != 0) block[i] |= std::uint64_t{*p++} << (8 * j);
#endif
    }
    return load_words(block);
}

}  // namespace tare::simd

#endif
