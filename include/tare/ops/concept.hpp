#pragma once
// SPDX-License-Identifier: MIT
// What an operation is: one type that holds the result's shape, the plain computation, its
// gradient and its price. A user adds one by writing one such type in one file; every reading
// accepts it.

#include <algorithm>
#include <concepts>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tare/core/tensor.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/elementwise.hpp>
#include <tare/ops/price.hpp>

namespace tare {

/// What forward keeps for backward. `wanted` is false where no gradient will be asked for.
template <class Scalar>
struct saved {
    bool wanted = false;
    std::vector<basic_tensor<Scalar>> tensors;

    /// A tensor to keep (or, unwanted, to use and forget).
    basic_tensor<Scalar>& keep(const shape& extents) { return tensors.emplace_back(extents); }
};

template <class Scalar>
using input_views = std::span<const array_view<const Scalar>>;

/// Where backward leaves the gradient of one input; no memory where none is wanted. An operation
/// with `static constexpr bool starts_gradients = true` may be handed elements that hold nothing
/// yet (`empty`): it writes all of them, in the order of the inputs, instead of adding. The first
/// gradient of a tensor then costs no pass of zeros.
template <class Scalar>
struct gradient_view : array_view<Scalar> {
    bool empty = false;

    constexpr gradient_view() = default;
    constexpr gradient_view(const array_view<Scalar>& elements, bool empty_ = false)
        : array_view<Scalar>(elements), empty(empty_) {}

    /// The elements, zeros where they held nothing.
    [[nodiscard]] const gradient_view& or_zeros() const {
        if (empty) std::fill_n(this->data, this->size(), Scalar(0));
        return *this;
    }
};
template <class Scalar>
using gradient_views = std::span<const gradient_view<Scalar>>;

/// An operation that takes gradients which hold nothing yet.
template <class Op>
inline constexpr bool starts_gradients = requires {
    requires Op::starts_gradients;
};

/// What long sums of Scalar are accumulated in: double for float, so that a gradient of one number
/// that collects thousands of terms keeps float accuracy.
template <class Scalar>
using wide = std::conditional_t<std::is_same_v<Scalar, float>, double, Scalar>;

/// sum = sum + x, element by element.
template <class Scalar>
void accumulate(std::span<Scalar> sum, std::span<const std::type_identity_t<Scalar>> x) {
    if constexpr (std::is_same_v<Scalar, float>) {
        kernels::add(sum, x, sum);
    } else {
        kernels::plain::add<Scalar>(sum, x, sum);
    }
}

/// Adds a gradient that is at hand to one that is wanted; does nothing where none is.
template <class Scalar>
void add_to(const gradient_view<Scalar>& gradient, std::span<const Scalar> fresh) {
    if (!gradient) return;
    if (gradient.empty)
        std::copy(fresh.begin(), fresh.end(), gradient.data);
    else
        accumulate<Scalar>(gradient.span(), fresh);
}
/// The same for a gradient that write(array_view) computes: in place where nothing is there yet.
template <class Scalar, class Write>
void add_written(const gradient_view<Scalar>& gradient, const shape& extents, const Write& write) {
    if (gradient.empty) return write(gradient);
    basic_tensor<Scalar> fresh(extents);
    write(fresh.mutable_view());
    add_to(gradient, std::as_const(fresh).values());
}

/// forward writes all of `out`; backward ADDS to every gradient that is wanted (non-null view), or
/// starts it (gradient_view).
template <class Op>
concept operation = requires(const Op& op, std::span<const shape> shapes,
                             std::span<const operand> operands, const operand& result) {
    { Op::name } -> std::convertible_to<std::string_view>;
    { op.result_shape(shapes) } -> std::same_as<shape>;
    { op.cost(operands, result) } -> std::same_as<price>;
}
&&requires(const Op& op, input_views<float> in, array_view<float> out, saved<float>& keep) {
    op.forward(in, out, keep);
};

/// An operation that can also be differentiated.
template <class Op>
concept differentiable_operation = operation<Op> &&
    requires(const Op& op, input_views<float> in, array_view<const float> out,
             gradient_views<float> grad_in, const saved<float>& kept) {
    op.backward(in, out, out, kept, grad_in);
};

/// Width of the result where an operation has something to say about it (moving data keeps the
/// width, for example); 32 bits otherwise.
template <class Op>
[[nodiscard]] constexpr int result_bits(const Op& op, std::span<const operand> operands) {
    if constexpr (requires { op.result_bits(operands); }) {
        return op.result_bits(operands);
    } else {
        return 32;
    }
}

}  // namespace tare
