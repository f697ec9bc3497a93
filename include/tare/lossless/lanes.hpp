#pragma once
// SPDX-License-Identifier: MIT
// Work on blocks of 64 values against one 64-bit mask word, bit i for value i: which values are not
// zero, which lie in a range, move the marked ones together, spread them out again. Each has a
// plain form; AVX-512 does 16 values an instruction, AVX2 the range test 8. All forms give the same
// bits.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <tare/core/bits.hpp>
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

/// Moves the marked values to the front of `out`, in order; returns how many. `out` has room for 64
/// and is undefined behind the last one. The plain reference of compress_64.
template <class T>
std::size_t compress_64_plain(const T* values, std::uint64_t mask, T* out) noexcept {
    std::size_t count = 0;
    for (; mask != 0; mask &= mask - 1)
        out[count++] = values[std::countr_zero(mask)];
    return count;
}

/// The inverse: takes popcount(mask) values from the front of `packed` and writes 64 to `out`,
/// zeros where the mask is 0. The plain reference of expand_64.
template <class T>
void expand_64_plain(const T* packed, std::uint64_t mask, T* out) noexcept {
    std::memset(out, 0, mask_block * sizeof(T));
    for (; mask != 0; mask &= mask - 1)
        out[std::countr_zero(mask)] = *packed++;
}

/// Writes 64 values to `out`: the next of `marked` where the mask is 1, the next of `others` where
/// it is 0. The plain reference of merge_64.
template <class T>
void merge_64_plain(const T* others, const T* marked, std::uint64_t mask, T* out) noexcept {
    for (std::size_t i = 0; i < mask_block; ++i) {
        const bool mark = (mask >> i & 1) != 0;
        out[i] = mark ? *marked : *others;
        marked += mark ? 1 : 0;
        others += mark ? 0 : 1;
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

/// As compress_64_plain.
template <class T>
std::size_t compress_64(const T* values, std::uint64_t mask, T* out) noexcept {
#if TARE_LANES_AVX512
    if constexpr (sizeof(T) == 4) {
        std::size_t count = 0;
        for (int part = 0; part < 4; ++part) {
            const auto bits = static_cast<__mmask16>(mask >> (16 * part));
            const __m512i v = _mm512_loadu_si512(values + 16 * part);
            // Compress in the register, then store 16 lanes: count <= 16 part, so they fit in 64.
            _mm512_storeu_si512(out + count, _mm512_maskz_compress_epi32(bits, v));
            count += static_cast<std::size_t>(std::popcount(static_cast<unsigned>(bits)));
        }
        return count;
    }
#endif
#if TARE_LANES_AVX512 && defined(__AVX512VBMI2__)
    if constexpr (sizeof(T) == 1) {
        const __m512i v = _mm512_loadu_si512(values);
        _mm512_storeu_si512(out, _mm512_maskz_compress_epi8(mask, v));
        return static_cast<std::size_t>(std::popcount(mask));
    }
#elif TARE_HAS_BMI2
    if constexpr (sizeof(T) == 1) {
        std::size_t count = 0;
        for (int group = 0; group < 8; ++group) {
            std::uint64_t eight;
            std::memcpy(&eight, values + 8 * group, sizeof eight);
            const std::uint64_t bits = mask >> (8 * group) & 0xFF;
            const std::uint64_t lanes = deposit_bits(bits, 0x0101010101010101U) * 0xFF;
            eight = extract_bits(eight, lanes);
            std::memcpy(out + count, &eight, sizeof eight);  // count <= 8 group
            count += static_cast<std::size_t>(std::popcount(bits));
        }
        return count;
    }
#endif
    return compress_64_plain(values, mask, out);
}

/// As expand_64_plain, but reads up to 64 values from `packed`.
template <class T>
void expand_64(const T* packed, std::uint64_t mask, T* out) noexcept {
#if TARE_LANES_AVX512
    if constexpr (sizeof(T) == 4) {
        for (int part = 0; part < 4; ++part) {
            const auto bits = static_cast<__mmask16>(mask >> (16 * part));
            const __m512i v = _mm512_loadu_si512(packed);
            _mm512_storeu_si512(out + 16 * part, _mm512_maskz_expand_epi32(bits, v));
            packed += std::popcount(static_cast<unsigned>(bits));
        }
        return;
    }
#endif
    expand_64_plain(packed, mask, out);
}

/// As merge_64_plain, but reads up to 64 values from each.
template <class T>
void merge_64(const T* others, const T* marked, std::uint64_t mask, T* out) noexcept {
#if TARE_LANES_AVX512
    if constexpr (sizeof(T) == 4) {
        for (int part = 0; part < 4; ++part) {
            const auto bits = static_cast<__mmask16>(mask >> (16 * part));
            const auto rest = static_cast<__mmask16>(~bits);
            const __m512i v = _mm512_maskz_expand_epi32(rest, _mm512_loadu_si512(others));
            const __m512i w = _mm512_loadu_si512(marked);
            _mm512_storeu_si512(out + 16 * part, _mm512_mask_expand_epi32(v, bits, w));
            const int count = std::popcount(static_cast<unsigned>(bits));
            marked += count;
            others += 16 - count;
        }
        return;
    }
#endif
    merge_64_plain(others, marked, mask, out);
}

/// Writes `value` where the mask is 1.
template <class T>
void blend_64(T* out, std::uint64_t mask, T value) noexcept {
#if TARE_LANES_AVX512
    if constexpr (sizeof(T) == 4) {
        const __m512i v = _mm512_set1_epi32(static_cast<int>(value));
        for (int part = 0; part < 4; ++part)
            _mm512_mask_storeu_epi32(out + 16 * part, static_cast<__mmask16>(mask >> (16 * part)),
                                     v);
        return;
    } else if constexpr (sizeof(T) == 1) {
        _mm512_mask_storeu_epi8(out, mask, _mm512_set1_epi8(static_cast<char>(value)));
        return;
    }
#endif
    for (std::size_t i = 0; i < mask_block; ++i)
        out[i] = (mask >> i & 1) != 0 ? value : out[i];
}

}  // namespace tare

#undef TARE_LANES_AVX512
#undef TARE_LANES_AVX2
