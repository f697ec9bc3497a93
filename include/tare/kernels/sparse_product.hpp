#pragma once
// SPDX-License-Identifier: MIT
// Products of dense activations with pruned fp32 weights (see sparse_weights.hpp): y = x W^T.
//
// Bit masks: up to a tile of rows, each register of weights is expanded (vexpandps, or a
// permutation from a table of 256 with AVX2) and multiplied at once; more rows share a strip that
// their first tile expands into a panel, which the tiles of the dense product then read. Block
// masks: the dense tile, over the kept runs only. Up to K = slab_depth each output is one chain of
// fma over ascending k: all forms agree with the dense product to the bit (x finite, since a
// dropped weight may skip 0 * x). Longer sums are cut into slabs where M exceeds a tile, and then
// differ by rounding. Threads change nothing.

#include <tare/kernels/dequantize.hpp>
#include <tare/kernels/matmul_block.hpp>
#include <tare/kernels/sparse_tile.hpp>
#include <tare/kernels/sparse_weights.hpp>

namespace tare::kernels {

namespace detail {

/// Neighbouring strips, at most panel_strips, for more rows than a tile has: expanded slab by slab
/// into a panel of dense strips, where the registers allow it by the tile of the first rows.
template <epilogue Finish>
void bitmask_panel(matrix_view<const float> x, const bitmask_weights& w, extent strip,
                   extent strip_end, matrix_view<float> y, const Finish& finish) {
    const extent column = strip * sparse_strip;
    const extent columns = std::min((strip_end - strip) * sparse_strip, y.columns - column);
    const float* values[panel_strips] = {};
    for (extent s = strip; s < strip_end; ++s)
        values[s - strip] = w.values(s);
    const extent slab = even_piece(w.inputs(), slab_depth);
    const extent head = sparse_rows >= tile_rows ? std::min<extent>(sparse_rows, x.rows) : 0;
    float* panel = scratch(1, slab * panel_strips * sparse_strip);
    for (extent k0 = 0; k0 < w.inputs(); k0 += slab) {
        const extent depth = std::min(slab, w.inputs() - k0);
        const auto done = [&](extent i, extent j, extent height, extent width) {
            if constexpr (!std::is_same_v<Finish, no_epilogue>) {
                if (k0 + depth == w.inputs())
                    finish_outputs(y, i, column + j, height, width, finish);
            }
        };
        for (extent s = strip; s < strip_end; ++s) {
            const extent first = (s - strip) * sparse_strip;
            const extent here = std::min(sparse_strip, columns - first);
            const float*& from = values[s - strip];
            const std::uint32_t* masks = w.masks(s) + k0;
            if (head == 0) {
                from = expand_panel(depth, masks, from, panel, first);
                continue;
            }
            from = expand_rows_tile<sparse_rows>(head, depth, {&x(0, k0), x.stride, 1}, masks, from,
                                                 panel, first,
                                                 {&y(0, column + first), y.stride, here, k0 > 0});
            done(0, first, head, here);
        }
        if (head == x.rows) continue;
        multiply_block({x.rows - head, strips_of(columns), depth}, {&x(head, k0), x.stride, 1},
                       {panel, depth * strip_columns, strip_columns},
                       {&y(head, column), y.stride, columns, k0 > 0},
                       [&](extent i, extent j, extent height, extent width) {
                           done(head + i, j, height, width);
                       });
    }
}

/// Work of one strip for parallel_for: two fma of 16 lanes for each row and input, 0.25 ns.
inline extent strip_work(extent rows, extent inputs) {
    return std::max<extent>(1, rows_of_work(rows) * inputs * 2);
}

}  // namespace detail

/// y(m,n) = finish(sum_k x(m,k) w(n,k)).
/// **Shapes** x (M,K), w (N,K), y (M,N); any sizes, also 0. **Accuracy** |error| <= K 2^-24 /
/// (1 - K 2^-24) sum_k |x w| with fma, twice that without. **Throws** tare::error on shapes that do
/// not match, bad views, overlap.
template <epilogue Finish = no_epilogue>
void sparse_product(matrix_view<const float> x, const bitmask_weights& w, matrix_view<float> y,
                    const Finish& finish = {}) {
    using namespace detail;
    check_product(x, w.inputs(), w.outputs(), y, "sparse_product");
    check_epilogue(finish, "sparse_product", matrix_view<const float>(y));
    if (x.rows == 0 || w.outputs() == 0) return;
    const extent strips = sparse_strips(w.outputs());
    if (x.rows > sparse_rows && w.inputs() > 0) {
        parallel_for(strips, panel_strips, strip_work(x.rows, w.inputs()),
                     [&](extent begin, extent end) {
                         for (extent s = begin; s < end; s += panel_strips)
                             bitmask_panel(x, w, s, std::min(s + panel_strips, end), y, finish);
                     });
        return;
    }
    parallel_for(strips, 2, strip_work(x.rows, w.inputs()), [&](extent begin, extent end) {
        extent s = begin;
        if (x.rows == 1) {
            // Two strips at a time hide the chain from mask to next value.
            for (; s + 2 <= end; s += 2)
                sparse_tile<1, 2>(x, 0, s, bitmask_walk<2>{w, s}, y, finish);
        }
        for (; s < end; ++s)
            for (extent row = 0; row < x.rows; row += sparse_rows)
                sparse_rows_tile<sparse_rows>(
                    static_cast<int>(std::min<extent>(sparse_rows, x.rows - row)), x, row, s,
                    bitmask_walk<1>{w, s}, y, finish);
    });
}

/// The same with blocks.
template <epilogue Finish = no_epilogue>
void sparse_product(matrix_view<const float> x, const block_weights& w, matrix_view<float> y,
                    const Finish& finish = {}) {
    using namespace detail;
    check_product(x, w.inputs(), w.outputs(), y, "sparse_product");
    check_epilogue(finish, "sparse_product", matrix_view<const float>(y));
    if (x.rows == 0 || w.outputs() == 0) return;
    const extent tiles = (x.rows + sparse_rows - 1) / sparse_rows;
    parallel_for(sparse_strips(w.outputs()), 1, strip_work(x.rows, w.inputs()),
                 [&](extent begin, extent end) {
                     for (extent s = begin; s < end; ++s) {
                         for (extent t = 0; t < tiles; ++t) {
                             const extent row = x.rows * t / tiles;
                             const extent last = x.rows * (t + 1) / tiles;
                             sparse_rows_tile<sparse_rows>(static_cast<int>(last - row), x, row, s,
                                                           block_walk{w, s}, y, finish);
                         }
                     }
                 });
}

namespace plain {

/// The product by definition, zeros skipped; w (N,K) dense, one fma chain over ascending k.
inline void sparse_product(matrix_view<const float> x, matrix_view<const float> w,
                           matrix_view<float> y) {
    for (extent m = 0; m < y.rows; ++m) {
        for (extent n = 0; n < y.columns; ++n) {
            float sum = 0.0F;
            for (extent k = 0; k < x.columns; ++k) {
                if (w(n, k) == 0.0F) continue;
                sum = simd::fused ? std::fma(x(m, k), w(n, k), sum) : x(m, k) * w(n, k) + sum;
            }
            y(m, n) = sum;
        }
    }
}

}  // namespace plain
}  // namespace tare::kernels
