#pragma once
// SPDX-License-Identifier: MIT
// A block of a tensor: some rows, and of each row the leading columns. How a smaller network uses
// the weights of a larger one; the gradient flows into the block alone. Moving data costs nothing.
// Source: Wang et al. 2020 ("HAT"), section 3.1, weight sharing.

#include <algorithm>
#include <span>
#include <string_view>

#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Input (..., C), of R rows in all. Result (rows, columns): rows [begin, begin + rows), their
/// columns [0, columns). Of a vector: its elements [begin, begin + rows); `columns` must be 1.
struct block {
    static constexpr std::string_view name = "block";
    extent begin = 0;
    extent rows = 0;
    extent columns = 0;

    constexpr shape result_shape(std::span<const shape> in) const {
        const extent have = vector(in[0]) ? in[0].size() : in[0].rows();
        const extent wide = vector(in[0]) ? 1 : in[0].columns();
        require(in.size() == 1 && begin >= 0 && rows >= 1 && begin + rows <= have && columns >= 1 &&
                    columns <= wide,
                "block: rows [", begin, ',', begin + rows, ") and columns [0,", columns, ") of ",
                in[0], " do not exist");
        return vector(in[0]) ? shape{rows} : shape{rows, columns};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        const matrix_view<const Scalar> x = rows_of(in[0]);
        for (extent r = 0; r < rows; ++r)
            std::copy_n(&x(begin + r, 0), columns, out.data + r * columns);
    }
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar>, array_view<const Scalar> grad_out,
                  const saved<Scalar>&, gradient_views<Scalar> grad_in) const {
        const matrix_view<Scalar> dx = rows_of(grad_in[0]);
        for (extent r = 0; r < rows; ++r)
            for (extent c = 0; c < columns; ++c) {
                Scalar& to = dx(begin + r, c);
                to = to + grad_out[r * columns + c];
            }
    }
    constexpr price cost(std::span<const operand>, const operand&) const {
        return free_of_charge();
    }
    constexpr int result_bits(std::span<const operand> in) const { return in[0].bits; }

  private:
    static constexpr bool vector(const shape& extents) { return extents.rank() == 1; }
    template <class Element>
    static matrix_view<Element> rows_of(const array_view<Element>& x) {
        return vector(x.extents) ? matrix_view<Element>(x.data, x.size(), 1) : x.matrix();
    }
};

}  // namespace op

/// Rows [begin, begin + rows) of x and their leading columns, as op::block has it; x itself where
/// that is all of it. **Throws** tare::error on a block that x does not have. **Cost** nothing.
template <class T>
[[nodiscard]] constexpr T block(const T& x, extent begin, extent rows, extent columns) {
    const shape whole = x.shape();
    if (begin == 0 && (whole == shape{rows, columns} || (whole == shape{rows} && columns == 1)))
        return x;
    return apply(op::block{begin, rows, columns}, x);
}

/// The leading columns of every row; x itself where that is all of them.
/// **Shapes** x (..., C); result (rows of x, columns).
template <class T>
[[nodiscard]] constexpr T leading_columns(const T& x, extent columns) {
    return x.shape().columns() == columns ? x : block(x, 0, x.shape().rows(), columns);
}

}  // namespace tare
