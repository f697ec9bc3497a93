#pragma once
// SPDX-License-Identifier: MIT
// Registers of 32-bit integers ("words") and the dot-product instructions that xsimd lacks. A word
// holds what one step of a product consumes: four 8-bit codes, two 16-bit codes or two bfloat16.
//
//     dot_u8s8(acc, u, s)    acc[i] += sum_j u8(u[i],j) * s8(s[i],j)       j = 0..3
//     dot_s16(acc, a, b)     acc[i] += sum_j s16(a[i],j) * s16(b[i],j)     j = 0, 1
//     dot_bf16(acc, a, b)    acc[i] += sum_j bf16(a[i],j) * bf16(b[i],j)   j = 0, 1
//
// Integer results are exact modulo 2^32 on every machine: nothing saturates on the way. With VNNI
// a dot is one instruction (vpdpbusd, vpdpwssd); without it, bytes are widened to 16 bits for
// vpmaddwd, because vpmaddubsw saturates at 2 * 255 * 127 > 32767. dot_small_u8s8 promises u <= 127
// and may use it: 2 * 127 * 128 = 32512.

#include <cstdint>
#include <cstring>

#include <tare/core/simd.hpp>

// Exactly one of the three has a body in any build.
#include <tare/core/simd_int_avx2.hpp>
#include <tare/core/simd_int_avx512.hpp>
#include <tare/core/simd_int_plain.hpp>

namespace tare::simd {

/// Words of a register as int.
inline constexpr int word_lanes = static_cast<int>(word_lane_count);
/// Registers of simd::floats that hold as many values as one register of words.
inline constexpr int word_parts = static_cast<int>(word_lane_count / lanes);

/// Rows of a tile of integer sums where there are several, for tiles of at most Most rows: 6 rows
/// of 64 outputs take fewer loads than 12 of 32 (kernels/matmul_tile.hpp).
template <int Most>
inline constexpr int many_tile_rows = word_lane_count == 16 ? Most / 2 : Most;

/// v, at this place in the order of instructions (see the one of floats).
[[gnu::always_inline]] inline words in_order(words v) {
#if defined(TARE_SIMD_512)
    asm volatile("" : "+v"(v));
#elif defined(TARE_SIMD_256)
    asm volatile("" : "+x"(v));
#endif
    return v;
}

/// The lowest bits of `source`, in order, where `mask` has ones.
[[nodiscard, gnu::always_inline]] inline std::uint64_t deposit_bits(std::uint64_t source,
                                                                    std::uint64_t mask) {
#if defined(__BMI2__) && (defined(TARE_SIMD_512) || defined(TARE_SIMD_256))
    return _pdep_u64(source, mask);
#else
    std::uint64_t out = 0;
    for (; mask != 0; mask &= mask - 1, source >>= 1)
        if ((source & 1U) != 0) out |= mask & (0 - mask);
    return out;
#endif
}

/// Lane by lane x + y, modulo 2^32, without the overflow that signed addition must not have.
[[nodiscard]] constexpr std::int32_t wrapping_add(std::int32_t x, std::int32_t y) noexcept {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(x) + static_cast<std::uint32_t>(y));
}
/// x * y modulo 2^32.
[[nodiscard]] constexpr std::int32_t wrapping_multiply(std::int32_t x, std::int32_t y) noexcept {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(x) * static_cast<std::uint32_t>(y));
}

}  // namespace tare::simd
