#pragma once
// SPDX-License-Identifier: MIT
// Tables of floats that every lane looks up by an index of its own: held in registers where there
// are so many (AVX-512), read from memory elsewhere. And what the codes of packed numbers need on
// their way to such a table.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tare/core/simd.hpp>

namespace tare::simd {

/// values[index] for each lane, read from memory.
[[gnu::always_inline]] inline floats gather(const float* values, ints index) {
#if defined(TARE_SIMD_512)
    return _mm512_i32gather_ps(index, values, 4);
#elif defined(TARE_SIMD_256)
    return _mm256_i32gather_ps(values, index, 4);
#elif defined(TARE_NO_SIMD)
    return values[index];
#else
    float out[lanes];
    std::int32_t at[lanes];
    index.store_unaligned(at);
    for (std::size_t i = 0; i < lanes; ++i)
        out[i] = values[at[i]];
    return load(out);
#endif
}

/// 128 floats to look up by lane, 0 <= index < 128: held in registers where there are so many.
/// Otherwise it refers to the memory it was made from.
class table128 {
  public:
#if defined(TARE_SIMD_512)
    explicit table128(const float* values) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i)
            part_[i] = load(values + 16 * i);
    }
    [[nodiscard, gnu::always_inline]] floats operator[](ints index) const {
        // A permutation reads the low five bits of the index and two registers.
        const __mmask16 odd = _mm512_test_epi32_mask(index, _mm512_set1_epi32(32));
        const __mmask16 upper = _mm512_test_epi32_mask(index, _mm512_set1_epi32(64));
        const auto pair = [&](int i) {
            return _mm512_permutex2var_ps(part_[i], index, part_[i + 1]);
        };
        return _mm512_mask_blend_ps(upper, _mm512_mask_blend_ps(odd, pair(0), pair(2)),
                                    _mm512_mask_blend_ps(odd, pair(4), pair(6)));
    }

  private:
    floats part_[8];
#else
    explicit table128(const float* values) : values_(values) {}
    [[nodiscard]] floats operator[](ints index) const {
        return gather(values_, index);
    }

  private:
    const float* values_;
#endif
};

/// Whether a table of 32 floats is looked up in registers.
#if defined(TARE_SIMD_512)
inline constexpr bool looks_up_in_registers = true;
#else
inline constexpr bool looks_up_in_registers = false;
#endif

/// 32 floats to look up by lane, 0 <= index < 32; where not in registers, it refers to the memory
/// it was made from.
class table32 {
  public:
#if defined(TARE_SIMD_512)
    explicit table32(const float* values) : low_(load(values)), high_(load(values + 16)) {}
    [[nodiscard, gnu::always_inline]] floats operator[](ints index) const {
        return _mm512_permutex2var_ps(low_, index, high_);
    }

  private:
    floats low_, high_;
#else
    explicit table32(const float* values) : values_(values) {}
    [[nodiscard]] floats operator[](ints index) const {
        return table128(values_)[index];
    }

  private:
    const float* values_;
#endif
};

/// The bytes or half-words from p on, one in each lane.
template <std::unsigned_integral Code>
    requires(sizeof(Code) <= 2)
[[gnu::always_inline]] inline ints load_codes(const Code* p) {
    [[maybe_unused]] constexpr bool bytes = sizeof(Code) == 1;
#if defined(TARE_SIMD_512)
    if constexpr (bytes)
        return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    else
        return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(TARE_SIMD_256)
    if constexpr (bytes)
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    else
        return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(TARE_NO_SIMD)
    return *p;
#else
    std::int32_t lane[lanes];
    for (std::size_t i = 0; i < lanes; ++i)
        lane[i] = p[i];
    return ints::load_unaligned(lane);
#endif
}

/// The low byte of each lane, to p on.
template <class Byte>
    requires(sizeof(Byte) == 1)
[[gnu::always_inline]] inline void store_bytes(Byte* p, ints codes) {
#if defined(TARE_SIMD_512)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(codes));
#elif defined(TARE_SIMD_256)
    const __m256i low = _mm256_set1_epi64x(0x0C080400);  // of the four lanes of either half
    const __m256i halves = _mm256_shuffle_epi8(codes, low);
    const __m256i first = _mm256_setr_epi32(0, 4, 0, 0, 0, 0, 0, 0);
    const __m256i both = _mm256_permutevar8x32_epi32(halves, first);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(both));
#elif defined(TARE_NO_SIMD)
    *p = static_cast<Byte>(codes);
#else
    std::int32_t lane[lanes];
    codes.store_unaligned(lane);
    for (std::size_t i = 0; i < lanes; ++i)
        p[i] = static_cast<Byte>(lane[i]);
#endif
}

/// out[i] = table[codes[i]] for `count` bytes, whole registers of them.
template <class Table>
[[gnu::always_inline]] inline void look_up(const Table& table, const std::uint8_t* codes,
                                           std::size_t count, float* out) {
    for (std::size_t i = 0; i < count; i += lanes)
        store(out + i, table[load_codes(codes + i)]);
}

}  // namespace tare::simd
