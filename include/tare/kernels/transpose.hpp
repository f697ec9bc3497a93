#pragma once
// SPDX-License-Identifier: MIT
// out = x^T in blocks of 16 x 16 that are turned in registers. Blocks are visited in squares of
// 64 x 64, so that each cache line and page of both sides is used whole while it is near.

#include <algorithm>
#include <type_traits>

#include <tare/core/parallel.hpp>
#include <tare/core/simd_transpose.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>

namespace tare::kernels {

namespace plain {

/// out(c, r) = x(r, c).
template <class Scalar>
void transpose(matrix_view<const std::type_identity_t<Scalar>> x, matrix_view<Scalar> out) {
    for (extent r = 0; r < x.rows; ++r) {
        for (extent c = 0; c < x.columns; ++c)
            out(c, r) = x(r, c);
    }
}

}  // namespace plain

namespace detail {

inline constexpr extent transpose_square = 64;

/// The block of 16 x 16 at in, turned, to out; steps in elements.
inline void transpose_16x16(const float* in, extent in_step, float* out, extent out_step) {
    constexpr extent side = static_cast<extent>(simd::lanes);
    for (extent r = 0; r < 16; r += side)
        for (extent c = 0; c < 16; c += side)
            simd::transpose_block(in + r * in_step + c, in_step, out + c * out_step + r, out_step);
}

/// The part of out = x^T with rows [r0, r1) and columns [c0, c1) of x.
inline void transpose_part(matrix_view<const float> x, matrix_view<float> out, extent r0, extent r1,
                           extent c0, extent c1) {
    for (extent r = r0; r < r1; r += 16) {
        for (extent c = c0; c < c1; c += 16) {
            if (r + 16 <= r1 && c + 16 <= c1) {
                transpose_16x16(&x(r, c), x.stride, &out(c, r), out.stride);
                continue;
            }
            for (extent i = r; i < std::min(r + 16, r1); ++i) {
                for (extent j = c; j < std::min(c + 16, c1); ++j)
                    out(j, i) = x(i, j);
            }
        }
    }
}

}  // namespace detail

/// out(c, r) = x(r, c). Shapes x (R, C), out (C, R). Bit-exact.
/// Throws on shapes that do not fit or shared memory.
inline void transpose(matrix_view<const float> x, matrix_view<float> out) {
    detail::require_view("transpose", "x", x);
    detail::require_view("transpose", "out", out);
    if (out.rows != x.columns || out.columns != x.rows)
        fail("transpose: x is (", x.rows, ",", x.columns, ") and out is (", out.rows, ",",
             out.columns, "); out must be (", x.columns, ",", x.rows, ")");
    detail::require_apart("transpose", "x", x, "out", out);
    constexpr extent square = detail::transpose_square;
    // Threads own rows of out.
    parallel_for(x.columns, square, x.rows, [&](extent begin, extent end) {
        for (extent c = begin; c < end; c += square) {
            for (extent r = 0; r < x.rows; r += square)
                detail::transpose_part(x, out, r, std::min(r + square, x.rows), c,
                                       std::min(c + square, end));
        }
    });
}

}  // namespace tare::kernels
