#pragma once
// SPDX-License-Identifier: MIT
// Moves of blocks of 64 values under one 64-bit mask word, bit i for value i: the marked ones
// together, out again, between others, or replaced. Each has a plain form; AVX-512 does 16 values
// an instruction, or 64 bytes. All forms give the same bits. Which values are marked is found with
// <tare/lossless/lanes.hpp>.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tare/core/bits.hpp>
#include <tare/core/simd.hpp>
#include <tare/lossless/lanes.hpp>

#if !defined(TARE_NO_SIMD) && defined(__AVX512BW__)
#define TARE_MOVES_AVX512 1
#endif

namespace tare {

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

/// As compress_64_plain.
template <class T>
std::size_t compress_64(const T* values, std::uint64_t mask, T* out) noexcept {
#if TARE_MOVES_AVX512
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
#if TARE_MOVES_AVX512 && defined(__AVX512VBMI2__)
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
#if TARE_MOVES_AVX512
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
#if TARE_MOVES_AVX512
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
#if TARE_MOVES_AVX512
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

#undef TARE_MOVES_AVX512
