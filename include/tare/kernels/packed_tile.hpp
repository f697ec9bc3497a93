#pragma once
// SPDX-License-Identifier: MIT
// The loop over one plane of packed weights (see packed_weights.hpp): a register of fields is
// masked out of a register of bytes and multiplied with four activation codes by vpdpbusd.
//
// Activations wider than 8 bits are cut into signed bytes, x = x_0 + 256 x_1 (+ 65536 x_2), so that
// 9- to 15-bit codes cost two dots for each field and no widening of weights. Fields in the upper
// half of a byte stay there where the instruction allows it: their sums are 16 times too large and
// are divided once, at the end.

#include <algorithm>
#include <cstdint>

#include <tare/core/simd_int.hpp>
#include <tare/core/unroll.hpp>
#include <tare/kernels/packed_weights.hpp>

namespace tare::kernels::detail {

/// Registers of outputs between two visits to the planes: four strips.
inline constexpr int strip_registers_packed = static_cast<int>(word_strip) / simd::word_lanes;
inline constexpr int chunk_registers = 4 * strip_registers_packed;
/// Rows of activations that share one reading of the weights.
inline constexpr int packed_rows = 4;

/// Values of k that the sums of one plane hold in 32 bits: 255 * 128 * 65536 < 2^31.
inline constexpr extent packed_segment = 65536;

/// Rows of activations cut into signed bytes, four to a word: word g of part p of row r is at
/// data[(r * parts + p) * groups + g].
struct activation_parts {
    const std::int32_t* data;
    extent groups;
    int parts;
};

/// Sums over one plane for Rows rows and Registers registers of outputs, one for each part.
template <int Width, int Parts, int Rows, int Registers>
struct packed_tile {
    static constexpr int per_byte = 8 / Width;
    static constexpr bool in_place = simd::any_byte_is_small && Width < 8;
    /// Sums of fields from the lower and from the upper half of a byte.
    static constexpr int halves = in_place ? 2 : 1;

    simd::words sum[halves][Rows][Parts][Registers];

    [[gnu::always_inline]] void clear() {
        unroll<halves * Rows * Parts * Registers>([&](auto i) __attribute__((always_inline)) {
            sum[i / (Rows * Parts * Registers)][i / (Parts * Registers) % Rows]
               [i / Registers % Parts][i % Registers] = simd::words_of(0);
        });
    }

    /// Field T of each byte, times its activations.
    template <int T>
    [[gnu::always_inline]] void multiply(const simd::words (&bytes)[Registers],
                                         const std::int32_t* x, extent row_step, extent part_step) {
        constexpr int position = T * Width;
        constexpr int half = in_place ? position / 4 : 0;
        constexpr int down = position - 4 * half;
        // The mask of the field, in each byte.
        const simd::words mask = simd::words_of(
            static_cast<std::int32_t>((((1U << Width) - 1U) << (4 * half)) * 0x01010101U));
        simd::words fields[Registers];
        unroll<Registers>([&](auto j) __attribute__((always_inline)) {
            fields[j] = bytes[j];
            if constexpr (down > 0) fields[j] = simd::shift_halves_right<down>(fields[j]);
            if constexpr (Width < 8) fields[j] = simd::bitwise_and(fields[j], mask);
        });
        unroll<Rows * Parts>([&](auto i) __attribute__((always_inline)) {
            constexpr int r = i / Parts;
            constexpr int p = i % Parts;
            const simd::words codes = simd::words_of(x[r * row_step + p * part_step + T]);
            unroll<Registers>([&](auto j) __attribute__((always_inline)) {
                simd::words& s = sum[half][r][p][j];
                if constexpr (Width < 8)
                    s = simd::dot_small_u8s8(s, fields[j], codes);
                else
                    s = simd::dot_u8s8(s, fields[j], codes);
            });
        });
        if constexpr (T + 1 < per_byte) multiply<T + 1>(bytes, x, row_step, part_step);
    }

