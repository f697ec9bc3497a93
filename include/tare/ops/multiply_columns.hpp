#pragma once
// SPDX-License-Identifier: MIT
// Every row of a tensor times one vector, element by element: gates on the columns of a stream.

#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs x (..., d), c (d). Result x[..., i] * c[i].
struct multiply_columns {
    static constexpr std::string_view name = "multiply_columns";
    static constexpr bool starts_gradients = true;

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 2 && in[1] == shape{in[0].columns()}, name, ": x is ", in[0], ", c ",
                in.back(), "; c needs one value for each column of x");
        return in[0];
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        for (extent r = 0; r < in[0].extents.rows(); ++r)
            multiply<Scalar>(in[0].matrix().row(r), in[1].span(), out.matrix().row(r));
    }
    /// dx = dy * c, dc = column sums of dy * x.
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        const matrix_view<const Scalar> dy = grad_out.matrix();
        if (grad_in[0])
            add_written(grad_in[0], in[0].extents, [&](array_view<Scalar> dx) {
                for (extent r = 0; r < dy.rows; ++r)
                    multiply<Scalar>(dy.row(r), in[1].span(), dx.matrix().row(r));
            });
        if (!grad_in[1]) return;
        const matrix_view<const Scalar> x = in[0].matrix();
        std::vector<wide<Scalar>> sums(static_cast<std::size_t>(dy.columns), wide<Scalar>(0));
        for (extent r = 0; r < dy.rows; ++r)
            for (extent c = 0; c < dy.columns; ++c)
                sums[static_cast<std::size_t>(c)] += wide<Scalar>(dy(r, c)) * x(r, c);
        const gradient_view<Scalar>& dc = grad_in[1].or_zeros();
        for (extent c = 0; c < dy.columns; ++c)
            dc[c] = dc[c] + static_cast<Scalar>(sums[static_cast<std::size_t>(c)]);
    }
    constexpr price cost(std::span<const operand>, const operand& out) const {
        return price{}.multiplications("gate", out.extents.size());
    }

  private:
    template <class Scalar>
    static void multiply(std::span<const Scalar> a, std::span<const Scalar> b,
                         std::span<Scalar> out) {
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::multiply(a, b, out);
        } else {
            kernels::plain::multiply<Scalar>(a, b, out);
        }
    }
};

}  // namespace op

/// Each row of x times c. **Shapes** x (..., d), c (d). **Cost** one multiplication an element.
/// **Throws** tare::error on shapes that do not fit.
template <class T>
[[nodiscard]] constexpr T multiply_columns(const T& x, const T& c) {
    return apply(op::multiply_columns{}, x, c);
}

}  // namespace tare
