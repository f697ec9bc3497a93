#pragma once
// SPDX-License-Identifier: MIT
// Products of a few rows with a B stored (N,K): dot products along both operands where they lie.
// Each element of B is needed for a few fma only, so copying it into strips would cost more than it
// saves; a single row runs at the read bandwidth of B.
//
// One output is the sum of `lanes` chains of fma, chain l over k = l, l + lanes, ..., added from
// lane 0 up. Its bits depend on K alone.

#include <tare/core/simd_transpose.hpp>
#include <tare/kernels/matmul_block.hpp>

namespace tare::kernels::detail {

/// Whether dot products beat packing: few rows, and sums long against their final addition.
constexpr bool dots_pay(matmul_sizes size) {
    return size.m <= 8 && size.k >= 2 * lane_count;
}

/// The sums over lanes of `lanes` registers: lane i of the result is the sum of v[i], in order.
inline simd::floats add_lanes(const simd::floats (&v)[simd::lanes]) {
    alignas(64) float rows[simd::lanes * simd::lanes];
    alignas(64) float columns[simd::lanes * simd::lanes];
    for (extent i = 0; i < lane_count; ++i)
        simd::store(rows + i * lane_count, v[i]);
    simd::transpose_block(rows, lane_count, columns, lane_count);
    simd::floats sum = simd::load(columns);
    for (extent i = 1; i < lane_count; ++i)
        sum = sum + simd::load(columns + i * lane_count);
    return sum;
}

/// Rows x (lanes / Rows) dot products of rows of A and rows of B, each `depth` long. Lane
/// i * (lanes / Rows) + j is row i of A with row j of B; rows of B from `count` on repeat the last.
template <int Rows>
simd::floats dot_products(extent depth, matrix_view<const float> a, extent a_row,
                          matrix_view<const float> b, extent b_row, extent count) {
    constexpr int across = static_cast<int>(simd::lanes) / Rows;
    const float* left_row[Rows];
    const float* right_row[across];
    for (int i = 0; i < Rows; ++i)
        left_row[i] = &a(a_row + i, 0);
    for (int j = 0; j < across; ++j)
        right_row[j] = &b(b_row + std::min<extent>(j, count - 1), 0);
    simd::floats sum[simd::lanes];
#pragma GCC unroll 16
    for (std::size_t i = 0; i < simd::lanes; ++i)
        sum[i] = simd::broadcast(0.0F);
    const auto step = [&](const auto& load) {
        simd::floats left[Rows];
#pragma GCC unroll 4
        for (int i = 0; i < Rows; ++i)
            left[i] = load(left_row[i]);
#pragma GCC unroll 16
        for (int j = 0; j < across; ++j) {
            const simd::floats right = load(right_row[j]);
#pragma GCC unroll 4
            for (int i = 0; i < Rows; ++i)
                sum[i * across + j] = simd::fma(left[i], right, sum[i * across + j]);
        }
    };
    extent k = 0;
    for (; k + lane_count <= depth; k += lane_count)
        step([k](const float* row) { return simd::load(row + k); });
    if (k < depth) {
        const auto rest = static_cast<std::size_t>(depth - k);
        step([k, rest](const float* row) { return simd::load_partial(row + k, rest); });
    }
    return add_lanes(sum);
}

/// Rows [row, row + Rows), columns [begin, end) of C = finish((C +) A B^T).
template <int Rows, epilogue Finish>
void multiply_dots(matrix_view<const float> a, matrix_view<const float> b, matrix_view<float> c,
                   extent row, extent begin, extent end, bool accumulate, const Finish& finish) {
    constexpr extent across = lane_count / Rows;
    for (extent j = begin; j < end; j += across) {
        const extent width = std::min(end - j, across);
        const auto count = static_cast<std::size_t>(width);
        alignas(64) float sums[simd::lanes];
        simd::store(sums, dot_products<Rows>(a.columns, a, row, b, j, width));
        for (extent i = row; i < row + Rows; ++i) {
            float* to = &c(i, j);
            simd::floats v = load_lanes(sums + (i - row) * across, count);
            if (accumulate) v = load_lanes(to, count) + v;
            store_lanes(to, finish(v, i, j, count), count);
        }
    }
}

/// One cell of C = finish((C +) A B^T) for an A (M,K) of few rows and B (N,K). B passes by once for
/// every four rows; a piece of its rows stays in the first-level cache meanwhile.
template <epilogue Finish>
void multiply_dots(cell where, matrix_view<const float> a, matrix_view<const float> b,
                   matrix_view<float> c, bool accumulate, const Finish& finish) {
    const extent columns_end = std::min(where.strip_end * strip_columns, c.columns);
    for (extent s = where.strip; s < where.strip_end; ++s) {
        const extent begin = s * strip_columns;
        const extent end = std::min(begin + strip_columns, columns_end);
        extent row = where.row;
        if constexpr (simd::lanes >= 4) {
            for (; row + 4 <= where.row_end; row += 4)
                multiply_dots<4>(a, b, c, row, begin, end, accumulate, finish);
            for (; row + 2 <= where.row_end; row += 2)
                multiply_dots<2>(a, b, c, row, begin, end, accumulate, finish);
        }
        for (; row < where.row_end; ++row)
            multiply_dots<1>(a, b, c, row, begin, end, accumulate, finish);
    }
}

}  // namespace tare::kernels::detail
