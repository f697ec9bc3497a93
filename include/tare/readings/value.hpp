#pragma once
// SPDX-License-Identifier: MIT
// The value reading: operations compute. The element type is float in use; double serves gradient
// checks and a counting type proves that prices are what is executed.

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/tensor.hpp>
#include <tare/ops/concept.hpp>

namespace tare {

/// Shapes, views, output, forward: what value and gradient readings share.
template <class Op, class Scalar>
[[nodiscard]] basic_tensor<Scalar> run_forward(const Op& op,
                                               std::span<const basic_tensor<Scalar>* const> inputs,
                                               saved<Scalar>& keep) {
    std::vector<shape> shapes;
    std::vector<array_view<const Scalar>> views;
    // Growing them costs as much time as a row of a few hundred values.
    shapes.reserve(inputs.size());
    views.reserve(inputs.size());
    for (const basic_tensor<Scalar>* input : inputs) {
        shapes.push_back(input->shape());
        views.push_back(input->view());
    }
    basic_tensor<Scalar> out(op.result_shape(shapes));
    op.forward(input_views<Scalar>(views), out.mutable_view(), keep);
    return out;
}

/// Runs `op` on the inputs. Throws what its result_shape throws on shapes that do not fit.
template <class Op, class Scalar, std::size_t Count>
[[nodiscard]] basic_tensor<Scalar>
apply_all(const Op& op, std::span<const basic_tensor<Scalar>* const, Count> inputs) {
    saved<Scalar> unwanted;
    return run_forward(op, std::span<const basic_tensor<Scalar>* const>(inputs), unwanted);
}

/// Only the cost reading accounts by module.
struct no_scope {
    ~no_scope() {}
};
template <class Scalar>
[[nodiscard]] no_scope scope(const basic_tensor<Scalar>&, std::string_view) {
    return {};
}

/// The same tensor, cut off from what made it. (Nothing was recorded: there is nothing to cut.)
template <class Scalar>
[[nodiscard]] basic_tensor<Scalar> detach(const basic_tensor<Scalar>& x) {
    return x;
}

}  // namespace tare
