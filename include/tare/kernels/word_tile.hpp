#pragma once
// SPDX-License-Identifier: MIT
// The loops of every product of narrow codes: a tile of sums in registers, tiles over rows and
// strips, strips or rows over threads. What is multiplied is a policy `Dot`:
//
//     activation        type of one code of x
//     sums              register of sums: simd::words or simd::reals
//     zero(), step(sums, x, w)
//     tile_sums, tile_rows      how many sums stay in registers
//     many_rows                 rows of a tile where there are several
//
// Shapes of a tile as for fp32: with AVX-512 6 x 64 or, for a single tile, 12 x 32; 4 x 16 (bytes)
// or 6 x 16 with AVX2. Each output is one chain of dots over k, whatever tile it falls into and
// whatever the thread count.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tare/core/parallel.hpp>
#include <tare/core/simd_int.hpp>
#include <tare/core/unroll.hpp>
#include <tare/kernels/word_strips.hpp>

namespace tare::kernels::detail {

/// Registers across a strip.
inline constexpr int strip_registers = static_cast<int>(word_strip) / simd::word_lanes;

/// Registers of weights that a tile of `rows` rows takes at once: few rows take several strips, so
/// that enough sums are in flight to hide the latency of a dot (5 cycles, 2 a cycle).
constexpr int tile_registers(int rows, int sums) {
    const int most = std::max(strip_registers, 8);
    int registers = 1;
    while (registers < most && rows * registers * 2 <= sums)
        registers *= 2;
    return registers;
}

/// Codes [first, last) of k, first a multiple of the group.
struct depth_range {
    extent first;
    extent last;
};

/// Rows of x from `x` on, `x_step` bytes apart; registers of weights from `weights` on, strips
/// `strip_step` bytes apart.
struct tile_operands {
    const std::byte* x;
    extent x_step;
    const std::byte* weights;
    extent strip_step;
};

/// Adds the products over `range` to Rows x Registers sums.
template <class Dot, int Rows, int Registers>
[[gnu::always_inline]] inline void accumulate_tile(const tile_operands& from, depth_range range,
                                                   typename Dot::sums (&sum)[Rows][Registers]) {
    constexpr extent code_bytes = sizeof(typename Dot::activation);
    constexpr extent step_bytes = word_strip * 4;
    constexpr extent register_bytes = simd::word_lanes * 4;
    // A pointer for every third row: x86 addresses base, base + step and base + 2 step.
    constexpr int bases = (Rows + 2) / 3;
    const extent first_byte = range.first * code_bytes;
    const extent bytes = (range.last - range.first) * code_bytes;
    const std::byte* strip = from.weights + first_byte / 4 * step_bytes;
    const std::byte* x = from.x + first_byte;
    extent x_step = from.x_step;
    extent groups = bytes / 4;
    auto rest = static_cast<std::size_t>(bytes % 4);
    std::byte last[Rows][4] = {};
    // The last codes of a row may not fill a word, and what lies behind them is not ours: they are
    // copied and take a second turn. A second copy of the loop's body would cost GCC 12 its
    // registers.
    for (;;) {
        const std::byte* row[bases];
        unroll<bases>([&](auto i) __attribute__((always_inline)) { row[i] = x + 3 * i * x_step; });
#pragma GCC unroll 2
        for (extent g = 0; g < groups; ++g) {
            simd::words right[Registers];
            unroll<Registers>([&](auto j) __attribute__((always_inline)) {
                right[j] = simd::load_words(strip + j / strip_registers * from.strip_step +
                                            j % strip_registers * register_bytes);
            });
            unroll<Rows>([&](auto i) __attribute__((always_inline)) {
                simd::words left = simd::broadcast_word(row[i / 3] + i % 3 * x_step);
                // As in multiply_tile.
                if constexpr (Registers == 2 * strip_registers) left = simd::in_order(left);
                unroll<Registers>([&](auto j) __attribute__((always_inline)) {
                    sum[i][j] = Dot::step(sum[i][j], left, right[j]);
                });
            });
            unroll<bases>([&](auto i) __attribute__((always_inline)) { row[i] += 4; });
            strip += step_bytes;
        }
        if (rest == 0) return;
        for (int i = 0; i < Rows; ++i)
            std::memcpy(last[i], x + i * x_step + 4 * groups, rest);
        x = last[0];
        x_step = 4;
        groups = 1;
        rest = 0;
    }
}

/// The packed weights and the rows of x, as bytes.
struct word_operands {
    const std::byte* x;
    extent x_step;
    extent rows;
    const std::byte* weights;
    extent strip_step;
    extent outputs;
    extent depth;

