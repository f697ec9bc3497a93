#pragma once
// SPDX-License-Identifier: MIT
// log softmax at one column per row, where the row may lie in several blocks of logits side by
// side: what a cross-entropy needs of a softmax, without writing the whole of it.
//     out[r] = z[r, target[r]] - max - log(sum_c exp(z[r, c] - max))

#include <span>
#include <type_traits>
#include <vector>

#include <tare/kernels/pick_log_softmax.hpp>
#include <tare/ops/concept.hpp>
#include <tare/ops/gather.hpp>
#include <tare/ops/softmax_price.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs: blocks (N, n_i) of logits; columns are numbered through. Result (N).
struct pick_log_softmax {
    static constexpr std::string_view name = "pick_log_softmax";
    static constexpr bool starts_gradients = true;
    std::vector<token> target;

    constexpr shape result_shape(std::span<const shape> in) const {
        extent columns = 0;
        for (const shape& block : in) {
            require(block.rank() == 2 && block[0] == in[0][0], "pick_log_softmax: a block is ",
                    block, ", the first is ", in[0], "; all need the same rows");
            columns += block[1];
        }
        require(static_cast<extent>(target.size()) == in[0][0], "pick_log_softmax: ", target.size(),
                " targets for ", in[0][0], " rows");
        for (const token t : target)
            require(t >= 0 && t < columns, "pick_log_softmax: target ", t, " of ", columns,
                    " columns");
        return shape{in[0][0]};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>& keep) const {
        basic_tensor<Scalar> peak(out.extents);
        basic_tensor<Scalar> total(out.extents);
        std::vector<matrix_view<const Scalar>> blocks;
        for (const array_view<const Scalar>& block : in)
            blocks.push_back(block.matrix());
        const kernels::softmax_statistics<Scalar> statistics{peak.mutable_values(),
                                                             total.mutable_values()};
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::pick_log_softmax(blocks, target, out.span(), statistics);
        } else {
            kernels::plain::pick_log_softmax<Scalar>(blocks, target, out.span(), statistics);
        }
        if (keep.wanted) keep.tensors = {peak, total};
    }
    /// dz = (onehot(target) - softmax(z)) * dout
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>& kept,
                  gradient_views<Scalar> grad_in) const {
        std::vector<matrix_view<const Scalar>> blocks;
        for (const array_view<const Scalar>& block : in)
            blocks.push_back(block.matrix());
        const kernels::softmax_statistics<const Scalar> statistics{kept.tensors[0].values(),
                                                                   kept.tensors[1].values()};
        if constexpr (std::is_same_v<Scalar, float>) {
            std::vector<kernels::logit_gradient> gradients;
            for (const gradient_view<float>& g : grad_in)
                gradients.push_back(g ? kernels::logit_gradient{g.matrix(), g.empty}
                                      : kernels::logit_gradient{});
            kernels::pick_log_softmax_backward(blocks, target, statistics, grad_out.span(),
                                               gradients);
        } else {
            std::vector<matrix_view<Scalar>> gradients;
            for (const gradient_view<Scalar>& g : grad_in)
                gradients.push_back(g ? g.or_zeros().matrix() : matrix_view<Scalar>{});
            kernels::plain::pick_log_softmax_backward<Scalar>(blocks, target, statistics,
                                                              grad_out.span(), gradients);
        }
    }
    constexpr price cost(std::span<const operand> in, const operand&) const {
        extent columns = 0;
        for (const operand& block : in)
            columns += block.extents[1];
        const extent rows = in[0].extents[0];
        price p;
        charge_exponentials(p, rows, columns);
        return p.others("logarithm", rows).additions("difference", rows);
    }
};

}  // namespace op

/// log softmax of each row of the blocks, taken as one row, at target[r].
/// **Shapes** blocks (N, n_i), target N numbers below the sum of the n_i; result (N), in nats.
/// **Throws** tare::error on shapes and targets that do not fit.
template <class T>
[[nodiscard]] constexpr T pick_log_softmax(std::span<const T> blocks, std::vector<token> target) {
    std::vector<const T*> inputs;
    for (const T& block : blocks)
        inputs.push_back(&block);
    return apply_all(op::pick_log_softmax{std::move(target)}, std::span<const T* const>(inputs));
}

}  // namespace tare
