#pragma once
// SPDX-License-Identifier: MIT
// Dropout as an operation of training: each element is kept with probability 1 - p and then
// multiplied by 1 / (1 - p), or set to zero. Whether it stays is a function of the stream and its
// position, so the gradient draws the same mask again and nothing is stored.
// Source: Srivastava et al. 2014 (inverted form).

#include <span>

#include <tare/kernels/dropout.hpp>
#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare::op {

struct dropout {
    static constexpr std::string_view name = "dropout";
    static constexpr bool starts_gradients = true;
    float probability = 0.0F;  ///< of being set to zero, 0 <= p < 1
    random_stream stream{0, 0};

    constexpr shape result_shape(std::span<const shape> in) const { return in[0]; }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        drop<Scalar>(in[0].span(), out.span());
    }
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar>, array_view<const Scalar> grad_out,
                  const saved<Scalar>&, gradient_views<Scalar> grad_in) const {
        add_written(grad_in[0], grad_out.extents,
                    [&](array_view<Scalar> dx) { drop<Scalar>(grad_out.span(), dx.span()); });
    }
    /// Never executed by a finished model; a ledger that meets it charges the product.
    constexpr price cost(std::span<const operand>, const operand& out) const {
        return price{}.multiplications("dropout", out.extents.size());
    }

  private:
    template <class Scalar>
    void drop(std::span<const Scalar> x, std::span<Scalar> y) const {
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::dropout(x, probability, stream, y);
        } else {
            kernels::plain::dropout<Scalar>(x, probability, stream, y);
        }
    }
};

}  // namespace tare::op
