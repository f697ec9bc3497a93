#pragma once
// SPDX-License-Identifier: MIT
// The innermost loops of the matrix products: a tile of C in registers, and the rows of tiles that
// share a strip of B. Shapes of a register tile (Goto and van de Geijn 2008, "Anatomy of
// high-performance matrix multiplication", section 6): 6 x 64 or, for a single tile, 12 x 32 with
// the 32 registers of AVX-512 (24 sums, 4 or 2 of B, 1 of A), 6 x 16 with the 16 of AVX2.
//
// Each output is one chain of fma over k, whatever tile it falls into: results do not depend on how
// rows and columns are dealt out to tiles or threads.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <tare/core/simd.hpp>
#include <tare/kernels/epilogue.hpp>

namespace tare::kernels::detail {

inline constexpr extent lane_count = static_cast<extent>(simd::lanes);
/// Registers across a strip. The plain build keeps a strip of 16 scalars the compiler may
/// vectorise.
inline constexpr int strip_vectors = simd::lanes == 1 ? 16 : 2;
/// Columns of a strip: B is packed as [strip][k][strip_columns].
inline constexpr extent strip_columns = strip_vectors * lane_count;
/// Rows of the largest register tile.
inline constexpr int tile_rows = simd::lanes == 16 ? 12 : simd::lanes == 1 ? 2 : 6;

constexpr extent strips_of(extent columns) {
    return (columns + strip_columns - 1) / strip_columns;
}

/// A as the tile reads it, wherever it lies: element (i, k) is data[i * row_step + k * depth_step].
struct left_operand {
    const float* data;
    extent row_step;
    extent depth_step;
    /// Packed into the panels of row_tiles.
    bool panels = false;
};

/// B as the tile reads it: element (k, 32 s + j) is data[s * strip_step + k * depth_step + j].
struct strip_operand {
    const float* data;
    extent strip_step;
    extent depth_step;

    [[nodiscard]] strip_operand at(extent strip) const {
        return {data + strip * strip_step, strip_step, depth_step};
    }
};

/// Where a tile goes: c(0,0) at data, `columns` columns from there on belong to C.
struct tile_target {
    float* data;
    extent stride;
    extent columns;
    bool accumulate;
};

/// Bytes between the tile at work and the lines of C that a tile of brief sums asks for.
inline constexpr std::uintptr_t brief_distance = 512;

/// Computes Rows x (Strips * strip_columns) outputs over `depth` values of k.
template <int Rows, int Strips>
[[gnu::noinline]] void multiply_tile(extent depth, const left_operand& a, const strip_operand& b,
                                     const tile_target& c) {
    constexpr int vectors = strip_vectors;
    // A pointer for every second row: x86 addresses base and base + step, and GCC 12 spends an
    // addition on base + 2 step in each step of k, more than the further pointers cost.
    constexpr int bases = (Rows + 1) / 2;
    const float* row[bases];
#pragma GCC unroll 6
    for (int i = 0; i < bases; ++i)
        row[i] = a.data + 2 * i * a.row_step;
    const float* strip = b.data;
    simd::floats sum[Rows][Strips * vectors];
#pragma GCC unroll 12
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 16
        for (int j = 0; j < Strips * vectors; ++j)
            sum[i][j] = simd::broadcast(0.0F);
    }
    // Strips in the third-level cache come late without being asked for. A tile of four strips
    // reads enough streams for the hardware to see them.
    constexpr int lines = Strips <= 2 ? Strips * static_cast<int>((strip_columns + 15) / 16) : 0;
    const extent ahead = 16 / Strips * b.depth_step;
    const auto ask = [&](int line) {
        const extent at = line * 16;
        __builtin_prefetch(strip + ahead + at / strip_columns * b.strip_step + at % strip_columns);
    };
    const auto step = [&] {
        simd::floats right[Strips * vectors];
        if constexpr (Strips == 1) {
            for (int line = 0; line < lines; ++line)
                ask(line);
        }
#pragma GCC unroll 16
        for (int j = 0; j < Strips * vectors; ++j)
            right[j] = simd::load(strip + j / vectors * b.strip_step + j % vectors * lane_count);
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i) {
            simd::floats left = simd::broadcast(row[i / 2][i % 2 * a.row_step]);
            if constexpr (Strips == 2) {
                // In this order, with the requests dealt out among the rows: beside another thread
                // on the same core that takes a twentieth less than the order GCC 12 chooses.
                left = simd::in_order(left);
                for (int line = i; line < lines; line += Rows)
                    ask(line);
            }
#pragma GCC unroll 16
            for (int j = 0; j < Strips * vectors; ++j)
                sum[i][j] = simd::fma(left, right[j], sum[i][j]);
        }
#pragma GCC unroll 6
        for (int i = 0; i < bases; ++i)
            row[i] += a.depth_step;
        strip += b.depth_step;
    };
    // The lines of C come in while the sums grow, a strip's width of one row a step: asked for all
    // at once they would take the fill buffers from A and B. Sums of a few steps are over before
    // that: they ask for the lines of a tile that is some strips further on.
    const bool brief = depth < Rows * Strips;
    const auto output = reinterpret_cast<std::uintptr_t>(c.data) + (brief ? brief_distance : 0);
    const auto ask_for_output = [&](extent i) {
        const auto at =
            static_cast<std::uintptr_t>(i / Strips * c.stride + i % Strips * strip_columns);
#pragma GCC unroll 16
        for (std::uintptr_t j = 0; j < strip_columns; j += 16)
            __builtin_prefetch(reinterpret_cast<const void*>(output + (at + j) * sizeof(float)), 1);
    };
    if (brief)
        for (extent i = 0; i < Rows * Strips; ++i)
            ask_for_output(i);
    const extent head = brief ? 0 : Rows * Strips;
    for (extent i = 0; i < head; ++i) {
        ask_for_output(i);
        step();
    }
