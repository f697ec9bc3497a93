#pragma once
// SPDX-License-Identifier: MIT
// The words of simd_int.hpp as arrays of sixteen integers, for builds without AVX2 and without
// intrinsics: loops of fixed length that a compiler may vectorise, unsigned arithmetic so that
// wrapping is defined. Included by simd_int.hpp alone.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tare/core/simd.hpp>

#if defined(TARE_NO_SIMD) || !(defined(__AVX2__) && defined(__FMA__))

namespace tare::simd {

inline constexpr std::size_t word_lane_count = 16;
/// Sums of a tile; sixteen plain words are a register of nothing, so few of them stay near.
inline constexpr int word_sums = 4;
inline constexpr int byte_sums = 4;
/// Rows of the largest tile.
inline constexpr int word_tile_rows = 2;
inline constexpr int byte_tile_rows = 2;
inline constexpr bool any_byte_is_small = true;
inline constexpr bool dot_is_fast = false;

struct words {
    std::uint32_t lane[word_lane_count];
};
/// Sixteen float sums.
struct reals {
    float lane[word_lane_count];
};

namespace detail {

/// f applied lane by lane.
template <class F>
inline words each_lane(F f) {
    words out;
    for (std::size_t i = 0; i < word_lane_count; ++i)
        out.lane[i] = f(i);
    return out;
}
/// Byte j of a word, with its sign or without.
inline std::uint32_t unsigned_byte(std::uint32_t word, int j) {
    return word >> (8 * j) & 255U;
}
inline std::uint32_t signed_byte(std::uint32_t word, int j) {
    return static_cast<std::uint32_t>(static_cast<std::int8_t>(word >> (8 * j) & 255U));
}
inline std::uint32_t signed_half(std::uint32_t word, int j) {
    return static_cast<std::uint32_t>(static_cast<std::int16_t>(word >> (16 * j) & 65535U));
}

}  // namespace detail

inline words words_of(std::int32_t value) {
    return detail::each_lane([value](std::size_t) { return static_cast<std::uint32_t>(value); });
}
inline words load_words(const void* p) {
    words out;
    std::memcpy(out.lane, p, sizeof out.lane);
    return out;
}
/// A 16-bit number for each lane, from p on, with its sign if its type has one.
template <class Half>
inline words load_halves(const Half* p) {
    return detail::each_lane(
        [p](std::size_t i) { return static_cast<std::uint32_t>(static_cast<std::int32_t>(p[i])); });
}
/// The four bytes at p in every lane.
inline words broadcast_word(const void* p) {
    std::int32_t value;
    std::memcpy(&value, p, sizeof value);
    return words_of(value);
}
/// Writes the first `count` <= 16 words.
inline void store_words(std::int32_t* p, words a, std::size_t count = word_lane_count) {
    std::memcpy(p, a.lane, count * sizeof(std::int32_t));
}
inline words add(words a, words b) {
    return detail::each_lane([&](std::size_t i) { return a.lane[i] + b.lane[i]; });
}
inline words subtract(words a, words b) {
    return detail::each_lane([&](std::size_t i) { return a.lane[i] - b.lane[i]; });
}
inline words bitwise_and(words a, words b) {
    return detail::each_lane([&](std::size_t i) { return a.lane[i] & b.lane[i]; });
}
template <int Bits>
inline words shift_left(words a) {
    return detail::each_lane([&](std::size_t i) { return a.lane[i] << Bits; });
}
/// Arithmetic: the sign moves in.
template <int Bits>
inline words shift_right(words a) {
    return detail::each_lane([&](std::size_t i) {
        return static_cast<std::uint32_t>(static_cast<std::int32_t>(a.lane[i]) >> Bits);
    });
}
/// Each 16-bit half on its own, zeros move in.
template <int Bits>
inline words shift_halves_right(words a) {
    constexpr std::uint32_t half = 0xFFFFU >> Bits;
    return detail::each_lane(
        [&](std::size_t i) { return a.lane[i] >> Bits & (half << 16 | half); });
}

inline words dot_s16(words acc, words a, words b) {
    return detail::each_lane([&](std::size_t i) {
        return acc.lane[i] + detail::signed_half(a.lane[i], 0) * detail::signed_half(b.lane[i], 0) +
               detail::signed_half(a.lane[i], 1) * detail::signed_half(b.lane[i], 1);
    });
}
inline words dot_u8s8(words acc, words u, words s) {
    return detail::each_lane([&](std::size_t i) {
        std::uint32_t sum = acc.lane[i];
        for (int j = 0; j < 4; ++j)
            sum += detail::unsigned_byte(u.lane[i], j) * detail::signed_byte(s.lane[i], j);
        return sum;
    });
}
inline words dot_small_u8s8(words acc, words u, words s) {
    return dot_u8s8(acc, u, s);
}

inline reals reals_of(float value) {
    reals out;
    for (float& lane : out.lane)
        lane = value;
    return out;
}
/// A product of two bfloat16 is exact, so this equals the fused form to the bit.
inline reals dot_bf16(reals acc, words a, words b) {
    for (std::size_t i = 0; i < word_lane_count; ++i) {
        acc.lane[i] +=
            std::bit_cast<float>(a.lane[i] << 16) * std::bit_cast<float>(b.lane[i] << 16);
        acc.lane[i] += std::bit_cast<float>(a.lane[i] & 0xFFFF0000U) *
                       std::bit_cast<float>(b.lane[i] & 0xFFFF0000U);
    }
    return acc;
}

inline floats part_of(const reals& a, int part) {
    return load(a.lane + static_cast<std::size_t>(part) * lanes);
}
/// Part `part` of the words, rounded to float (half to even).
inline floats part_to_floats(const words& a, int part) {
    reals out;
    for (std::size_t i = 0; i < word_lane_count; ++i)
        out.lane[i] = static_cast<float>(static_cast<std::int32_t>(a.lane[i]));
    return part_of(out, part);
}

/// Writes a byte for each lane; lanes are integers from -128 to 127.
inline void store_bytes(std::int8_t* p, floats a) {
    float lane[lanes];
    store(lane, a);
    for (std::size_t i = 0; i < lanes; ++i)
        p[i] = static_cast<std::int8_t>(lane[i]);
}
/// The bits of part `part`.
inline floats part_as_floats(const words& a, int part) {
    reals out;
    std::memcpy(out.lane, a.lane, sizeof out.lane);
    return part_of(out, part);
}

/// Lane i is the next value at p where bit i of `mask` is set, zero elsewhere.
inline floats expand(std::uint32_t mask, const float* p) {
    float block[lanes];
    for (std::size_t i = 0; i < lanes; ++i)
        block[i] = (mask >> i & 1U) != 0 ? *p++ : 0.0F;
    return load(block);
}

/// The byte at 8 i is all ones where bit i of `bits` is set, zero elsewhere.
inline words byte_mask(std::uint64_t bits) {
    // Four bits spread to the lowest bits of four bytes, each times 255.
    return detail::each_lane([&](std::size_t i) {
        const auto four = static_cast<std::uint32_t>(bits >> (4 * i) & 15U);
        return (four * 0x00204081U & 0x01010101U) * 255U;
    });
}
/// -x in the bytes whose bit is set, x in the others.
inline words negate_bytes(std::uint64_t bits, words x) {
    const words flip = byte_mask(bits);
    return detail::each_lane([&](std::size_t i) {
        std::uint32_t out = 0;
        for (int j = 0; j < 4; ++j) {
            const std::uint32_t byte = detail::unsigned_byte(x.lane[i], j);
            const bool minus = detail::unsigned_byte(flip.lane[i], j) != 0;
            out |= ((minus ? 0U - byte : byte) & 255U) << (8 * j);
        }
        return out;
    });
}
/// Byte i is the next one at p where bit i of `bits` is set, zero elsewhere.
inline words expand_bytes(std::uint64_t bits, const std::uint8_t* p) {
    return detail::each_lane([&](std::size_t i) {
        std::uint32_t out = 0;
        for (int j = 0; j < 4; ++j)
            if ((bits >> (4 * i + static_cast<std::size_t>(j)) & 1U) != 0)
                out |= std::uint32_t{*p++} << (8 * j);
        return out;
    });
}

}  // namespace tare::simd

#endif
