#pragma once
// SPDX-License-Identifier: MIT
// The fast path of bit packing: 64 codes of a width that is a constant in the loop become exactly
// that many 64-bit words. The layout is that of <tare/lossless/bit_pack.hpp>, which is the public
// face and checks arguments; nothing here does.

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include <tare/core/bits.hpp>
#include <tare/lossless/bit_pack_registers.hpp>

namespace tare {

/// What a packed code is held in while it is not packed.
template <class Code>
concept packable_code = std::same_as<Code, std::uint8_t> || std::same_as<Code, std::uint16_t> ||
    std::same_as<Code, std::uint32_t>;

namespace detail {

// Codes travel between their array and the stream by way of 64-bit pieces: a piece holds as many
// codes as fit when each has a lane of 8, 16 or 32 bits; PEXT removes the unused lane bits.
template <int Width>
struct bit_lanes {
    static constexpr int lane_bits = Width <= 8 ? 8 : Width <= 16 ? 16 : 32;
    static constexpr int codes = 64 / lane_bits;
    static constexpr int bits = codes * Width;  // of one piece in the stream
    static constexpr std::size_t pieces = static_cast<std::size_t>(lane_bits);  // of 64 codes

    static constexpr std::uint64_t mask = [] {
        std::uint64_t m = 0;
        for (int i = 0; i < codes; ++i)
            m |= low_mask(Width) << (i * lane_bits);
        return m;
    }();

    static std::uint64_t squeeze(std::uint64_t lanes) noexcept {
        if constexpr (Width == lane_bits) return lanes;
#if TARE_HAS_BMI2
        return extract_bits(lanes, mask);
#else
        std::uint64_t out = 0;
        for (int i = 0; i < codes; ++i)
            out |= (lanes >> (i * lane_bits) & low_mask(Width)) << (i * Width);
        return out;
#endif
    }
    static std::uint64_t spread(std::uint64_t dense) noexcept {
        if constexpr (Width == lane_bits) return dense;
#if TARE_HAS_BMI2
        return deposit_bits(dense, mask);
#else
        std::uint64_t out = 0;
        for (int i = 0; i < codes; ++i)
            out |= (dense >> (i * Width) & low_mask(Width)) << (i * lane_bits);
        return out;
#endif
    }
};

template <int LaneBits>
using lane_type =
    std::conditional_t<LaneBits == 8, std::uint8_t,
                       std::conditional_t<LaneBits == 16, std::uint16_t, std::uint32_t>>;

inline constexpr std::size_t pack_block = 64;        // codes
inline constexpr std::size_t max_packed_words = 32;  // of a block, at 32 bits a code

// Packs 64 codes into Width words, by pieces. Returns the OR of the codes, for the range check.
template <int Width, packable_code Code>
Code pack_pieces_64(const Code* codes, std::byte* out) noexcept {
    using lanes = bit_lanes<Width>;
    lane_type<lanes::lane_bits> narrow[pack_block];
    Code seen = 0;
    for (std::size_t i = 0; i < pack_block; ++i) {
        seen = static_cast<Code>(seen | codes[i]);
        narrow[i] = static_cast<lane_type<lanes::lane_bits>>(codes[i]);
    }
    std::uint64_t pieces[lanes::pieces];
    std::memcpy(pieces, narrow, sizeof pieces);
    std::uint64_t words[Width] = {};
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        const auto put = [&]<std::size_t At>() {
            constexpr std::size_t word = At * lanes::bits / 64;
            constexpr int shift = static_cast<int>(At * lanes::bits % 64);
            const std::uint64_t dense = lanes::squeeze(pieces[At]);
            words[word] |= dense << shift;
            if constexpr (shift + lanes::bits > 64) words[word + 1] |= dense >> (64 - shift);
        };
        (put.template operator()<I>(), ...);
    }
    (std::make_index_sequence<lanes::pieces>());
    std::memcpy(out, words, sizeof(std::uint64_t) * Width);
    return seen;
}

// Unpacks Width words into 64 codes, by pieces.
template <int Width, packable_code Code>
void unpack_pieces_64(const std::byte* in, Code* codes) noexcept {
    using lanes = bit_lanes<Width>;
    std::uint64_t words[Width];
    std::memcpy(words, in, sizeof words);
    std::uint64_t pieces[lanes::pieces];
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        const auto get = [&]<std::size_t At>() {
            constexpr std::size_t word = At * lanes::bits / 64;
            constexpr int shift = static_cast<int>(At * lanes::bits % 64);
            std::uint64_t dense = words[word] >> shift;
            if constexpr (shift + lanes::bits > 64) dense |= words[word + 1] << (64 - shift);
            pieces[At] = lanes::spread(dense);
        };
        (get.template operator()<I>(), ...);
    }
    (std::make_index_sequence<lanes::pieces>());
    lane_type<lanes::lane_bits> narrow[pack_block];
    std::memcpy(narrow, pieces, sizeof narrow);
    for (std::size_t i = 0; i < pack_block; ++i)
        codes[i] = static_cast<Code>(narrow[i]);
}

