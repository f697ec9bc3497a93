#pragma once
// SPDX-License-Identifier: MIT
// Products of float matrices, C = op(A) op(B), with whatever the caller wants done to each output.
// Both operands are taken as they lie; where one B meets many A, prepare it once
// (kernels/prepared_matrix.hpp). The plain version is matmul_reference.

#include <tare/kernels/matmul_block.hpp>
#include <tare/kernels/matmul_dot.hpp>
#include <tare/kernels/matmul_reference.hpp>

namespace tare::kernels {

namespace detail {

/// The part of a product that has no sums: C = 0 (or C as it is), then the epilogue.
template <epilogue Finish>
void finish_empty_sums(matrix_view<float> c, bool accumulate, const Finish& finish) {
    if (!accumulate)
        for (extent i = 0; i < c.rows; ++i)
            std::fill_n(c.data + i * c.stride, c.columns, 0.0F);
    finish_outputs(c, 0, 0, c.rows, c.columns, finish);
}

/// The product of checked operands: picks the way that suits its sizes.
template <epilogue Finish>
void multiply(matmul_sizes size, matrix_view<const float> a, matrix_view<const float> b,
              matrix_view<float> c, matmul_options how, const Finish& finish) {
    if (size.m == 0 || size.n == 0) return;
    if (size.k == 0) {
        finish_empty_sums(c, how.accumulate, finish);
        return;
    }
    if (how.transpose_b && !how.transpose_a && dots_pay(size)) {
        for_each_cell(size, true,
                      [&](cell where) { multiply_dots(where, a, b, c, how.accumulate, finish); });
        return;
    }
    const fresh_right right({b, how.transpose_b}, size.m);
    for_each_cell(size, false, [&](cell where) {
        multiply_cell(where, size.k, {a, how.transpose_a}, right, c, how.accumulate, finish);
    });
}

}  // namespace detail

/// C = finish(op(A) op(B)), or C = finish(C + op(A) op(B)) with `accumulate`.
/// **Shapes** op(A) (M,K), op(B) (K,N), C (M,N), any strides; any size may be 0 (K = 0: zeros).
/// **Rounding/NaN** one chain of fma over k for each slab of at most 1024, slabs added in order
/// (few rows against a transposed B: one chain a lane); the plain build rounds products too. NaN
/// and infinity propagate.
/// **Accuracy** |c - exact| <= (K + K / 1024 + 1) 2^-24 sum_k |a| |b| to first order.
/// **Cost** M N K multiplications and M N (K - 1) additions.
/// **Throws** tare::error on shapes that do not fit, null, short-stride and overlapping views.
/// **Threads** the same bits for any number.
template <epilogue Finish = no_epilogue>
void matmul(matrix_view<const float> a, matrix_view<const float> b, matrix_view<float> c,
            matmul_options how = {}, const Finish& finish = {}) {
    const matmul_sizes size = detail::check_matmul("matmul", a, b, c, how);
    detail::check_epilogue(finish, "matmul", c);
    detail::multiply(size, a, b, c, how, finish);
}

}  // namespace tare::kernels
