#pragma once
// SPDX-License-Identifier: MIT
// Questions about blocks of 64 values, answered by one 64-bit mask word, bit i for value i: which
// are not zero, which lie in a range, how far the marked ones reach. Each has a plain form; AVX-512
// does 16 values an instruction, AVX2 the range test 8. All forms give the same bits. What moves
// marked values is in <tare/lossless/lane_moves.hpp>.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <tare/core/simd.hpp>

#if !defined(TARE_NO_SIMD) && defined(__AVX512BW__)
#define TARE_LANES_AVX512 1
#elif !defined(TARE_NO_SIMD) && defined(__AVX2__)
#define TARE_LANES_AVX2 1
#endif

namespace tare {

inline constexpr std::size_t mask_block = 64;  ///< values under one mask word

/// Bit i of the result is bit 0 of byte i of `flags`; the bytes must be 0 or 1.
[[nodiscard]] inline std::uint64_t mask_of_flags(const std::uint8_t* flags) noexcept {
    std::uint64_t mask = 0;
    for (int group = 0; group < 8; ++group) {
        std::uint64_t eight;
        std::memcpy(&eight, flags + 8 * group, sizeof eight);
        // The factor has bits 7, 14 .. 56: byte i lands on bit 56 + i, and nothing else does.
        mask |= (eight * 0x0102040810204080U >> 56) << (8 * group);
    }
    return mask;
}

/// Marks the values that are not zero. NaN is marked, both zeros are not. The plain reference of
/// nonzero_64.
template <class T>
[[nodiscard]] std::uint64_t nonzero_64_plain(const T* values) noexcept {
    std::uint8_t flags[mask_block];
    for (std::size_t i = 0; i < mask_block; ++i)
        flags[i] = !(values[i] == T{});
    return mask_of_flags(flags);
}

/// Marks the values v with v - origin <= span modulo 2^8 or 2^32: a signed or unsigned interval, in
/// one comparison. The plain reference of within_64.
template <class T>
[[nodiscard]] std::uint64_t within_64_plain(const T* values, T origin, T span) noexcept {
    std::uint8_t flags[mask_block];
    for (std::size_t i = 0; i < mask_block; ++i)
        flags[i] = static_cast<T>(values[i] - origin) <= span;
    return mask_of_flags(flags);
}

/// Lowers `least` and raises `most` to hold the marked values. The plain reference of extremes_64.
template <class T>
void extremes_64_plain(const T* values, std::uint64_t mask, T& least, T& most) noexcept {
    for (; mask != 0; mask &= mask - 1) {
        const T value = values[std::countr_zero(mask)];
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
}

#if TARE_LANES_AVX512

/// As within_64_plain.
[[nodiscard]] inline std::uint64_t within_64(const std::uint32_t* values, std::uint32_t origin,
                                             std::uint32_t span) noexcept {
    const __m512i low = _mm512_set1_epi32(static_cast<int>(origin));
    const __m512i most = _mm512_set1_epi32(static_cast<int>(span));
    std::uint64_t mask = 0;
    for (int part = 0; part < 4; ++part) {
        const __m512i v = _mm512_loadu_si512(values + 16 * part);
        const __mmask16 hit = _mm512_cmple_epu32_mask(_mm512_sub_epi32(v, low), most);
        mask |= std::uint64_t{hit} << (16 * part);
    }
    return mask;
}

/// As within_64_plain, on bytes.
[[nodiscard]] inline std::uint64_t within_64(const std::uint8_t* values, std::uint8_t origin,
                                             std::uint8_t span) noexcept {
    const __m512i v = _mm512_loadu_si512(values);
    const __m512i d = _mm512_sub_epi8(v, _mm512_set1_epi8(static_cast<char>(origin)));
    return _mm512_cmple_epu8_mask(d, _mm512_set1_epi8(static_cast<char>(span)));
}

#elif TARE_LANES_AVX2

/// As within_64_plain.
[[nodiscard]] inline std::uint64_t within_64(const std::uint32_t* values, std::uint32_t origin,
                                             std::uint32_t span) noexcept {
    const __m256i low = _mm256_set1_epi32(static_cast<int>(origin));
    const __m256i most = _mm256_set1_epi32(static_cast<int>(span));
    std::uint64_t mask = 0;
    for (int part = 0; part < 8; ++part) {
        const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + 8 * part));
        const __m256i d = _mm256_sub_epi32(v, low);
        // There is no unsigned comparison: d <= most exactly when min(d, most) is d.
        const __m256i hit = _mm256_cmpeq_epi32(_mm256_min_epu32(d, most), d);
        const int bits = _mm256_movemask_ps(_mm256_castsi256_ps(hit));
        mask |= static_cast<std::uint64_t>(bits) << (8 * part);
    }
    return mask;
}