// Packs 64 codes into Width words the fastest way. What it returns has bits beyond Width if and
// only if a code has.
template <int Width, packable_code Code>
Code pack_64(const Code* codes, std::byte* out) noexcept {
#if defined(TARE_SIMD_512) && defined(__AVX512VBMI__)
    if constexpr (Width <= 8)
        return pack_registers_64<Width>(codes, out) ? Code{0} : static_cast<Code>(~Code{0});
#endif
    return pack_pieces_64<Width>(codes, out);
}

// The same for blocks one behind the other, whose constants stay in registers.
template <int Width, packable_code Code>
void pack_run(const Code* codes, std::size_t blocks, std::byte* out) noexcept {
    for (std::size_t b = 0; b < blocks; ++b)
        static_cast<void>(pack_64<Width>(codes + pack_block * b, out + 8 * Width * b));
}

// Unpacks Width words into 64 codes the fastest way.
template <int Width, packable_code Code>
void unpack_64(const std::byte* in, Code* codes) noexcept {
#if defined(TARE_SIMD_512) && defined(__AVX512VBMI__)
    if constexpr (Width <= 8) return unpack_registers_64<Width>(in, codes);
#endif
    unpack_pieces_64<Width>(in, codes);
}

// One pair of functions per width that the code type can hold, reached by an index: the width is a
// run-time number at the edge and a constant in the loops.
template <packable_code Code>
struct bit_pack_kernels {
    static constexpr int widths = 8 * static_cast<int>(sizeof(Code));
    using pack_function = Code (*)(const Code*, std::byte*) noexcept;
    using unpack_function = void (*)(const std::byte*, Code*) noexcept;

    static pack_function pack(int width) {
        static constexpr auto table = []<std::size_t... I>(std::index_sequence<I...>) {
            return std::array<pack_function, widths>{&pack_64<static_cast<int>(I) + 1, Code>...};
        }
        (std::make_index_sequence<widths>());
        return table[static_cast<std::size_t>(width - 1)];
    }
    using run_function = void (*)(const Code*, std::size_t, std::byte*) noexcept;
    static run_function run(int width) {
        static constexpr auto table = []<std::size_t... I>(std::index_sequence<I...>) {
            return std::array<run_function, widths>{&pack_run<static_cast<int>(I) + 1, Code>...};
        }
        (std::make_index_sequence<widths>());
        return table[static_cast<std::size_t>(width - 1)];
    }
    static unpack_function unpack(int width) {
        static constexpr auto table = []<std::size_t... I>(std::index_sequence<I...>) {
            return std::array<unpack_function, widths>{
                &unpack_64<static_cast<int>(I) + 1, Code>...};
        }
        (std::make_index_sequence<widths>());
        return table[static_cast<std::size_t>(width - 1)];
    }
};

}  // namespace detail

}  // namespace tare
