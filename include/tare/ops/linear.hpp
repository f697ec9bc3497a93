#pragma once
// SPDX-License-Identifier: MIT
// y = x W^T + b, the linear layer. W is stored (out, in), as PyTorch does.

#include <algorithm>
#include <span>
#include <type_traits>

#include <tare/ops/concept.hpp>
#include <tare/ops/product.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs x (..., in), W (out, in) and, optionally, b (out). Result (..., out).
struct linear {
    static constexpr std::string_view name = "linear";
    static constexpr bool starts_gradients = true;

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 2 || in.size() == 3, "linear: expected x, W and perhaps b");
        require(in[1].rank() == 2 && in[0].rank() >= 1 && in[0].columns() == in[1][1],
                "linear: x is ", in[0], ", W is ", in[1],
                "; the last extent of x must be the last of W. W is stored (out, in)");
        require(in.size() == 2 || in[2].size() == in[1][0], "linear: b is ", in.back(), ", W is ",
                in[1], "; b needs one value for each of the ", in[1][0], " rows of W");
        return in[0].with_columns(in[1][0]);
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        const matrix_view<const Scalar> x = in[0].matrix();
        const matrix_view<const Scalar> w = in[1].matrix();
        constexpr kernels::matmul_options how{.transpose_b = true};
        if (in.size() == 2) {
            product<Scalar>(x, w, out.matrix(), how);
        } else if constexpr (std::is_same_v<Scalar, float>) {
            kernels::matmul(x, w, out.matrix(), how, kernels::add_bias(in[2].span()));
        } else {
            product<Scalar>(x, w, out.matrix(), how);
            kernels::plain::add_to_rows<Scalar>(out.matrix(), in[2].span(), out.matrix());
        }
    }
    /// dx = dy W, dW = dy^T x, db = column sums of dy.
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        const matrix_view<const Scalar> dy = grad_out.matrix();
        if (grad_in[0])
            product<Scalar>(dy, in[1].matrix(), grad_in[0].matrix(),
                            {.accumulate = !grad_in[0].empty});
        if (grad_in[1])
            product<Scalar>(dy, in[0].matrix(), grad_in[1].matrix(),
                            {.transpose_a = true, .accumulate = !grad_in[1].empty});
        if (grad_in.size() < 3 || !grad_in[2]) return;
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::column_sums(dy, grad_in[2].span(), !grad_in[2].empty);
        } else {
            kernels::plain::column_sums<Scalar>(dy, grad_in[2].span(), !grad_in[2].empty);
        }
    }
    /// One multiplication for each non-zero weight, one addition less than that for each row that
    /// has any, one more for each non-zero bias. Zeros of x are not exploited (rules: dynamic
    /// sparsity of activations does not count).
    constexpr price cost(std::span<const operand> in, const operand&) const {
        const extent rows = in[0].extents.rows();
        const operand& w = in[1];
        price p;
        p.contraction(in[0].extents.columns(), w.extents[0])
            .multiplications("product", rows * w.nonzeros, std::max(in[0].bits, w.bits))
            .additions("sum", rows * (w.nonzeros - w.filled_rows));
        if (in.size() == 3) p.additions("bias", rows * in[2].nonzeros);
        return p;
    }
};

}  // namespace op

/// y = x W^T + b.
/// **Shapes** x (..., in), W (out, in), b (out); result (..., out).
/// **Cost** per row of x: nnz(W) multiplications, nnz(W) - rows(W) + nnz(b) additions.
/// **Throws** tare::error on shapes that do not fit.
template <class T>
[[nodiscard]] constexpr T linear(const T& x, const T& weight, const T& bias) {
    return apply(op::linear{}, x, weight, bias);
}
/// y = x W^T.
template <class T>
[[nodiscard]] constexpr T linear(const T& x, const T& weight) {
    return apply(op::linear{}, x, weight);
}

}  // namespace tare