#pragma GCC unroll 4
    for (extent k = head; k < depth; ++k)
        step();
    if (c.columns >= Strips * strip_columns) {
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 16
            for (int j = 0; j < Strips * vectors; ++j) {
                float* p = c.data + i * c.stride + j * lane_count;
                simd::store(p, c.accumulate ? simd::load(p) + sum[i][j] : sum[i][j]);
            }
        }
        return;
    }
#pragma GCC unroll 12
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 16
        for (int j = 0; j < Strips * vectors; ++j) {
            const extent left = std::min(c.columns - j * lane_count, lane_count);
            if (left <= 0) continue;
            const auto count = static_cast<std::size_t>(left);
            float* p = c.data + i * c.stride + j * lane_count;
            store_lanes(p, c.accumulate ? load_lanes(p, count) + sum[i][j] : sum[i][j], count);
        }
    }
}

using tile_function = void (*)(extent, const left_operand&, const strip_operand&,
                               const tile_target&);

/// Strips that a tile of few rows takes at once, so that enough independent sums are in flight to
/// hide the latency of fma (4 cycles, 2 a cycle: at least 8) within the registers there are.
constexpr int strips_at_once(int rows) {
    if (simd::lanes == 16) return rows <= 2 ? 4 : rows <= 6 ? 2 : 1;
    if (simd::lanes == 1) return 1;
    return rows == 1 ? 4 : rows == 2 ? 2 : 1;
}

template <std::size_t... Index>
constexpr std::array<tile_function, sizeof...(Index)> wide_tiles(std::index_sequence<Index...>) {
    return {&multiply_tile<static_cast<int>(Index) + 1,
                           strips_at_once(static_cast<int>(Index) + 1)>...};
}
template <std::size_t... Index>
constexpr std::array<tile_function, sizeof...(Index)> narrow_tiles(std::index_sequence<Index...>) {
    return {&multiply_tile<static_cast<int>(Index) + 1, 1>...};
}

/// The tile of `rows` rows that takes strips_at_once(rows) strips, and the one that takes one.
inline constexpr auto tiles_wide = wide_tiles(std::make_index_sequence<tile_rows>{});
inline constexpr auto tiles_narrow = narrow_tiles(std::make_index_sequence<tile_rows>{});

