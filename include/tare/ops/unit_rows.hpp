#pragma once
// SPDX-License-Identifier: MIT
// Rows of unit length: y = x / max(|x|, 1e-12), |x| the Euclidean norm over the last axis.

#include <cmath>
#include <span>

#include <tare/core/scalar.hpp>
#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

struct unit_rows {
    static constexpr std::string_view name = "unit_rows";
    static constexpr double least = 1e-12;  ///< so that a row of zeros stays one

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in[0].rank() >= 1 && in[0].columns() > 0, name, ": x is ", in[0],
                "; a length needs at least one column");
        return in[0];
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>& keep) const {
        const matrix_view<const Scalar> x = in[0].matrix();
        basic_tensor<Scalar> lengths(shape{x.rows});
        for (extent r = 0; r < x.rows; ++r) {
            using std::sqrt;
            wide<Scalar> squares = wide<Scalar>(x(r, 0)) * wide<Scalar>(x(r, 0));
            for (extent c = 1; c < x.columns; ++c)
                squares = squares + wide<Scalar>(x(r, c)) * wide<Scalar>(x(r, c));
            Scalar length = static_cast<Scalar>(sqrt(squares));
            if (length < constant<Scalar>(least)) length = constant<Scalar>(least);
            for (extent c = 0; c < x.columns; ++c)
                out.matrix()(r, c) = x(r, c) / length;
            lengths.mutable_values()[static_cast<std::size_t>(r)] = length;
        }
        if (keep.wanted) keep.tensors = {lengths};
    }
    /// dx = (dy - y (y . dy)) / |x|; a norm below the least is a constant.
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar> out,
                  array_view<const Scalar> grad_out, const saved<Scalar>& kept,
                  gradient_views<Scalar> grad_in) const {
        const matrix_view<const Scalar> y = out.matrix();
        const matrix_view<const Scalar> dy = grad_out.matrix();
        for (extent r = 0; r < in[0].extents.rows(); ++r) {
            const Scalar length = kept.tensors[0].values()[static_cast<std::size_t>(r)];
            wide<Scalar> along{};
            if (constant<Scalar>(least) < length)
                for (extent c = 0; c < y.columns; ++c)
                    along = along + wide<Scalar>(y(r, c)) * wide<Scalar>(dy(r, c));
            for (extent c = 0; c < y.columns; ++c) {
                Scalar& to = grad_in[0].matrix()(r, c);
                to = to + (dy(r, c) - y(r, c) * static_cast<Scalar>(along)) / length;
            }
        }
    }
    constexpr price cost(std::span<const operand> in, const operand&) const {
        const extent rows = in[0].extents.rows();
        const extent n = in[0].extents.columns();
        return price{}
            .multiplications("squares", rows * n)
            .additions("sum", rows * (n - 1))
            .others("root", rows)
            .others("least length", rows)
            .others("division", rows * n);
    }
};

}  // namespace op

/// Every row of x divided by its Euclidean length, or by 1e-12 if it is shorter.
/// **Shapes** x (..., n). **Throws** tare::error on no column.
template <class T>
[[nodiscard]] constexpr T unit_rows(const T& x) {
    return apply(op::unit_rows{}, x);
}

}  // namespace tare
