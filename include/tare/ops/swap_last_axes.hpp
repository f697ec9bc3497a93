#pragma once
// SPDX-License-Identifier: MIT
// The last two axes of a tensor exchanged: data movement only.

#include <algorithm>
#include <array>
#include <span>
#include <type_traits>

#include <tare/kernels/transpose.hpp>
#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// out[..., j, i] = x[..., i, j].
struct swap_last_axes {
    static constexpr std::string_view name = "swap_last_axes";
    static constexpr bool starts_gradients = true;

    constexpr shape result_shape(std::span<const shape> in) const {
        const std::size_t rank = in[0].rank();
        require(rank >= 2, name, ": x is ", in[0], "; it must have at least two axes");
        std::array<extent, shape::max_rank> e{};
        std::copy(in[0].extents().begin(), in[0].extents().end(), e.begin());
        std::swap(e[rank - 2], e[rank - 1]);
        return shape(std::span<const extent>(e.data(), rank));
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        transpose_all<Scalar>(in[0], out);
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        add_written(grad_in[0], in[0].extents,
                    [&](array_view<Scalar> dx) { transpose_all<Scalar>(grad_out, dx); });
    }
    constexpr price cost(std::span<const operand>, const operand&) const {
        return free_of_charge();
    }
    constexpr int result_bits(std::span<const operand> in) const { return in[0].bits; }

  private:
    template <class Scalar>
    static void transpose_all(array_view<const Scalar> x, array_view<Scalar> out) {
        const extent rows = x.extents[x.extents.rank() - 2];
        const extent columns = x.extents.columns();
        const extent one = rows * columns;
        for (extent begin = 0; begin < x.size(); begin += one) {
            const matrix_view<const Scalar> from(x.data + begin, rows, columns);
            const matrix_view<Scalar> to(out.data + begin, columns, rows);
            if constexpr (std::is_same_v<Scalar, float>) {
                kernels::transpose(from, to);
            } else {
                kernels::plain::transpose<Scalar>(from, to);
            }
        }
    }
};

}  // namespace op

/// x with its last two axes exchanged. **Shapes** x (..., m, n), result (..., n, m).
/// **Cost** none: moving data is free. **Throws** tare::error on fewer than two axes.
template <class T>
[[nodiscard]] constexpr T swap_last_axes(const T& x) {
    return apply(op::swap_last_axes{}, x);
}

}  // namespace tare