/// As within_64_plain, on bytes.
[[nodiscard]] inline std::uint64_t within_64(const std::uint8_t* values, std::uint8_t origin,
                                             std::uint8_t span) noexcept {
    const __m256i low = _mm256_set1_epi8(static_cast<char>(origin));
    const __m256i most = _mm256_set1_epi8(static_cast<char>(span));
    std::uint64_t mask = 0;
    for (int part = 0; part < 2; ++part) {
        const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + 32 * part));
        const __m256i d = _mm256_sub_epi8(v, low);
        const __m256i hit = _mm256_cmpeq_epi8(_mm256_min_epu8(d, most), d);
        const auto bits = static_cast<std::uint32_t>(_mm256_movemask_epi8(hit));
        mask |= std::uint64_t{bits} << (32 * part);
    }
    return mask;
}

#else

/// As within_64_plain.
[[nodiscard]] inline std::uint64_t within_64(const std::uint32_t* values, std::uint32_t origin,
                                             std::uint32_t span) noexcept {
    return within_64_plain(values, origin, span);
}
/// As within_64_plain, on bytes.
[[nodiscard]] inline std::uint64_t within_64(const std::uint8_t* values, std::uint8_t origin,
                                             std::uint8_t span) noexcept {
    return within_64_plain(values, origin, span);
}

#endif

/// As nonzero_64_plain.
template <class T>
[[nodiscard]] std::uint64_t nonzero_64(const T* values) noexcept {
#if TARE_LANES_AVX512
    if constexpr (sizeof(T) == 4 && std::is_arithmetic_v<T>) {
        // Doubled, -0 is 0 like the other zero: the sign of a float leaves at the top.
        const int sign = std::is_floating_point_v<T> ? 1 : 0;
        std::uint64_t mask = 0;
        for (int part = 0; part < 4; ++part) {
            const __m512i v = _mm512_slli_epi32(_mm512_loadu_si512(values + 16 * part), sign);
            mask |= std::uint64_t{_mm512_test_epi32_mask(v, v)} << (16 * part);
        }
        return mask;
    }
#endif
    return nonzero_64_plain(values);
}

/// As extremes_64_plain.
template <std::integral T>
void extremes_64(const T* values, std::uint64_t mask, T& least, T& most) noexcept {
    if (~mask == 0) {
        T low = least;
        T high = most;
        for (std::size_t i = 0; i < mask_block; ++i) {
            low = values[i] < low ? values[i] : low;
            high = values[i] > high ? values[i] : high;
        }
        least = low;
        most = high;
        return;
    }
#if TARE_LANES_AVX512
    if constexpr (sizeof(T) == 4) {
        __m512i low = _mm512_set1_epi32(static_cast<int>(least));
        __m512i high = _mm512_set1_epi32(static_cast<int>(most));
        for (int part = 0; part < 4; ++part) {
            const auto bits = static_cast<__mmask16>(mask >> (16 * part));
            const __m512i v = _mm512_loadu_si512(values + 16 * part);
            if constexpr (std::is_signed_v<T>) {
                low = _mm512_mask_min_epi32(low, bits, low, v);
                high = _mm512_mask_max_epi32(high, bits, high, v);
            } else {
                low = _mm512_mask_min_epu32(low, bits, low, v);
                high = _mm512_mask_max_epu32(high, bits, high, v);
            }
        }
        if constexpr (std::is_signed_v<T>) {
            least = _mm512_reduce_min_epi32(low);
            most = _mm512_reduce_max_epi32(high);
        } else {
            least = _mm512_reduce_min_epu32(low);
            most = _mm512_reduce_max_epu32(high);
        }
        return;
    }
#endif
    extremes_64_plain(values, mask, least, most);
}

}  // namespace tare

#undef TARE_LANES_AVX512
#undef TARE_LANES_AVX2
