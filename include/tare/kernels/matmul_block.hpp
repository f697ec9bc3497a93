#pragma once
// SPDX-License-Identifier: MIT
// The outer loops of the matrix products: slabs of k, blocks of rows, groups of strips, and how
// threads share them. The cache sizes below are those of the smallest machine the library is tuned
// for (48 KiB and 1 MiB a core); larger caches lose nothing.
//
//     for each slab of k (at most slab_depth)             C is passed over once a slab
//       for each group of strips                          packed B of a group stays near
//         for each block of rows                          A of a block stays in the second level
//           for each strip, for each tile of rows         multiply_block
//
// K is never split between threads, and slabs depend on K alone: any number of threads gives the
// same bits.

#include <cstdint>
#include <numeric>
#include <utility>

#include <tare/core/aligned.hpp>
#include <tare/core/parallel.hpp>
#include <tare/kernels/matmul_pack.hpp>

namespace tare::kernels::detail {

inline constexpr extent slab_depth = 1024;
inline constexpr extent block_floats = 160 * 1024;  ///< A of one block: 640 KiB
inline constexpr extent near_floats = 16 * 1024;    ///< packed B used at once: 64 KiB
inline constexpr extent group_floats = 128 * 1024;  ///< packed B used by block after block: 512 KiB
/// The same where A is packed for every such group: 4 MiB.
inline constexpr extent seldom_floats = 1024 * 1024;
/// Multiply-adds in one unit of work of parallel_for (0.1 ns).
inline constexpr extent multiplications_per_unit = 8;

/// `count` things cut into equal pieces of at most `most`: the size of a piece.
constexpr extent even_piece(extent count, extent most) {
    const extent pieces = (count + most - 1) / most;
    return (count + pieces - 1) / pieces;
}

/// Whether a few columns of `rows` rows, `stride` floats apart, stay in the second-level cache
/// while they are read again and again: 16 ways of 64 KiB, and rows that lie a multiple of a way
/// apart share one place in each. An operand that does not is copied.
constexpr bool stays_near(extent rows, extent stride) {
    constexpr extent way_floats = 16 * 1024;
    return rows * std::gcd(stride, way_floats) <= 16 * way_floats;
}

/// A rectangle of C: rows [row, row_end), strips [strip, strip_end).
struct cell {
    extent row;
    extent row_end;
    extent strip;
    extent strip_end;
};

/// Memory that a thread keeps from product to product; it grows to the largest ever needed.
inline float* scratch(int which, extent count) {
    static thread_local aligned_vector<float> memory[2];
    aligned_vector<float>& own = memory[which];
    if (own.size() < static_cast<std::size_t>(count)) {
        own.clear();  // nothing to move
        own.resize(static_cast<std::size_t>(count));
    }
    return own.data();
}

/// A as it is stored: (M,K), or (K,M) if transposed.
struct stored_left {
    matrix_view<const float> stored;
    bool transposed;
};

/// B packed beforehand, whole: strip s starts at data + s * depth * strip_columns.
struct packed_right {
    const float* data;
    extent depth;

    [[nodiscard]] extent group_end(extent, extent last, extent, extent) const { return last; }
    [[nodiscard]] strip_operand strips(extent first, extent, extent k0, extent, bool) const {
        return {data + (first * depth + k0) * strip_columns, depth * strip_columns, strip_columns};
    }
};

/// B as the caller stores it. Whole strips of a (K,N) matrix are read in place where only one tile
/// of rows needs them, or where whole registers of them stay near; others are packed group by group
/// into the memory of the thread.
struct fresh_right {
    right_operand b;
    bool in_place;

    fresh_right(right_operand b_, extent rows)
        : b(b_),
          in_place(!b.transposed &&
                   (rows <= tile_rows ||
                    (b.stored.stride % lane_count == 0 &&
                     reinterpret_cast<std::uintptr_t>(b.stored.data) % sizeof(simd::floats) == 0 &&
                     stays_near(even_piece(b.depth(), slab_depth), b.stored.stride)))) {}

