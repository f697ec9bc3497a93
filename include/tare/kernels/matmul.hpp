#pragma once
// SPDX-License-Identifier: MIT
// Products of float matrices, C = op(A) op(B), with whatever the caller wants done to each output.

#include <tare/kernels/epilogue.hpp>
#include <tare/kernels/matmul_reference.hpp>

namespace tare::kernels {

/// C = finish(op(A) op(B)), or C = finish(C + op(A) op(B)) with `accumulate`.
/// Shapes    op(A) (M,K), op(B) (K,N), C (M,N), any strides; any size may be 0.
/// Throws    tare::error on shapes that do not fit, null, short-stride and overlapping views.
template <epilogue Finish = no_epilogue>
void matmul(matrix_view<const float> a, matrix_view<const float> b, matrix_view<float> c,
            matmul_options how = {}, const Finish& finish = {}) {
    detail::check_matmul("matmul", a, b, c, how);
    detail::check_epilogue(finish, "matmul", c);
    matmul_reference(a, b, c, how);
    for (extent i = 0; i < c.rows; ++i) {
        for (extent j = 0; j < c.columns; j += static_cast<extent>(simd::lanes)) {
            const extent left = c.columns - j;
            const std::size_t count = left < static_cast<extent>(simd::lanes)
                                          ? static_cast<std::size_t>(left)
                                          : simd::lanes;
            detail::store_lanes(&c(i, j), finish(detail::load_lanes(&c(i, j), count), i, j, count),
                                count);
        }
    }
}

}  // namespace tare::kernels
