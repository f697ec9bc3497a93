#pragma once
// SPDX-License-Identifier: MIT
// Eight strings of bits behind one another into a bit stream, all at once: where each begins, what
// it leaves over in its last byte and how its words are shifted is found in eight lanes side by
// side, so that no string waits for the one before it. A string is a head of up to 248 bits, in
// four rows of words, and up to 512 bits of codes, which lie in bytes of their own:
//
//   bytes in front | tail of the last string, head | tail of the head, codes | ...
//
// Each part is stored whole, registers that reach beyond its end; the next one lies over that.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tare/core/prefetch.hpp>
#include <tare/core/simd.hpp>
#include <tare/lossless/bit_stream.hpp>
#include <tare/lossless/word_row.hpp>

#if defined(TARE_SIMD_512) && defined(__AVX512VBMI2__)
#define TARE_STRINGS_AVX512 1
#endif

namespace tare {

inline constexpr std::size_t string_code_bytes = 64;  ///< of each string's codes

namespace detail {

// Writes 64 bytes: the codes moved up by `fill` (0 to 7) bits, below them the highest bits of
// `before`.
inline void store_moved_up(const std::uint8_t* codes, std::uint64_t before, std::uint64_t fill,
                           std::byte* out) noexcept {
#if TARE_STRINGS_AVX512
    const __m512i words = _mm512_loadu_si512(codes);
    const __m512i lower =
        _mm512_alignr_epi64(words, _mm512_set1_epi64(static_cast<long long>(before)), 7);
    const __m512i by = _mm512_set1_epi64(static_cast<long long>(fill));
    _mm512_storeu_si512(out, _mm512_shldv_epi64(words, lower, by));
#else
    for (std::size_t w = 0; w < string_code_bytes; w += 8) {
        std::uint64_t word;
        std::memcpy(&word, codes + w, sizeof word);
        const std::uint64_t whole = word << fill | before >> 1 >> (63 - fill);
        std::memcpy(out + w, &whole, sizeof whole);
        before = word;
    }
#endif
}

}  // namespace detail

/// Appends eight strings to `out`, lane by lane: the first head_bits (8 to 248) bits of four words
/// whose other bits are zero, and the first code_bits (0 to 512) bits of 64 bytes, those of lane l
/// from codes[64 l] on; eight bytes are read behind the last. The bits are those of
///
///   for each lane: out.put_four(head, head_bits), out.put(codes, code_bits)
///
/// May write all of the next bit_writer::room bytes behind them.
inline void put_eight(bit_writer& out, const word_row (&head)[4], word_row head_bits,
                      const std::uint8_t* codes, word_row code_bits) noexcept {
    // Eight strings of weights: memory that is new or long unused is in the cache when its turn
    // comes.
    constexpr std::ptrdiff_t ahead = 1024;
    static constexpr stored_row lane_codes = {{0, 64, 128, 192, 256, 320, 384, 448}};
    const word_row zero(std::uint64_t{0});
    const word_row one(std::uint64_t{1});
    const word_row seven(std::uint64_t{7});
    const word_row three(std::uint64_t{3});
    const bit_writer::place begin = out.where();
    const word_row end = running_sums(head_bits + code_bits) + word_row(std::uint64_t{begin.fill});
    const word_row middle = end - code_bits;  // where codes begin
    const word_row start = middle - head_bits;
    const word_row fill = start & seven;
    const word_row code_fill = middle & seven;

    // The head's words moved up, and what it leaves over in the byte where the codes begin: a head
    // of 8 bits or more leaves nothing of the string before it there.
    const word_row words[4] = {head[0] << fill, joined(head[1], head[0], fill),
                               joined(head[2], head[1], fill), joined(head[3], head[2], fill)};
    const word_row length = fill + head_bits;
    word_row last = words[0];
    for (std::uint64_t w = 1; w < 4; ++w)
        last = select(less(word_row(64 * w - 1), length), words[w], last);
    const word_row head_tail = last >> (length & word_row(std::uint64_t{56}));

    // What a string leaves over: the last bits of its codes, or if those do not fill the byte, all
    // of them above the tail of the head.
    const word_row left = end & seven;
    const std::uint8_t all = less(code_fill + code_bits, word_row(std::uint64_t{8}));
    const word_row first = select(all, zero, code_bits - left);
    const word_row bits =
        word_row::words_at(codes, (first >> three) + word_row(lane_codes)) >> (first & seven);
    const word_row tail =
        select(all, head_tail | (bits << code_fill), bits) & ((one << left) - one);

    stored_row at, codes_at, before, moved, ends, tails;
    alignas(64) std::uint64_t heads[4 * row_lanes];
    word_row::store_columns(
        {words[0] | moved_up(tail, begin.pending), words[1], words[2], words[3]}, heads);
    (start >> three).store(at);
    (middle >> three).store(codes_at);
    (head_tail << (word_row(std::uint64_t{64}) - code_fill)).store(before);
    code_fill.store(moved);
    end.store(ends);
    tail.store(tails);
    // Not unrolled: constant lanes would be taken out of the registers one by one, not from memory.
#pragma GCC unroll 1
    for (std::size_t l = 0; l < row_lanes; ++l) {
        simd::prefetch_for_write(begin.byte + at.at[l], ahead);
        std::memcpy(begin.byte + at.at[l], heads + 4 * l, 32);
        detail::store_moved_up(codes + string_code_bytes * l, before.at[l], moved.at[l],
                               begin.byte + codes_at.at[l]);
    }
    const std::uint64_t stop = ends.at[row_lanes - 1];
    out.go_on({begin.byte + stop / 8, tails.at[row_lanes - 1], static_cast<unsigned>(stop % 8)});
}

}  // namespace tare

#undef TARE_STRINGS_AVX512
