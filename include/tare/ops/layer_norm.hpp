#pragma once
// SPDX-License-Identifier: MIT
// Layer normalisation: y = (x - mean) / sqrt(var + eps) * gamma + beta over the last axis, biased
// variance. Source: Ba, Kiros, Hinton 2016, section 3.

#include <span>
#include <type_traits>

#include <tare/core/scalar.hpp>
#include <tare/kernels/layer_norm.hpp>
#include <tare/kernels/layer_norm_backward.hpp>
#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs x (..., d), gamma (d), beta (d).
struct layer_norm {
    static constexpr std::string_view name = "layer_norm";
    static constexpr bool starts_gradients = true;
    double epsilon = 1e-5;

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 3 && in[0].columns() > 0 && in[1].size() == in[0].columns() &&
                    in[2].size() == in[0].columns(),
                "layer_norm: x is ", in[0], ", gamma ", in[1], ", beta ", in[2],
                "; gamma and beta need one value for each column of x");
        return in[0];
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>& keep) const {
        // Two tensors cost as much time as a row of a few hundred values.
        basic_tensor<Scalar> mean;
        basic_tensor<Scalar> inverse;
        kernels::layer_norm_saved<Scalar> statistics;
        if (keep.wanted) {
            mean = basic_tensor<Scalar>(shape{in[0].extents.rows()});
            inverse = basic_tensor<Scalar>(mean.shape());
            statistics = {mean.mutable_values(), inverse.mutable_values()};
        }
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::layer_norm(in[0].matrix(), in[1].span(), in[2].span(),
                                static_cast<float>(epsilon), out.matrix(), statistics);
        } else {
            kernels::plain::layer_norm<Scalar>(in[0].matrix(), in[1].span(), in[2].span(),
                                               constant<Scalar>(epsilon), out.matrix(), statistics);
        }
        if (keep.wanted) keep.tensors = {mean, inverse};
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>& kept,
                  gradient_views<Scalar> grad_in) const {
        add_written(grad_in[0], in[0].extents, [&](array_view<Scalar> dx) {
            const auto run = [&](auto kernel) {
                kernel(in[0].matrix(), in[1].span(), kept.tensors[0].values(),
                       kept.tensors[1].values(), grad_out.matrix(), dx.matrix(),
                       grad_in[1].or_zeros().span(), grad_in[2].or_zeros().span());
            };
            if constexpr (std::is_same_v<Scalar, float>) {
                run([](auto&&... a) { kernels::layer_norm_backward(a...); });
            } else {
                run([](auto&&... a) { kernels::plain::layer_norm_backward<Scalar>(a...); });
            }
        });
    }
    /// 7 d + 2 a row: d - 1 additions and a division for the mean, d subtractions, d squares,
    /// d - 1 additions and a division for the variance, epsilon, the inverse root, and d
    /// multiplications each by the root and by gamma, d additions of beta.
    constexpr price cost(std::span<const operand> in, const operand&) const {
        const extent n = in[0].extents.rows();
        const extent d = in[0].extents.columns();
        return price{}
            .additions("mean", n * (d - 1))
            .others("mean", n)
            .additions("centre", n * d)
            .multiplications("square", n * d)
            .additions("variance", n * (d - 1))
            .others("variance", n)
            .additions("epsilon", n)
            .others("inverse root", n)
            .multiplications("normalise", n * d)
            .multiplications("gamma", n * d)
            .additions("beta", n * d);
    }
};

}  // namespace op

/// Layer normalisation over the last axis.
/// **Shapes** x (..., d), gamma and beta (d). **Cost** 7 d + 2 operations a row.
/// **Throws** tare::error on shapes that do not fit.
template <class T>
[[nodiscard]] constexpr T layer_norm(const T& x, const T& gamma, const T& beta,
                                     double epsilon = 1e-5) {
    return apply(op::layer_norm{epsilon}, x, gamma, beta);
}

}  // namespace tare