    /// Part p of the sums of row r.
    [[gnu::always_inline]] simd::words part(int r, int p, int j) const {
        if constexpr (halves == 2)
            return simd::add(sum[0][r][p][j], simd::shift_right<4>(sum[1][r][p][j]));
        else
            return sum[0][r][p][j];
    }
};

/// Where the sums of a chunk are gathered: 32-bit registers modulo 2^32 where the result fits,
/// 64-bit lanes otherwise.
struct packed_totals {
    simd::words narrow[packed_rows][chunk_registers];
    std::int64_t wide[packed_rows][chunk_registers][simd::word_lane_count];
    bool is_wide;
};

/// a << bits for a shift known at run time only: 0, 2, 4, .. 24.
inline simd::words shift_left_by(simd::words a, int bits) {
    alignas(64) std::int32_t lane[simd::word_lane_count];
    simd::store_words(lane, a);
    for (std::int32_t& value : lane)
        value = static_cast<std::int32_t>(static_cast<std::uint32_t>(value) << bits);
    return simd::load_words(lane);
}

/// Blocks that a tile of narrow fields asks for ahead of their use, from the second-level cache: it
/// computes about as long as it reads, and its instructions leave no room to look far ahead. Whole
/// bytes are bound by the reading alone, and asking would only add to it.
inline constexpr extent blocks_ahead = 4;
inline constexpr int line_words = 16;

/// Adds the sums of registers [at, at + Registers) of a chunk over blocks [block, block_end).
template <int Width, int Parts, int Rows, int Registers>
[[gnu::noinline]] void add_field(const packed_field& field, extent strip, int at, extent block,
                                 extent block_end, const activation_parts& x,
                                 packed_totals& totals) {
    using tile = packed_tile<Width, Parts, Rows, Registers>;
    tile sums;
    sums.clear();
    const extent strip_step = field.blocks * word_strip;
    const std::uint32_t* words = field.strip(strip + at / strip_registers_packed) +
                                 block * word_strip +
                                 at % strip_registers_packed * simd::word_lanes;
    const std::int32_t* codes = x.data + block * tile::per_byte;
    for (extent b = block; b < block_end; ++b) {
        simd::words bytes[Registers];
        unroll<Registers>([&](auto j) __attribute__((always_inline)) {
            const std::uint32_t* from = words + j / strip_registers_packed * strip_step +
                                        j % strip_registers_packed * simd::word_lanes;
            if constexpr (Width < 8 && j * simd::word_lanes % line_words == 0)
                __builtin_prefetch(from + blocks_ahead * word_strip);
            bytes[j] = simd::load_words(from);
        });
        sums.template multiply<0>(bytes, codes, Parts * x.groups, x.groups);
        words += word_strip;
        codes += tile::per_byte;
    }
    unroll<Rows * Registers>([&](auto i) __attribute__((always_inline)) {
        constexpr int r = i / Registers;
        constexpr int j = i % Registers;
        if (!totals.is_wide) {
            simd::words total = sums.part(r, 0, j);
            if constexpr (Parts > 1)
                total = simd::add(total, simd::shift_left<8>(sums.part(r, 1, j)));
            if constexpr (Parts > 2)
                total = simd::add(total, simd::shift_left<16>(sums.part(r, 2, j)));
            if (field.shift > 0) total = shift_left_by(total, field.shift);
            totals.narrow[r][at + j] = simd::add(totals.narrow[r][at + j], total);
            return;
        }
        unroll<Parts>([&](auto p) __attribute__((always_inline)) {
            alignas(64) std::int32_t lane[simd::word_lane_count];
            simd::store_words(lane, sums.part(r, p, j));
            const std::int64_t weight = std::int64_t{1} << (field.shift + 8 * p);
            for (std::size_t l = 0; l < simd::word_lane_count; ++l)
                totals.wide[r][at + j][l] += lane[l] * weight;
        });
    });
}

/// Adds one plane to a chunk of `registers` registers that starts at `strip`.
template <int Width, int Parts, int Rows>
void add_plane(const packed_field& field, extent strip, int registers, extent first, extent last,
               const activation_parts& x, packed_totals& totals) {
    constexpr int halves = packed_tile<Width, Parts, Rows, 1>::halves;
    constexpr int sums = simd::byte_sums >= 16 ? 16 : simd::byte_sums;
    constexpr int fitting = std::max(1, sums / (halves * Rows * Parts));
    constexpr int at_once = fitting >= 8 ? 8 : fitting >= 4 ? 4 : fitting >= 2 ? 2 : 1;
    const extent block = first / field.block_inputs();
    const extent block_end = (last + field.block_inputs() - 1) / field.block_inputs();
    int at = 0;
    for (; at + at_once <= registers; at += at_once)
        add_field<Width, Parts, Rows, at_once>(field, strip, at, block, block_end, x, totals);
    if constexpr (at_once > strip_registers_packed) {
        for (; at < registers; at += strip_registers_packed)
            add_field<Width, Parts, Rows, strip_registers_packed>(field, strip, at, block,
                                                                  block_end, x, totals);
    }
}

/// Adds all planes; the widths become constants here.
template <int Parts, int Rows>
void add_planes(const packed_weights& w, extent strip, int registers, extent first, extent last,
                const activation_parts& x, packed_totals& totals) {
    for (const packed_field& field : w.fields()) {
        if (field.width == 8)
            add_plane<8, Parts, Rows>(field, strip, registers, first, last, x, totals);
        else if (field.width == 4)
            add_plane<4, Parts, Rows>(field, strip, registers, first, last, x, totals);
        else if (field.width == 2)
            add_plane<2, Parts, Rows>(field, strip, registers, first, last, x, totals);
        else
            add_plane<1, Parts, Rows>(field, strip, registers, first, last, x, totals);
    }
}

}  // namespace tare::kernels::detail