/// Most rows of a tile where there are several. With AVX-512, 6 x 64 takes 10 loads for its 24 fma,
/// 12 x 32 takes 14: on a core that shares its ports with another thread that is a tenth of the
/// time. Brief sums gain nothing: what bounds them is writing C.
constexpr extent many_rows(extent depth) {
    return simd::lanes == 16 && depth > 128 ? tile_rows / 2 : tile_rows;
}

/// How rows are dealt out to tiles: evenly, so that 64 rows make nine tiles of 6 and two of 5, not
/// ten of 6 and one of 4. As many as one tile holds stay together: B is then read once.
struct row_tiles {
    extent count;
    extent least;   ///< rows of a small tile
    extent larger;  ///< the first so many tiles have one row more

    row_tiles(extent rows, extent depth)
        : count(rows <= tile_rows ? 1 : (rows + many_rows(depth) - 1) / many_rows(depth)),
          least(rows / count),
          larger(rows % count) {}
    [[nodiscard]] extent begin(extent tile) const { return tile * least + std::min(tile, larger); }

    /// Where an A stored transposed is packed, two neighbouring tiles share a panel: the one that
    /// starts at row r lies as [k][row] from r * depth on. With AVX-512 that fills most of a
    /// register; panels of six rows took 390 to 570 us where these take 200.
    [[nodiscard]] extent panels() const { return (count + 1) / 2; }
    [[nodiscard]] extent panel_begin(extent panel) const {
        return begin(std::min(2 * panel, count));
    }

    /// Rows of A as `tile` reads them.
    [[nodiscard]] left_operand rows_of(const left_operand& a, extent tile, extent depth) const {
        const extent row = begin(tile);
        if (!a.panels) return {a.data + row * a.row_step, a.row_step, a.depth_step};
        const extent first = panel_begin(tile / 2);
        return {a.data + first * depth + (row - first), 1, panel_begin(tile / 2 + 1) - first};
    }
};

/// One block: `rows` rows times `strips` strips over one slab of k.
struct block_sizes {
    extent rows;
    extent strips;
    extent depth;
};

/// Multiplies one block. `tile_done(row, column, rows, columns)` is called on each finished tile
/// while it is still in the first-level cache.
template <class TileDone>
void multiply_block(block_sizes size, left_operand a, strip_operand b, tile_target c,
                    const TileDone& tile_done) {
    const row_tiles tiles(size.rows, size.depth);
    const auto one = [&](extent tile, extent strip, int strips, const auto& functions) {
        const extent first = tiles.begin(tile);
        const extent rows = tiles.begin(tile + 1) - first;
        const extent column = strip * strip_columns;
        const extent columns = std::min(c.columns - column, strips * strip_columns);
        functions[static_cast<std::size_t>(rows - 1)](
            size.depth, tiles.rows_of(a, tile, size.depth), b.at(strip),
            {c.data + first * c.stride + column, c.stride, columns, c.accumulate});
        tile_done(first, column, rows, columns);
    };
    if (tiles.count == 1) {
        const int wide = strips_at_once(static_cast<int>(size.rows));
        extent strip = 0;
        for (; strip + wide <= size.strips; strip += wide)
            one(0, strip, wide, tiles_wide);
        for (; strip < size.strips; ++strip)
            one(0, strip, 1, tiles_narrow);
        return;
    }
    // A tile of rows runs along a group of strips that stays in the second-level cache: A of the
    // tile stays in the first, and C is written in long runs.
    constexpr extent run_floats = 96 * 1024;
    const extent wide = strips_at_once(static_cast<int>(tiles.begin(1)));
    const extent group =
        std::max<extent>(1, run_floats / (size.depth * strip_columns * wide)) * wide;
    for (extent first = 0; first < size.strips; first += group) {
        const extent last = std::min(first + group, size.strips);
        for (extent tile = 0; tile < tiles.count; ++tile) {
            extent strip = first;
            for (; wide > 1 && strip + wide <= last; strip += wide)
                one(tile, strip, static_cast<int>(wide), tiles_wide);
            for (; strip < last; ++strip)
                one(tile, strip, 1, tiles_narrow);
        }
    }
}

}  // namespace tare::kernels::detail
