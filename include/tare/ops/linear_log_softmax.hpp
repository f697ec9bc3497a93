#pragma once
// SPDX-License-Identifier: MIT
// log softmax of x W^T + b at one column per row, logits and all, as one operation: a training step
// then makes neither the logits of a vocabulary nor their gradients.
//     z = x W^T + b,   out[r] = z[r, target[r]] - max - log(sum_c exp(z[r, c] - max))
//     dz = (onehot(target) - softmax(z)) * dout,   dx = dz W,   dW = dz^T x,   db = sum_r dz

#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <tare/kernels/linear_log_softmax.hpp>
#include <tare/kernels/thin_log_softmax_backward.hpp>
#include <tare/ops/concept.hpp>
#include <tare/ops/linear.hpp>
#include <tare/ops/pick_log_softmax.hpp>
#include <tare/ops/product.hpp>
#include <tare/readings/apply.hpp>
#include <tare/readings/gradient.hpp>

namespace tare {

namespace op {

/// Inputs: x (N, K), W (C, K), b (C), K at most kernels::thin_depth. Result (N).
struct linear_log_softmax {
    static constexpr std::string_view name = "linear_log_softmax";
    static constexpr bool starts_gradients = true;
    std::vector<token> target;

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 3, "linear_log_softmax: ", in.size(), " inputs; expected x, W and b");
        const shape logits = linear{}.result_shape(in);
        require(in[0].rank() == 2 && in[0][1] <= kernels::thin_depth, "linear_log_softmax: x is ",
                in[0], "; it needs two axes, the second of at most ", kernels::thin_depth,
                ": deeper products are better kept, see linear and pick_log_softmax");
        return pick_log_softmax{target}.result_shape(std::span(&logits, 1));
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>& keep) const {
        basic_tensor<Scalar> peak(out.extents);
        basic_tensor<Scalar> total(out.extents);
        const kernels::softmax_statistics<Scalar> statistics{peak.mutable_values(),
                                                             total.mutable_values()};
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::linear_log_softmax(in[0].matrix(),
                                        kernels::prepared_matrix(in[1].matrix(), true),
                                        in[2].span(), {}, target, out.span(), statistics);
        } else {
            const basic_tensor<Scalar> z = logits(in);
            const matrix_view<const Scalar> block = z.view().matrix();
            kernels::plain::pick_log_softmax<Scalar>(std::span(&block, 1), target, out.span(),
                                                     statistics);
        }
        if (keep.wanted) keep.tensors = {peak, total};
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>& kept,
                  gradient_views<Scalar> grad_in) const {
        const kernels::softmax_statistics<const Scalar> statistics{kept.tensors[0].values(),
                                                                   kept.tensors[1].values()};
        if constexpr (std::is_same_v<Scalar, float>) {
            // All three come from one pass; what is wanted and holds nothing yet is written in
            // place.
            basic_tensor<float> fresh[3];
            array_view<float> to[3];
            for (std::size_t i = 0; i < 3; ++i) {
                const bool in_place = grad_in[i] && grad_in[i].empty;
                if (!in_place) fresh[i] = basic_tensor<float>(in[i].extents);
                to[i] =
                    in_place ? static_cast<array_view<float>>(grad_in[i]) : fresh[i].mutable_view();
            }
            kernels::thin_log_softmax_backward(in[0].matrix(),
                                               kernels::prepared_matrix(in[1].matrix(), true),
                                               in[2].span(), target, statistics, grad_out.span(),
                                               {to[0].matrix(), to[1].matrix(), to[2].span()});
            for (std::size_t i = 0; i < 3; ++i)
                if (grad_in[i] && !grad_in[i].empty)
                    accumulate<float>(grad_in[i].span(), std::as_const(fresh[i]).values());
        } else {
            const basic_tensor<Scalar> z = logits(in);
            basic_tensor<Scalar> dz(z.shape(), Scalar(0));
            const matrix_view<const Scalar> block = z.view().matrix();
            const matrix_view<Scalar> gradient = dz.mutable_view().matrix();
            kernels::plain::pick_log_softmax_backward<Scalar>(
                std::span(&block, 1), target, statistics, grad_out.span(), std::span(&gradient, 1));
            linear{}.template backward<Scalar>(in, {}, std::as_const(dz).view(), {}, grad_in);
        }
    }
    constexpr price cost(std::span<const operand> in, const operand& result) const {
        price p = linear{}.cost(in, result);
        const extent rows = in[0].extents[0];
        charge_exponentials(p, rows, in[1].extents[0]);
        return p.others("logarithm", rows).additions("difference", rows);
    }

  private:
    template <class Scalar>
    static basic_tensor<Scalar> logits(input_views<Scalar> in) {
        basic_tensor<Scalar> z(shape{in[0].extents[0], in[1].extents[0]});
        saved<Scalar> nothing;
        linear{}.template forward<Scalar>(in, z.mutable_view(), nothing);
        return z;
    }
};

}  // namespace op

/// Logarithm of softmax(x W^T + b) at one column per row, on a tape: without logits where their
/// depth is small enough to make them twice (see thin_log_softmax_backward).
/// **Shapes** x (N, K), W (C, K), b (C), N targets below C; result (N), in nats.
/// **Throws** tare::error on what does not fit.
template <class Scalar, class Precision>
    requires keeps_results<Precision>
[[nodiscard]] basic_variable<Scalar, Precision>
linear_log_softmax(const basic_variable<Scalar, Precision>& x,
                   const basic_variable<Scalar, Precision>& weight,
                   const basic_variable<Scalar, Precision>& bias, std::vector<token> target) {
    if (weight.shape().columns() <= kernels::thin_depth)
        return apply(op::linear_log_softmax{std::move(target)}, x, weight, bias);
    const basic_variable<Scalar, Precision> logits = linear(x, weight, bias);
    return pick_log_softmax(std::span(&logits, 1), std::move(target));
}

}  // namespace tare
