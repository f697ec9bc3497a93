#pragma once
// SPDX-License-Identifier: MIT
// The rows of tiles of one block of a product: how rows are dealt out to register tiles, and the
// order in which the tiles meet the strips of B.

#include <tare/kernels/matmul_tile.hpp>

namespace tare::kernels::detail {

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
        left_operand left = tiles.rows_of(a, tile, size.depth);
        // Down the columns of an A that lies transposed every step of k meets another page, where
        // the hardware does not look ahead. The next tile's last row: its first lie in lines
        // that the tiles before have asked for.
        if (a.row_step == 1 && !a.panels && strip == 0 && tile + 1 < tiles.count) {
            left.next = a.data + tiles.begin(tile + 2) - 1;
            left.next_step = a.depth_step;
        }
        functions[static_cast<std::size_t>(rows - 1)](
            size.depth, left, b.at(strip),
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
