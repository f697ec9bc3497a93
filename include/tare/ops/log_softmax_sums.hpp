#pragma once
// SPDX-License-Identifier: MIT
// Sums of log softmax over the rows that have a target: at the targets, and at all columns. Every
// cross-entropy with smoothed labels is a combination of the two (train/label_smoothing.hpp).
//     out = (sum_r l_(r,t_r), sum_r sum_c l_rc),   l = log_softmax(z)

#include <span>
#include <type_traits>
#include <vector>

#include <tare/kernels/log_softmax_sums.hpp>
#include <tare/ops/concept.hpp>
#include <tare/ops/gather.hpp>
#include <tare/ops/softmax_price.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Input (N, C) logits. Result (2).
struct log_softmax_sums {
    static constexpr std::string_view name = "log_softmax_sums";
    static constexpr bool starts_gradients = true;
    std::vector<token> target;  ///< a column for each row; -1 leaves a row out

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in[0].rank() == 2, "log_softmax_sums: logits are ", in[0],
                "; expected (rows, classes). Reshape them first");
        require(static_cast<extent>(target.size()) == in[0][0], "log_softmax_sums: ", target.size(),
                " targets for ", in[0][0], " rows");
        for (const token t : target)
            require(t >= -1 && t < in[0][1], "log_softmax_sums: target ", t, " of ", in[0][1],
                    " columns; -1 leaves a row out");
        return shape{2};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>& keep) const {
        const shape rows{in[0].extents[0]};
        basic_tensor<Scalar> peak(rows, Scalar(0));
        basic_tensor<Scalar> total(rows, Scalar(1));
        const kernels::softmax_statistics<Scalar> statistics{peak.mutable_values(),
                                                             total.mutable_values()};
        if constexpr (std::is_same_v<Scalar, float>) {
            const auto sums = kernels::log_softmax_sums(in[0].matrix(), target, statistics);
            out[0] = static_cast<float>(sums.picked);
            out[1] = static_cast<float>(sums.all);
        } else {
            const auto sums =
                kernels::plain::log_softmax_sums<Scalar>(in[0].matrix(), target, statistics);
            out[0] = sums.picked;
            out[1] = sums.all;
        }
        if (keep.wanted) keep.tensors = {peak, total};
    }
    /// See kernels/log_softmax_sums.hpp.
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>& kept,
                  gradient_views<Scalar> grad_in) const {
        const kernels::softmax_statistics<const Scalar> statistics{kept.tensors[0].values(),
                                                                   kept.tensors[1].values()};
        const kernels::softmax_sums<Scalar> d_sums{grad_out[0], grad_out[1]};
        if constexpr (std::is_same_v<Scalar, float>)
            kernels::log_softmax_sums_backward(in[0].matrix(), target, statistics, d_sums,
                                               {grad_in[0].matrix(), grad_in[0].empty});
        else
            kernels::plain::log_softmax_sums_backward<Scalar>(
                in[0].matrix(), target, statistics, d_sums, grad_in[0].or_zeros().matrix());
    }
    constexpr price cost(std::span<const operand> in, const operand&) const {
        const extent columns = in[0].extents[1];
        extent rows = 0;
        for (const token t : target)
            rows += t < 0 ? 0 : 1;
        price p;
        charge_exponentials(p, rows, columns);
        return p.others("logarithm", rows)
            .additions("sum over classes", rows * (columns - 1))
            .multiplications("logarithms of all classes", rows)
            .additions("differences", 2 * rows)
            .additions("sums over rows", rows == 0 ? 0 : 2 * (rows - 1));
    }
};

}  // namespace op

/// (sum of log softmax at the targets, sum at all columns) over the rows with a target.
/// **Shapes** logits (N, C), target N columns or -1; result (2), in nats.
/// **Throws** tare::error on shapes and targets that do not fit.
template <class T>
[[nodiscard]] constexpr T log_softmax_sums(const T& logits, std::vector<token> target) {
    return apply(op::log_softmax_sums{std::move(target)}, logits);
}

}  // namespace tare