    /// Strips up to here are asked for together: `floats` of a slab, if they have to be packed.
    [[nodiscard]] extent group_end(extent first, extent last, extent slab, extent floats) const {
        const extent whole = b.columns() / strip_columns;
        if (in_place && first < whole) return std::min(last, whole);
        return std::min(last, first + std::max<extent>(2, floats / (slab * strip_columns)));
    }
    [[nodiscard]] strip_operand strips(extent first, extent last, extent k0, extent slab,
                                       bool fresh) const {
        if (in_place && last * strip_columns <= b.columns())
            return {&b.stored(k0, first * strip_columns), strip_columns, b.stored.stride};
        const extent step = slab * strip_columns;
        float* packed = scratch(1, (last - first) * step);
        if (fresh) pack_strips(b, k0, slab, first, last, packed, step);
        return {packed, step, strip_columns};
    }
};

/// Runs `finish` over a rectangle of C.
template <epilogue Finish>
void finish_outputs(matrix_view<float> c, extent row, extent column, extent rows, extent columns,
                    const Finish& finish) {
    for (extent i = row; i < row + rows; ++i) {
        for (extent j = column; j < column + columns; j += lane_count) {
            const auto count = static_cast<std::size_t>(std::min(column + columns - j, lane_count));
            store_lanes(&c(i, j), finish(load_lanes(&c(i, j), count), i, j, count), count);
        }
    }
}

/// Computes one cell of C; depth > 0.
template <class Right, epilogue Finish>
void multiply_cell(cell where, extent depth, stored_left a, const Right& b, matrix_view<float> c,
                   bool accumulate, const Finish& finish) {
    const extent slab = even_piece(depth, slab_depth);
    const extent most_rows = std::max<extent>(tile_rows, block_floats / slab);
    const extent block = even_piece(where.row_end - where.row, most_rows);
    const bool one_block = block >= where.row_end - where.row;
    const bool pack_left = a.transposed && !stays_near(slab, a.stored.stride);
    const extent floats = one_block ? near_floats : pack_left ? seldom_floats : group_floats;
    for (extent k0 = 0; k0 < depth; k0 += slab) {
        const extent size = std::min(slab, depth - k0);
        const bool add = accumulate || k0 > 0;
        const bool last_slab = k0 + size == depth;
        extent s_end = 0;
        for (extent s = where.strip; s < where.strip_end; s = s_end) {
            s_end = b.group_end(s, where.strip_end, size, floats);
            for (extent row = where.row; row < where.row_end; row += block) {
                const extent rows = std::min(block, where.row_end - row);
                left_operand left{};
                if (pack_left) {
                    float* panels = scratch(0, rows * size);
                    // A single block stays packed while the groups of strips pass by.
                    if (!one_block || s == where.strip)
                        pack_panels(a.stored, row, rows, k0, size, panels);
                    left = {panels, 1, 0, true};
                } else if (a.transposed) {
                    left = {&a.stored(k0, row), 1, a.stored.stride};
                } else {
                    left = {&a.stored(row, k0), a.stored.stride, 1};
                }
                const strip_operand right = b.strips(s, s_end, k0, size, row == where.row);
                const extent column = s * strip_columns;
                multiply_block({rows, s_end - s, size}, left, right,
                               {&c(row, column), c.stride, c.columns - column, add},
                               [&](extent i, extent j, extent height, extent width) {
                                   if constexpr (!std::is_same_v<Finish, no_epilogue>) {
                                       if (last_slab)
                                           finish_outputs(c, row + i, column + j, height, width,
                                                          finish);
                                   }
                               });
            }
        }
    }
}

/// Deals C out to the threads, a grid of cells chosen so that the threads are through together and,
/// among such grids, so that they read least: A once for each cell across, B once for each cell
/// down. `body(cell)` computes one. With `spare`, several cells a thread where each is still long:
/// a thread that comes late or shares its core then holds up the others less. That needs a B packed
/// beforehand; another is packed once for each cell down, and packing costs several readings.
template <class Body>
void for_each_cell(matmul_sizes size, bool spare, const Body& body) {
    // Strips that one tile takes together stay together.
    constexpr extent together = strips_at_once(tile_rows / 2);
    const extent tiles = (size.m + tile_rows - 1) / tile_rows;
    const extent strips = strips_of(size.n);
    const extent pieces = (strips + together - 1) / together;
    const extent work = rows_of_work(size.m) * size.n * size.k / multiplications_per_unit;
    const extent team = threads_for(work);
    const extent most =
        spare && team > 1 ? std::clamp(2 * work / region_min_work, team, 4 * team) : team;
    extent across = 1;  // cells along a row of C
    extent down = 1;
    const extent b_readings = spare ? 1 : 8;
    std::pair<extent, extent> least{tiles * pieces, 0};
    for (extent x = most; x >= 1; --x) {
        const extent y = most / x;
        const extent rounds = (x * y + team - 1) / team;
        const extent longest = rounds * ((pieces + x - 1) / x) * ((tiles + y - 1) / y);
        const std::pair cost{longest, x * size.m + y * b_readings * size.n};
        if (cost < least) {
            least = cost;
            across = x;
            down = y;
        }
    }
    parallel_for(across * down, 1, work / (across * down), [&](extent begin, extent end) {
        for (extent i = begin; i < end; ++i) {
            const extent x = i % across;
            const extent y = i / across;
            const cell where{size.m * y / down, size.m * (y + 1) / down,
                             pieces * x / across * together,
                             std::min(strips, pieces * (x + 1) / across * together)};
            if (where.row < where.row_end && where.strip < where.strip_end) body(where);
        }
    });
}

}  // namespace tare::kernels::detail
