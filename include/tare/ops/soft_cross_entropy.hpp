#pragma once
// SPDX-License-Identifier: MIT
// What a student's logits lose against a teacher's, both softened by a temperature: summed over all
// rows, as a cross-entropy or as the divergence that is 0 where the two agree. Both have the same
// gradient. Source: Hinton, Vinyals, Dean 2015, section 2.

#include <span>
#include <type_traits>

#include <tare/core/scalar.hpp>
#include <tare/kernels/soft_cross_entropy.hpp>
#include <tare/ops/concept.hpp>
#include <tare/ops/softmax_price.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs: logits (..., n) of the student and of the teacher. Result: a single number.
struct soft_cross_entropy {
    static constexpr std::string_view name = "soft_cross_entropy";
    static constexpr bool starts_gradients = true;
    double temperature = 1.0;
    bool divergence = false;  ///< less the teacher's own entropy

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 2 && in[0] == in[1] && in[0].size() > 0, name, ": the student is ",
                in[0], ", the teacher ", in.back(), "; the shapes must be equal and not empty");
        require(temperature > 0.0, name, ": a temperature of ", temperature,
                "; it must be above 0");
        return shape{};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>& keep) const {
        const extent rows = in[0].extents.rows();
        basic_tensor<Scalar> all(shape{4, rows});
        basic_tensor<Scalar> cross(shape{rows});
        basic_tensor<Scalar> own(shape{divergence ? rows : 0});
        const kernels::softened_statistics<Scalar> s = statistics<Scalar>(all.mutable_view());
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::soft_cross_entropy(in[0].matrix(), in[1].matrix(),
                                        static_cast<float>(temperature), cross.mutable_values(),
                                        own.mutable_values(), s);
        } else {
            kernels::plain::soft_cross_entropy<Scalar>(
                in[0].matrix(), in[1].matrix(), constant<Scalar>(temperature),
                cross.mutable_values(), own.mutable_values(), s);
        }
        wide<Scalar> sum{};
        for (std::size_t r = 0; r < cross.values().size(); ++r) {
            const Scalar row = divergence ? cross.values()[r] - own.values()[r] : cross.values()[r];
            sum = r == 0 ? wide<Scalar>(row) : sum + wide<Scalar>(row);
        }
        out[0] = static_cast<Scalar>(sum);
        if (keep.wanted) keep.tensors = {all};
    }
    /// The teacher gets no gradient: soft_cross_entropy() cuts it off.
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>& kept,
                  gradient_views<Scalar> grad_in) const {
        require(!grad_in[1], name, ": the teacher wants a gradient, and gets none; detach() it");
        if (!grad_in[0]) return;
        const auto s = statistics<const Scalar>(kept.tensors[0].view());
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::soft_cross_entropy_backward(in[0].matrix(), in[1].matrix(),
                                                 static_cast<float>(temperature), s, grad_out[0],
                                                 grad_in[0].matrix(), !grad_in[0].empty);
        } else {
            kernels::plain::soft_cross_entropy_backward<Scalar>(
                in[0].matrix(), in[1].matrix(), constant<Scalar>(temperature), s, grad_out[0],
                grad_in[0].matrix(), !grad_in[0].empty);
        }
    }
    constexpr price cost(std::span<const operand> in, const operand&) const {
        const extent rows = in[0].extents.rows();
        const extent n = in[0].extents.columns();
        const extent sums = divergence ? 2 : 1;
        price p;
        charge_exponentials(p, rows, n);
        charge_exponentials(p, rows, n);
        return p.others("temperature", 2 * rows * n)
            .multiplications("weighted logarithms", sums * rows * n)
            .additions("entropy", sums * rows * (n - 1))
            .others("logarithm", sums * rows)
            .others("entropy", sums * rows)
            .additions("difference", (2 * sums - 1) * rows)
            .additions("sum over rows", rows - 1);
    }

  private:
    template <class Scalar>
    static kernels::softened_statistics<Scalar> statistics(const array_view<Scalar>& all) {
        const auto row = [&](extent r) { return all.matrix().row(r); };
        return {row(0), row(1), row(2), row(3)};
    }
};

}  // namespace op

/// -sum over rows and classes of softmax(teacher / T) ln softmax(student / T).
/// **Shapes** student, teacher (..., n); result a single number, in nats. **NaN** infinities give
/// NaN. **Throws** tare::error on shapes that differ and a temperature not above 0.
template <class T>
[[nodiscard]] constexpr T soft_cross_entropy(const T& student, const T& teacher,
                                             double temperature) {
    return apply(op::soft_cross_entropy{temperature, false}, student, detach(teacher));
}

/// The same less the entropy of softmax(teacher / T): the sum over rows of KL(teacher || student).
template <class T>
[[nodiscard]] constexpr T soft_divergence(const T& student, const T& teacher, double temperature) {
    return apply(op::soft_cross_entropy{temperature, true}, student, detach(teacher));
}

}  // namespace tare
