#pragma once
// SPDX-License-Identifier: MIT
// Tensors one after the other along the first axis: several memories that one attention reads.
// Moving data costs no operations.

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs (n_i, ...) that agree in all but the first extent. Result (sum of n_i, ...).
struct concatenate {
    static constexpr std::string_view name = "concatenate";
    static constexpr bool starts_gradients = true;

    constexpr shape result_shape(std::span<const shape> in) const {
        extent first = 0;
        for (const shape& part : in) {
            require(part.rank() >= 1 && part.rank() == in[0].rank() &&
                        std::equal(part.extents().begin() + 1, part.extents().end(),
                                   in[0].extents().begin() + 1),
                    "concatenate: a part is ", part, ", the first is ", in[0],
                    "; all but the first extent must agree");
            first += part[0];
        }
        std::array<extent, shape::max_rank> all{};
        std::copy(in[0].extents().begin(), in[0].extents().end(), all.begin());
        all[0] = first;
        return shape(std::span<const extent>(all.data(), in[0].rank()));
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        Scalar* to = out.data;
        for (const array_view<const Scalar>& part : in)
            to = std::copy_n(part.data, part.size(), to);
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        std::size_t begin = 0;
        for (std::size_t i = 0; i < in.size(); ++i) {
            const auto count = static_cast<std::size_t>(in[i].size());
            add_to(grad_in[i], grad_out.span().subspan(begin, count));
            begin += count;
        }
    }
    constexpr price cost(std::span<const operand>, const operand&) const {
        return free_of_charge();
    }
    constexpr int result_bits(std::span<const operand> in) const { return widest_bits(in); }
};

}  // namespace op

/// The parts one after the other. **Shapes** parts (n_i, ...), result (sum of n_i, ...).
/// **Throws** tare::error where another extent differs. **Cost** nothing.
template <class T, class... Rest>
[[nodiscard]] constexpr T concatenate(const T& first, const Rest&... rest) {
    return apply(op::concatenate{}, first, rest...);
}

}  // namespace tare
