#pragma once
// SPDX-License-Identifier: MIT
// x with y added to chosen places: how the log probabilities of tails join those of the head.

#include <algorithm>
#include <span>
#include <vector>

#include <tare/ops/concept.hpp>
#include <tare/ops/gather.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs x (N), y (n). Result (N): x[index[i]] + y[i] where chosen, x elsewhere.
struct add_at {
    static constexpr std::string_view name = "add_at";
    std::vector<token> index;

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 2 && in[1].size() == static_cast<extent>(index.size()), name,
                ": y is ", in.back(), " for ", index.size(), " places");
        for (const token i : index)
            require(i >= 0 && i < in[0].size(), name, ": place ", i, " is outside ", in[0]);
        return in[0];
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        std::copy_n(in[0].data, in[0].size(), out.data);
        for (std::size_t i = 0; i < index.size(); ++i)
            out[index[i]] = out[index[i]] + in[1][static_cast<extent>(i)];
    }
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar>, array_view<const Scalar> grad_out,
                  const saved<Scalar>&, gradient_views<Scalar> grad_in) const {
        if (grad_in[0]) accumulate<Scalar>(grad_in[0].span(), grad_out.span());
        if (grad_in[1])
            for (std::size_t i = 0; i < index.size(); ++i) {
                Scalar& to = grad_in[1][static_cast<extent>(i)];
                to = to + grad_out[index[i]];
            }
    }
    constexpr price cost(std::span<const operand> in, const operand&) const {
        return price{}.additions("sum", in[1].extents.size());
    }
};

}  // namespace op

/// x with y[i] added to x[index[i]]. **Shapes** x (N), y and index n; result (N).
/// **Throws** tare::error on a place outside x. **Cost** n additions.
template <class T>
[[nodiscard]] constexpr T add_at(const T& x, const T& y, std::vector<token> index) {
    return apply(op::add_at{std::move(index)}, x, y);
}

}  // namespace tare
