#pragma once
// SPDX-License-Identifier: MIT
// The plain matrix product C = op(A) op(B) for any scalar with + and *: what the fast product is
// tested against (with double), and what counts operations (with a scalar that counts its own).
// One output needs K products and K - 1 sums, K sums when it accumulates; nothing is added to zero.

#include <type_traits>

#include <tare/kernels/matmul_check.hpp>

namespace tare::kernels {

/// C = op(A) op(B), or C += op(A) op(B), in three loops.
/// Shapes    op(A) (M,K), op(B) (K,N), C (M,N); any may be empty, K = 0 gives zeros.
/// Formula   c(i,j) = (c(i,j) +) a(i,0) b(0,j) + a(i,1) b(1,j) + ..., left to right.
/// Cost      M N K multiplications; M N (K - 1) additions, M N K with `accumulate`.
/// Throws    tare::error on shapes that do not fit, null, short-stride and overlapping views.
template <class Scalar>
void matmul_reference(std::type_identity_t<matrix_view<const Scalar>> a,
                      std::type_identity_t<matrix_view<const Scalar>> b, matrix_view<Scalar> c,
                      matmul_options how = {}) {
    const auto [m, n, depth] = detail::check_matmul("matmul_reference", a, b, c, how);
    for (extent i = 0; i < m; ++i) {
        for (extent j = 0; j < n; ++j) {
            const auto term = [&, i, j](extent k) -> Scalar {
                return (how.transpose_a ? a(k, i) : a(i, k)) *
                       (how.transpose_b ? b(j, k) : b(k, j));
            };
            extent k = 0;
            Scalar sum{};
            if (how.accumulate) {
                sum = c(i, j);
            } else if (depth > 0) {
                sum = term(k++);
            }
            for (; k < depth; ++k)
                sum = sum + term(k);
            c(i, j) = sum;
        }
    }
}

}  // namespace tare::kernels
