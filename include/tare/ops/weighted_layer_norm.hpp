#pragma once
// SPDX-License-Identifier: MIT
// Layer normalisation for networks that lose columns, with a gradient through the columns' weights:
// the two kinds of kernels/weighted_layer_norm.hpp. Epsilon stands beside the deviation.
// Source: selectively regularised pruning of Transformers (SRP, 2022).

#include <span>
#include <type_traits>

#include <tare/core/scalar.hpp>
#include <tare/kernels/weighted_layer_norm.hpp>
#include <tare/kernels/weighted_layer_norm_backward.hpp>
#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs x (..., d), gamma (d), beta (d) and, for the weighted kind, weight (d).
struct weighted_layer_norm {
    static constexpr std::string_view name = "weighted_layer_norm";
    static constexpr bool starts_gradients = true;
    double epsilon = 1e-5;
    extent created_columns = 0;  ///< without weights: columns once there; 0 for those of x

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 3 || in.size() == 4, name,
                ": expected x, gamma, beta and perhaps "
                "the weights of columns");
        const extent d = in[0].columns();
        require(d > 0 && in[1].size() == d && in[2].size() == d && in.back().columns() == d, name,
                ": x is ", in[0], ", gamma ", in[1], ", beta ", in[2], ", the last ", in.back(),
                "; each needs one value for each column of x");
        require(created_columns == 0 || created_columns >= d, name, ": x is ", in[0], " but only ",
                created_columns, " columns were created; pass the original width, or 0");
        return in[0];
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>& keep) const {
        const shape rows{in[0].extents.rows()};
        basic_tensor<Scalar> mean(rows);
        basic_tensor<Scalar> deviation(rows);
        const kernels::weighted_layer_norm_saved<Scalar> kept{mean.mutable_values(),
                                                              deviation.mutable_values()};
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::weighted_layer_norm(in[0].matrix(), weights(in), created_columns, in[1].span(),
                                         in[2].span(), static_cast<float>(epsilon), out.matrix(),
                                         kept);
        } else {
            kernels::plain::weighted_layer_norm<Scalar>(
                in[0].matrix(), weights(in), created_columns, in[1].span(), in[2].span(),
                constant<Scalar>(epsilon), out.matrix(), kept);
        }
        if (keep.wanted) keep.tensors = {mean, deviation};
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>& kept,
                  gradient_views<Scalar> grad_in) const {
        const kernels::weighted_layer_norm_saved<const Scalar> forward_kept{
            kept.tensors[0].values(), kept.tensors[1].values()};
        // The kernel always makes dx, wanted or not: everything else is a part of it.
        add_written(grad_in[0], in[0].extents, [&](const array_view<Scalar>& dx) {
            const kernels::weighted_layer_norm_gradients<Scalar> to{
                dx.matrix(), in.size() == 4 ? grad_in[3].or_zeros().span() : std::span<Scalar>{},
                grad_in[1].or_zeros().span(), grad_in[2].or_zeros().span()};
            if constexpr (std::is_same_v<Scalar, float>) {
                kernels::weighted_layer_norm_backward(in[0].matrix(), weights(in), created_columns,
                                                      in[1].span(), static_cast<float>(epsilon),
                                                      forward_kept, grad_out.matrix(), to);
            } else {
                kernels::plain::weighted_layer_norm_backward<Scalar>(
                    in[0].matrix(), weights(in), created_columns, in[1].span(),
                    constant<Scalar>(epsilon), forward_kept, grad_out.matrix(), to);
            }
        });
    }
    /// A row of d: mean, centre, squares, deviation, reciprocal of it and epsilon, gamma and beta,
    /// 8 d + 3 in all; with weights, 2 d multiplications more and d - 1 additions once for their
    /// sum; with columns that are no longer there, the square of the mean once for them.
    constexpr price cost(std::span<const operand> in, const operand&) const {
        const extent n = in[0].extents.rows();
        const extent d = in[0].extents.columns();
        const bool weighted = in.size() == 4;
        price p;
        if (weighted) p.additions("sum of weights", d - 1).multiplications("weights", 2 * n * d);
        p.additions("mean", n * (d - 1))
            .others("mean", n)
            .additions("centre", n * d)
            .multiplications("square", n * d)
            .additions("variance", n * (d - 1))
            .others("variance", n)
            .others("root", n)
            .additions("epsilon", n)
            .others("reciprocal", n)
            .multiplications("normalise", n * d)
            .multiplications("gamma", n * d)
            .additions("beta", n * d);
        if (!weighted && created_columns > d)
            p.multiplications("removed columns", 2 * n).additions("removed columns", n);
        return p;
    }

  private:
    template <class Scalar>
    static std::span<const Scalar> weights(input_views<Scalar> in) {
        return in.size() == 4 ? in[3].span() : std::span<const Scalar>{};
    }
};

}  // namespace op

/// Layer normalisation with columns weighted in mean and deviation.
/// **Shapes** x (..., d), gamma, beta and weight (d). **NaN** weights that sum to 0 give NaN.
/// **Cost** 10 d + 3 operations a row. **Throws** tare::error on shapes that do not fit.
template <class T>
[[nodiscard]] constexpr T weighted_layer_norm(const T& x, const T& gamma, const T& beta,
                                              const T& weight, double epsilon = 1e-5) {
    return apply(op::weighted_layer_norm{epsilon, 0}, x, gamma, beta, weight);
}

/// Layer normalisation over `created_columns` columns, of which those that x has not are zeros.
/// **Shapes** as above; 0 created columns for those of x. **Cost** 8 d + 3 operations a row, and 3
/// where columns are absent. **Throws** tare::error on shapes that do not fit.
template <class T>
[[nodiscard]] constexpr T layer_norm_of_created(const T& x, const T& gamma, const T& beta,
                                                extent created_columns, double epsilon = 1e-5) {
    return apply(op::weighted_layer_norm{epsilon, created_columns}, x, gamma, beta);
}

}  // namespace tare
