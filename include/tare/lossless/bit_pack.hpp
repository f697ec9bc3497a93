#pragma once
// SPDX-License-Identifier: MIT
// Codes of any width from 1 to 32 bits, stored without a gap. The stream is little-endian and least
// significant bit first: bit k of the stream is bit k % 8 of byte k / 8, and code i of width w
// holds the stream bits [i w, (i + 1) w), its own bit 0 first. n codes take exactly n w bits; the
// last byte is filled with zero bits. 64 codes are exactly w 64-bit words, which is what the fast
// path and the threads work on.
//
// Signed codes travel as unsigned ones: two's complement or offset binary, helpers below.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <tare/core/bits.hpp>
#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/lossless/bit_pack_blocks.hpp>

namespace tare {

inline constexpr int max_code_bits = 32;

/// Bits of `count` codes of `width` bits: the payload, without the padding of the last byte.
[[nodiscard]] constexpr std::int64_t packed_bits(std::size_t count, int width) noexcept {
    return static_cast<std::int64_t>(count) * width;
}

/// Bytes of a stream of `count` codes of `width` bits: ceil(count width / 8).
[[nodiscard]] constexpr std::size_t packed_bytes(std::size_t count, int width) noexcept {
    return static_cast<std::size_t>((packed_bits(count, width) + 7) / 8);
}

/// Lowest `width` bits of a two's complement number. Throws if `value` does not fit in them.
[[nodiscard]] constexpr std::uint32_t to_twos_complement(std::int32_t value, int width) {
    require(width >= 1 && width <= max_code_bits, "to_twos_complement: width is ", width,
            "; it must be 1 to ", max_code_bits);
    const std::int64_t half = std::int64_t{1} << (width - 1);
    require(value >= -half && value < half, "to_twos_complement: ", value, " needs more than ",
            width, " bits; the range is [", -half, ", ", half - 1, "]");
    return static_cast<std::uint32_t>(static_cast<std::uint32_t>(value) & low_mask(width));
}

/// The number whose two's complement in `width` (1 to 32) bits is `code`; higher bits of `code` are
/// ignored.
[[nodiscard]] constexpr std::int32_t from_twos_complement(std::uint32_t code, int width) noexcept {
    const int unused = max_code_bits - width;
    return static_cast<std::int32_t>(code << unused) >> unused;
}

/// Offset binary: value + 2^(width-1). Throws if `value` does not fit in `width` bits.
[[nodiscard]] constexpr std::uint32_t to_offset(std::int32_t value, int width) {
    return to_twos_complement(value, width) ^ std::uint32_t{1} << (width - 1);
}

/// code - 2^(width-1): the inverse of to_offset.
[[nodiscard]] constexpr std::int32_t from_offset(std::uint32_t code, int width) noexcept {
    return from_twos_complement(code ^ std::uint32_t{1} << (width - 1), width);
}

namespace detail {

// Both directions: the width suits the code type and the stream has exactly the declared bytes.
template <packable_code Code>
void require_packed_size(const char* function, std::size_t count, int width, std::size_t bytes) {
    constexpr int most = 8 * static_cast<int>(sizeof(Code));
    require(width >= 1 && width <= most, function, ": width is ", width, "; codes of ", most,
            "-bit type take 1 to ", most);
    require(bytes == packed_bytes(count, width), function, ": stream ends at byte ", bytes, "; ",
            count, " codes of ", width, " bits take exactly ", packed_bytes(count, width),
            " bytes");
}

// A set bit behind the last code: the stream was damaged or belongs to more codes.
inline void require_zero_padding(const char* function, std::span<const std::byte> in,
                                 std::int64_t bits) {
    if (bits % 8 == 0) return;
    require(std::to_integer<unsigned>(in.back()) >> (bits % 8) == 0, function, ": byte ",
            in.size() - 1, ": padding bits behind the last code are not zero");
}

}  // namespace detail

/// Packs `codes` into `out`, which has exactly packed_bytes(codes.size(), width) bytes; on return
/// every one of them is written.
/// Units: `width` in bits, 1 to 8 sizeof(Code).
/// Throws if the width or the size of `out` is wrong, or if a code has a bit beyond `width` (then
/// `out` holds no valid stream).
/// Threads: blocks of 64 codes; the bytes do not depend on the number of threads.
template <packable_code Code>
void pack_bits(std::span<const Code> codes, int width, std::span<std::byte> out) {
    detail::require_packed_size<Code>("pack_bits", codes.size(), width, out.size());
    const auto pack_64 = detail::bit_pack_kernels<Code>::pack(width);
    const std::size_t stride = 8 * static_cast<std::size_t>(width);  // bytes of 64 codes
    const std::size_t blocks = codes.size() / detail::pack_block;
    std::atomic<Code> seen = 0;
    parallel_for(static_cast<extent>(blocks), 64, 64, [&](extent begin, extent end) {
        Code mine = 0;
        for (auto b = static_cast<std::size_t>(begin); b < static_cast<std::size_t>(end); ++b)
            mine = static_cast<Code>(
                mine | pack_64(codes.data() + b * detail::pack_block, out.data() + b * stride));
        seen.fetch_or(mine, std::memory_order_relaxed);
    });
    const std::size_t rest = codes.size() % detail::pack_block;
    if (rest != 0) {
        Code padded[detail::pack_block] = {};
        std::ranges::copy(codes.last(rest), padded);
        std::byte words[8 * 8 * sizeof(Code)];
        seen.fetch_or(pack_64(padded, words), std::memory_order_relaxed);
        std::memcpy(out.data() + blocks * stride, words, out.size() - blocks * stride);
    }
    if ((seen & ~low_mask(width)) != 0) {
        const auto bad = std::ranges::find_if(
            codes, [width](Code code) { return (code & ~low_mask(width)) != 0; });
        fail("pack_bits: code ", bad - codes.begin(), " is ", *bad, " and needs more than ", width,
             " bits; mask it or choose a larger width");
    }
}

/// Unpacks out.size() codes from `in`, which has exactly packed_bytes(out.size(), width) bytes.
/// Throws, naming the byte, if `in` is shorter or longer than that or if a padding bit is set.
/// Threads: blocks of 64 codes.
template <packable_code Code>
void unpack_bits(std::span<const std::byte> in, int width, std::span<Code> out) {
    detail::require_packed_size<Code>("unpack_bits", out.size(), width, in.size());
    detail::require_zero_padding("unpack_bits", in, packed_bits(out.size(), width));
    const auto unpack_64 = detail::bit_pack_kernels<Code>::unpack(width);
    const std::size_t stride = 8 * static_cast<std::size_t>(width);
    const std::size_t blocks = out.size() / detail::pack_block;
    parallel_for(static_cast<extent>(blocks), 64, 64, [&](extent begin, extent end) {
        for (auto b = static_cast<std::size_t>(begin); b < static_cast<std::size_t>(end); ++b)
            unpack_64(in.data() + b * stride, out.data() + b * detail::pack_block);
    });
    const std::size_t rest = out.size() % detail::pack_block;
    if (rest != 0) {
        std::byte words[8 * 8 * sizeof(Code)] = {};
        std::memcpy(words, in.data() + blocks * stride, in.size() - blocks * stride);
        Code padded[detail::pack_block];
        unpack_64(words, padded);
        std::copy_n(padded, rest, out.data() + blocks * detail::pack_block);
    }
}

/// Code `index` of a stream of codes of `width` bits, without unpacking the others.
/// Throws if the width is not 1 to 32 or if the code does not lie wholly inside `in`.
/// Complexity: constant.
[[nodiscard]] inline std::uint32_t packed_code(std::span<const std::byte> in, int width,
                                               std::size_t index) {
    require(width >= 1 && width <= max_code_bits, "packed_code: width is ", width,
            "; it must be 1 to ", max_code_bits);
    const std::size_t codes = in.size() * 8 / static_cast<std::size_t>(width);
    require(index < codes, "packed_code: code ", index, " of ", width, " bits lies beyond byte ",
            in.size(), ", the end of a stream of at most ", codes, " codes");
    const std::size_t bit = index * static_cast<std::size_t>(width);
    std::uint64_t word = 0;  // at most 7 + 32 bits are needed
    std::memcpy(&word, in.data() + bit / 8, std::min<std::size_t>(8, in.size() - bit / 8));
    return static_cast<std::uint32_t>(word >> (bit % 8) & low_mask(width));
}

/// The plain reference of pack_bits: bit by bit, same checks, same bytes, one thread.
template <packable_code Code>
void pack_bits_plain(std::span<const Code> codes, int width, std::span<std::byte> out) {
    detail::require_packed_size<Code>("pack_bits_plain", codes.size(), width, out.size());
    std::ranges::fill(out, std::byte{0});
    std::size_t at = 0;
    for (const Code code : codes) {
        require((code & ~low_mask(width)) == 0, "pack_bits_plain: code ", code, " needs more than ",
                width, " bits");
        for (int bit = 0; bit < width; ++bit, ++at)
            out[at / 8] |= static_cast<std::byte>((code >> bit & 1) << (at % 8));
    }
}

/// The plain reference of unpack_bits: bit by bit, same checks, one thread.
template <packable_code Code>
void unpack_bits_plain(std::span<const std::byte> in, int width, std::span<Code> out) {
    detail::require_packed_size<Code>("unpack_bits_plain", out.size(), width, in.size());
    detail::require_zero_padding("unpack_bits_plain", in, packed_bits(out.size(), width));
    std::size_t at = 0;
    for (Code& code : out) {
        std::uint32_t value = 0;
        for (int bit = 0; bit < width; ++bit, ++at)
            value |= (std::to_integer<std::uint32_t>(in[at / 8]) >> (at % 8) & 1) << bit;
        code = static_cast<Code>(value);
    }
}

}  // namespace tare
