#pragma once
// SPDX-License-Identifier: MIT
// Copies of operands in the order in which the tiles read them.
//   B: strips [strip][k][strip_columns], zeros behind the last column, so that a tile loads whole
//      registers from one contiguous stream;
//   A: panels [two tiles][k][row], for an A stored transposed, whose rows lie a page apart.

#include <tare/core/simd_transpose.hpp>
#include <tare/kernels/matmul_rows.hpp>

namespace tare::kernels::detail {

/// A matrix read as (K,N) whichever way it is stored.
struct right_operand {
    matrix_view<const float> stored;
    bool transposed;  ///< stored as (N,K)

    [[nodiscard]] extent depth() const { return transposed ? stored.columns : stored.rows; }
    [[nodiscard]] extent columns() const { return transposed ? stored.rows : stored.columns; }
};

/// Packs `width` <= strip_columns columns from (k0, column) on, `depth` values of k each.
inline void pack_strip(right_operand b, extent k0, extent depth, extent column, extent width,
                       float* to) {
    if (!b.transposed) {
        for (extent k = 0; k < depth; ++k, to += strip_columns) {
            const float* from = &b.stored(k0 + k, column);
            if (width == strip_columns) {
                for (int v = 0; v < strip_vectors; ++v)
                    simd::store(to + v * lane_count, simd::load(from + v * lane_count));
            } else {
                for (extent j = 0; j < strip_columns; ++j)
                    to[j] = j < width ? from[j] : 0.0F;
            }
        }
        return;
    }
    const extent whole = width == strip_columns ? depth / lane_count * lane_count : 0;
    for (extent k = 0; k < whole; k += lane_count)
        for (int v = 0; v < strip_vectors; ++v)
            simd::transpose_block(&b.stored(column + v * lane_count, k0 + k), b.stored.stride,
                                  to + k * strip_columns + v * lane_count, strip_columns);
    const extent blocked = width == strip_columns ? depth / 4 * 4 : 0;
    for (extent k = whole; k < blocked; k += 4)
        for (int v = 0; v < strip_vectors; ++v)
            simd::transpose_columns(&b.stored(column + v * lane_count, k0 + k), b.stored.stride,
                                    to + k * strip_columns + v * lane_count, strip_columns);
    for (extent j = 0; j < strip_columns; ++j) {
        const float* from = j < width ? &b.stored(column + j, k0) : nullptr;
        for (extent k = blocked; k < depth; ++k)
            to[k * strip_columns + j] = from != nullptr ? from[k] : 0.0F;
    }
}

/// Packs strips [first, last) over [k0, k0 + depth); strip s goes to + (s - first) * strip_step.
inline void pack_strips(right_operand b, extent k0, extent depth, extent first, extent last,
                        float* to, extent strip_step) {
    for (extent s = first; s < last; ++s) {
        const extent column = s * strip_columns;
        pack_strip(b, k0, depth, column, std::min(strip_columns, b.columns() - column),
                   to + (s - first) * strip_step);
    }
}

/// Packs rows [row, row + rows) of A^T, stored as `a` (K,M), over [k0, k0 + depth) into the panels
/// of row_tiles(rows, depth).
inline void pack_panels(matrix_view<const float> a, extent row, extent rows, extent k0,
                        extent depth, float* to) {
    const row_tiles tiles(rows, depth);
    // A few rows of `a` at a time: they are read in long runs, and the panels are written in
    // contiguous pieces.
    constexpr extent rows_at_once = 16;
    for (extent first = 0; first < depth; first += rows_at_once) {
        const extent last = std::min(first + rows_at_once, depth);
        for (extent i = 0; i < tiles.panels(); ++i) {
            const extent begin = tiles.panel_begin(i);
            const extent width = tiles.panel_begin(i + 1) - begin;
            float* panel = to + begin * depth;
            for (extent k = first; k < last; ++k) {
                const float* from = &a(k0 + k, row + begin);
                for (extent j = 0; j < width; j += lane_count) {
                    const auto count = static_cast<std::size_t>(std::min(width - j, lane_count));
                    simd::store_partial(panel + k * width + j, simd::load_partial(from + j, count),
                                        count);
                }
            }
        }
    }
}

}  // namespace tare::kernels::detail