    /// Operands of the tile at a row and a register of weights, counted from the first strip.
    [[nodiscard]] tile_operands at(extent row, extent first_register) const {
        return {x + row * x_step, x_step,
                weights + first_register / strip_registers * strip_step +
                    first_register % strip_registers * simd::word_lanes * 4,
                strip_step};
    }
};

template <class Code>
word_operands operands_of(matrix_view<const Code> x, const word_strips& w) {
    return {reinterpret_cast<const std::byte*>(x.data),
            x.stride * static_cast<extent>(sizeof(Code)),
            x.rows,
            reinterpret_cast<const std::byte*>(w.words.data()),
            w.strip_words() * 4,
            w.outputs,
            w.inputs};
}

/// Calls use(i, j, column, count) for each register of a tile that holds outputs.
template <int Rows, int Registers, class Use>
[[gnu::always_inline]] inline void for_each_register(extent outputs, extent first_register,
                                                     const Use& use) {
    // Most tiles lie inside the outputs: asking each of their registers how many of its lanes do
    // cost 2 to 4 % of a product of K = 256.
    if (outputs - first_register * simd::word_lanes >= Registers * simd::word_lanes) {
        unroll<Rows * Registers>([&](auto at) __attribute__((always_inline)) {
            use(at / Registers, at % Registers,
                (first_register + at % Registers) * simd::word_lanes, simd::word_lane_count);
        });
        return;
    }
    unroll<Rows>([&](auto i) __attribute__((always_inline)) {
        unroll<Registers>([&](auto j) __attribute__((always_inline)) {
            const extent column = (first_register + j) * simd::word_lanes;
            const extent left = std::min<extent>(outputs - column, simd::word_lanes);
            if (left > 0) use(i, j, column, static_cast<std::size_t>(left));
        });
    });
}

template <class Dot, int Rows, int Registers>
[[gnu::always_inline]] inline void clear_tile(typename Dot::sums (&sum)[Rows][Registers]) {
    unroll<Rows>([&](auto i) __attribute__((always_inline)) {
        unroll<Registers>([&](auto j) __attribute__((always_inline)) { sum[i][j] = Dot::zero(); });
    });
}

/// Computes a tile whose sums fit their registers and hands them to `finish`.
template <class Dot, int Rows, int Registers, class Finish>
[[gnu::noinline]] void run_tile(const word_operands& all, extent row, extent first_register,
                                const Finish& finish) {
    typename Dot::sums sum[Rows][Registers];
    clear_tile<Dot, Rows, Registers>(sum);
    accumulate_tile<Dot, Rows, Registers>(all.at(row, first_register), {0, all.depth}, sum);
    // Always inline: a call would take the address of the sums, and GCC 12 then stores every one of
    // them in every step of the loop above.
    for_each_register<Rows, Registers>(
        all.outputs, first_register,
        [&](int i, int j, extent column, std::size_t count)
            __attribute__((always_inline)) { finish(sum[i][j], row + i, column, count); });
}

/// The same where 32 bits hold only `segment` values of k at a time: 64-bit sums.
template <class Dot, int Rows, int Registers, class Finish>
[[gnu::noinline]] void run_wide_tile(const word_operands& all, extent segment, extent row,
                                     extent first_register, const Finish& finish) {
    std::int64_t wide[Rows][Registers][simd::word_lane_count] = {};
    for (extent first = 0; first < all.depth; first += segment) {
        typename Dot::sums sum[Rows][Registers];
        clear_tile<Dot, Rows, Registers>(sum);
        accumulate_tile<Dot, Rows, Registers>(all.at(row, first_register),
                                              {first, std::min(first + segment, all.depth)}, sum);
        for (int i = 0; i < Rows; ++i) {
            for (int j = 0; j < Registers; ++j) {
                alignas(64) std::int32_t lane[simd::word_lane_count];
                simd::store_words(lane, sum[i][j]);
                for (std::size_t l = 0; l < simd::word_lane_count; ++l)
                    wide[i][j][l] += lane[l];
            }
        }
    }
    for_each_register<Rows, Registers>(all.outputs, first_register,
                                       [&](int i, int j, extent column, std::size_t count) {
                                           finish.wide(wide[i][j], row + i, column, count);
                                       });
}

/// A row of tiles: `Rows` rows from `row` on times strips [strip, strip_end).
template <class Dot, int Rows, class Finish>
void run_strips(const word_operands& all, extent segment, extent row, extent strip,
                extent strip_end, const Finish& finish) {
    constexpr int wide_tile = tile_registers(Rows, Dot::tile_sums);
    const extent end = strip_end * strip_registers;
    extent at = strip * strip_registers;
    if constexpr (requires { finish.wide(nullptr, row, row, std::size_t{}); }) {
        if (all.depth > segment) {
            // A register at a time keeps this rare path small.
            for (; at < end; ++at)
                run_wide_tile<Dot, Rows, 1>(all, segment, row, at, finish);
            return;
        }
    }
    for (; at + wide_tile <= end; at += wide_tile)
        run_tile<Dot, Rows, wide_tile>(all, row, at, finish);
    if constexpr (wide_tile > strip_registers) {
        for (; at < end; at += strip_registers)
            run_tile<Dot, Rows, strip_registers>(all, row, at, finish);
    }
}

/// run_strips<rows> for a number of rows known at run time.
template <class Dot, int Rows, class Finish>
void run_rows(int rows, const word_operands& all, extent segment, extent row, extent strip,
              extent strip_end, const Finish& finish) {
    if constexpr (Rows > 1) {
        if (rows < Rows) {
            run_rows<Dot, Rows - 1>(rows, all, segment, row, strip, strip_end, finish);
            return;
        }
    }
    run_strips<Dot, Rows>(all, segment, row, strip, strip_end, finish);
}

/// Bytes of packed weights and of activations that one pass keeps in the second-level cache.
inline constexpr extent near_weight_bytes = 256 * 1024;
inline constexpr extent near_row_bytes = 256 * 1024;

/// Rows [row, row_end) times strips [strip, strip_end).
template <class Dot, class Finish>
void run_cell(const word_operands& all, extent segment, extent row, extent row_end, extent strip,
              extent strip_end, const Finish& finish) {
    const extent rows = row_end - row;
    if (rows == 0) return;
    const extent tiles = rows <= Dot::tile_rows ? 1 : (rows + Dot::many_rows - 1) / Dot::many_rows;
    // Rows are dealt out evenly: 64 rows are nine tiles of 6 and two of 5, not ten of 6 and one of
    // 4.
    const auto tile_begin = [&](extent t) { return row + rows * t / tiles; };
    const auto one = [&](extent t, extent s, extent s_end) {
        run_rows<Dot, Dot::tile_rows>(static_cast<int>(tile_begin(t + 1) - tile_begin(t)), all,
                                      segment, tile_begin(t), s, s_end, finish);
    };
    // A tile of rows runs along a group of strips that stays in the second-level cache: its own
    // codes stay in the first, and y is written in long runs.
    const extent group =
        tiles == 1
            ? strip_end - strip
            : std::max<extent>(1, near_weight_bytes / std::max<extent>(1, 2 * all.strip_step)) * 2;
    const extent block =
        std::max<extent>(1, near_row_bytes / std::max<extent>(1, all.x_step * Dot::tile_rows));
    for (extent t0 = 0; t0 < tiles; t0 += block)
        for (extent s = strip; s < strip_end; s += group)
            for (extent t = t0; t < std::min(t0 + block, tiles); ++t)
                one(t, s, std::min(s + group, strip_end));
}

/// All outputs: strips are dealt out to the threads, or rows where there are many.
template <class Dot, class Finish>
void multiply_words(const word_operands& all, extent segment, const Finish& finish) {
    const extent strips = (all.outputs + word_strip - 1) / word_strip;
    // A dot on two registers of 16 words takes about 0.25 ns.
    const extent strip_work = std::max<extent>(1, all.strip_step / 64 * rows_of_work(all.rows));
    const extent team = threads_for(strip_work * strips);
    if (all.rows >= strips && all.rows >= team * Dot::tile_rows) {
        parallel_for(all.rows, 1, std::max<extent>(1, strip_work * strips / all.rows),
                     [&](extent begin, extent end) {
                         run_cell<Dot>(all, segment, begin, end, 0, strips, finish);
                     });
    } else {
        parallel_for(strips, 1, strip_work, [&](extent begin, extent end) {
            run_cell<Dot>(all, segment, 0, all.rows, begin, end, finish);
        });
    }
}

}  // namespace tare::kernels::detail
