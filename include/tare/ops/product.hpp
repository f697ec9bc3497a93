#pragma once
// SPDX-License-Identifier: MIT
// The matrix product for any scalar: the fast kernel for float, the plain one for the types of
// gradient checks and of counting.

#include <type_traits>

#include <tare/kernels/matmul.hpp>
#include <tare/kernels/matmul_reference.hpp>

namespace tare::op {

/// C = op(A) op(B), or C += it (kernels/matmul.hpp). **Throws** tare::error on shapes that do not
/// fit.
template <class Scalar>
void product(matrix_view<const Scalar> a, matrix_view<const Scalar> b, matrix_view<Scalar> c,
             kernels::matmul_options how = {}) {
    if constexpr (std::is_same_v<Scalar, float>) {
        kernels::matmul(a, b, c, how);
    } else {
        kernels::matmul_reference(a, b, c, how);
    }
}

}  // namespace tare::op
