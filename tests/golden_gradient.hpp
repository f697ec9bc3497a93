#pragma once
// SPDX-License-Identifier: MIT
// Fixtures as tensors, and the gradient that a fixture begins a backward pass with.

#include <span>
#include <string>

#include <tare/ops/linear.hpp>
#include <tare/ops/reshape.hpp>
#include <tare/readings/gradient.hpp>

#include "golden.hpp"

namespace tare::testing {

inline tensor golden_tensor(const io::npz_archive& golden, const std::string& name) {
    return {array(golden, name).extents, std::span<const float>(values<float>(golden, name))};
}

/// A number whose gradient with respect to y is `gradient`.
inline variable weigh(const variable& y, const tensor& gradient) {
    const shape flat{1, y.shape().size()};
    return linear(reshape(y, flat), y.tape().constant(tensor(flat, gradient.values())));
}

}  // namespace tare::testing
