#pragma once
// SPDX-License-Identifier: MIT
// The innermost loop of the matrix products: a tile of C in registers (matmul_rows.hpp deals rows
// out to tiles). Shapes of a tile (Goto and van de Geijn 2008, "Anatomy of high-performance matrix
// multiplication", section 6): 6 x 64 or, for a single tile, 12 x 32 with the 32 registers of
// AVX-512 (24 sums, 4 or 2 of B, 1 of A), 6 x 16 with the 16 of AVX2.
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
    /// Lines that a tile asks for on its way, one a step of k: A of the tile that follows.
    const float* next = nullptr;
    extent next_step = 0;
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
    // A pointer for each strip too: with one for all, its offsets took more registers than there
    // are and some came back through port 0, which fma needs.
    const float* strip[Strips];
#pragma GCC unroll 4
    for (int s = 0; s < Strips; ++s)
        strip[s] = b.data + s * b.strip_step;
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
        __builtin_prefetch(strip[at / strip_columns] + ahead + at % strip_columns);
    };
    const auto step = [&] {
        simd::floats right[Strips * vectors];
        if constexpr (Strips == 1) {
            for (int line = 0; line < lines; ++line)
                ask(line);
        }
#pragma GCC unroll 16
        for (int j = 0; j < Strips * vectors; ++j)
            right[j] = simd::load(strip[j / vectors] + j % vectors * lane_count);
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
#pragma GCC unroll 4
        for (int s = 0; s < Strips; ++s)
            strip[s] += b.depth_step;
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
    extent k = head;
    if (a.next != nullptr) {
        const float* next = a.next + head * a.next_step;
#pragma GCC unroll 2
        for (; k < depth; ++k, next += a.next_step) {
            __builtin_prefetch(next, 0, 2);
            step();
        }
    }
#pragma GCC unroll 4
    for (; k < depth; ++k)
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

}  // namespace tare::kernels::detail
