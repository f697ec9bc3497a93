// SPDX-License-Identifier: MIT
// An operation of your own: one type with its shape, its computation, its gradient and its price.
// Nothing of the library is edited; all three readings accept it.
#include <cmath>
#include <iostream>

#include <tare/micronet/rules.hpp>
#include <tare/ops/mean.hpp>
#include <tare/readings/cost.hpp>
#include <tare/readings/gradient.hpp>

namespace mine {

/// x^2 / (1 + x^2), element by element.
struct bump {
    static constexpr std::string_view name = "bump";

    constexpr tare::shape result_shape(std::span<const tare::shape> in) const { return in[0]; }

    template <class Scalar>
    void forward(tare::input_views<Scalar> in, tare::array_view<Scalar> out,
                 tare::saved<Scalar>&) const {
        for (tare::extent i = 0; i < out.size(); ++i) {
            const Scalar square = in[0][i] * in[0][i];
            out[i] = square / (Scalar(1) + square);
        }
    }
    template <class Scalar>
    void backward(tare::input_views<Scalar> in, tare::array_view<const Scalar>,
                  tare::array_view<const Scalar> grad_out, const tare::saved<Scalar>&,
                  tare::gradient_views<Scalar> grad_in) const {
        for (tare::extent i = 0; i < grad_in[0].size(); ++i) {
            const Scalar below = Scalar(1) + in[0][i] * in[0][i];
            grad_in[0][i] = grad_in[0][i] + grad_out[i] * Scalar(2) * in[0][i] / (below * below);
        }
    }
    constexpr tare::price cost(std::span<const tare::operand> in, const tare::operand& out) const {
        const tare::extent n = out.extents.size();
        return tare::price{}
            .multiplications("square", n, in[0].bits)
            .additions("sum", n)
            .others("division", n);
    }
};
static_assert(tare::differentiable_operation<bump>);

}  // namespace mine

int main() {
    using namespace tare;
    tape record;
    const variable x = record.parameter(tensor(shape{4}, 1.0F));
    record.backward(mean(apply(mine::bump{}, x)));
    std::cout << "gradient " << x.gradient().values()[0] << '\n';

    ledger book;
    static_cast<void>(apply(mine::bump{}, cost(book, operand::dense(shape{4}, 8))));
    book.end_token();
    book.settle();
    std::cout << "cost     " << micronet::tally(book, micronet::official{}).operations() << '\n';
}
