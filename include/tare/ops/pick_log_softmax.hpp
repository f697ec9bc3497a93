#pragma once
// SPDX-License-Identifier: MIT
// log softmax at one column per row, where the row may lie in several blocks of logits side by
// side: what a cross-entropy needs of a softmax, without writing the whole of it.
//     out[r] = z[r, target[r]] - max - log(sum_c exp(z[r, c] - max))

#include <cmath>
#include <span>
#include <vector>

#include <tare/ops/concept.hpp>
#include <tare/ops/gather.hpp>
#include <tare/ops/softmax_price.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs: blocks (N, n_i) of logits; columns are numbered through. Result (N).
struct pick_log_softmax {
    static constexpr std::string_view name = "pick_log_softmax";
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
        using std::exp;
        using std::log;
        const extent rows = in[0].extents[0];
        basic_tensor<Scalar> peak(shape{rows});
        basic_tensor<Scalar> total(shape{rows});
        for (extent r = 0; r < rows; ++r) {
            Scalar top = in[0].matrix()(r, 0);
            for (std::size_t b = 0; b < in.size(); ++b)
                for (extent c = b == 0 ? 1 : 0; c < in[b].extents[1]; ++c)
                    if (top < in[b].matrix()(r, c)) top = in[b].matrix()(r, c);
            Scalar sum{};
            Scalar picked{};
            extent column = 0;
            for (const array_view<const Scalar>& block : in) {
                for (extent c = 0; c < block.extents[1]; ++c, ++column) {
                    const Scalar shifted = block.matrix()(r, c) - top;
                    if (column == target[static_cast<std::size_t>(r)]) picked = shifted;
                    sum = column == 0 ? exp(shifted) : sum + exp(shifted);
                }
            }
            out[r] = picked - log(sum);
            peak.mutable_values()[static_cast<std::size_t>(r)] = top;
            total.mutable_values()[static_cast<std::size_t>(r)] = sum;
        }
        if (keep.wanted) keep.tensors = {peak, total};
    }
    /// dz = (onehot(target) - softmax(z)) * dout
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>& kept,
                  gradient_views<Scalar> grad_in) const {
        using std::exp;
        const extent rows = in[0].extents[0];
        for (extent r = 0; r < rows; ++r) {
            const Scalar top = kept.tensors[0].values()[static_cast<std::size_t>(r)];
            const Scalar share =
                grad_out[r] / kept.tensors[1].values()[static_cast<std::size_t>(r)];
            extent column = 0;
            for (std::size_t b = 0; b < in.size(); ++b) {
                for (extent c = 0; c < in[b].extents[1]; ++c, ++column) {
                    if (!grad_in[b]) continue;
                    Scalar& grad = grad_in[b].matrix()(r, c);
                    grad = grad - share * exp(in[b].matrix()(r, c) - top);
                    if (column == target[static_cast<std::size_t>(r)]) grad = grad + grad_out[r];
                }
            }
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
