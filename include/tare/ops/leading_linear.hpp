#pragma once
// SPDX-License-Identifier: MIT
// y = x W[:, :D]^T: a linear layer with the leading columns of a wider matrix, which are read where
// they lie. The output layer of a model whose two sides share one table but not one width.
// Source: Wang et al. 2020 ("HAT"), section 3.1, weight sharing.

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include <tare/ops/linear.hpp>

namespace tare {

namespace op {

/// Inputs x (..., D), W (out, in), D <= in. Result (..., out).
struct leading_linear {
    static constexpr std::string_view name = "linear";  ///< to rule sets it is one

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 2 && in[1].rank() == 2 && in[0].rank() >= 1 &&
                    in[0].columns() <= in[1][1],
                "leading_linear: x is ", in[0], ", W is ", in.back(),
                "; W needs at least as many columns as x. W is stored (out, in)");
        return in[0].with_columns(in[1][0]);
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        const matrix_view<const Scalar> x = in[0].matrix();
        product<Scalar>(x, in[1].matrix().columns_between(0, x.columns), out.matrix(),
                        {.transpose_b = true});
    }
    /// dx = dy W[:, :D], dW[:, :D] = dy^T x; the other columns get nothing.
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        const matrix_view<const Scalar> x = in[0].matrix();
        const matrix_view<const Scalar> dy = grad_out.matrix();
        if (grad_in[0])
            product<Scalar>(dy, in[1].matrix().columns_between(0, x.columns), grad_in[0].matrix(),
                            {.accumulate = true});
        if (grad_in[1])
            product<Scalar>(dy, x, grad_in[1].matrix().columns_between(0, x.columns),
                            {.transpose_a = true, .accumulate = true});
    }
    /// As linear's of the block, which has as many non-zeros as fit into it.
    constexpr price cost(std::span<const operand> in, const operand& out) const {
        operand block = operand::dense({in[1].extents[0], in[0].extents.columns()}, in[1].bits);
        block.nonzeros = std::min(block.nonzeros, in[1].nonzeros);
        block.filled_rows = std::min(block.filled_rows, in[1].filled_rows);
        return linear{}.cost(std::array{in[0], block}, out);
    }
};

}  // namespace op

/// y = x W[:, :D]^T for x of D columns; linear(x, W) where those are all.
/// **Shapes** x (..., D), W (out, in), result (..., out). **Throws** tare::error where D > in.
template <class T>
[[nodiscard]] constexpr T leading_linear(const T& x, const T& weight) {
    if (x.shape().columns() == weight.shape().columns()) return linear(x, weight);
    return apply(op::leading_linear{}, x, weight);
}

}  // namespace tare
