#pragma once
// SPDX-License-Identifier: MIT
// What the words of simd_int.hpp have in common in AVX-512 and AVX2 registers: everything that
// needs no instruction by its name. Included by the two alone.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tare/core/simd.hpp>

#if defined(TARE_SIMD_512) || defined(TARE_SIMD_256)

namespace tare::simd {

inline constexpr std::size_t word_lane_count = lanes;

// Vectors of 32-bit integers, not __m512i or __m256i (of 64-bit ones) and not a struct around one:
// GCC 12 keeps a sum in two registers, one of either type, and arrays of structs in memory.
using words [[gnu::vector_size(4 * word_lane_count)]] = std::int32_t;

namespace detail {

// Arithmetic modulo 2^n: signed overflow would be undefined.
using unsigned_words [[gnu::vector_size(4 * word_lane_count)]] = std::uint32_t;
using unsigned_halves [[gnu::vector_size(4 * word_lane_count)]] = std::uint16_t;

}  // namespace detail

[[gnu::always_inline]] inline words words_of(std::int32_t value) {
    return value - words{};
}
[[gnu::always_inline]] inline words load_words(const void* p) {
    words out;
    std::memcpy(&out, p, sizeof out);
    return out;
}
/// The four bytes at p in every lane.
[[gnu::always_inline]] inline words broadcast_word(const void* p) {
    std::int32_t value;
    std::memcpy(&value, p, sizeof value);
    return words_of(value);
}
[[gnu::always_inline]] inline void store_words(std::int32_t* p, words a) {
    std::memcpy(p, &a, sizeof a);
}
[[gnu::always_inline]] inline words add(words a, words b) {
    return words(detail::unsigned_words(a) + detail::unsigned_words(b));
}
[[gnu::always_inline]] inline words subtract(words a, words b) {
    return words(detail::unsigned_words(a) - detail::unsigned_words(b));
}
[[gnu::always_inline]] inline words bitwise_and(words a, words b) {
    return a & b;
}
template <int Bits>
[[gnu::always_inline]] inline words shift_left(words a) {
    return words(detail::unsigned_words(a) << Bits);
}
/// Arithmetic: the sign moves in.
template <int Bits>
[[gnu::always_inline]] inline words shift_right(words a) {
    return a >> Bits;
}
/// Each 16-bit half on its own, zeros move in.
template <int Bits>
[[gnu::always_inline]] inline words shift_halves_right(words a) {
    return words(detail::unsigned_halves(a) >> Bits);
}

}  // namespace tare::simd

#endif
