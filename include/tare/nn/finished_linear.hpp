#pragma once
// SPDX-License-Identifier: MIT
// A linear layer together with what follows it: activation, quantization point, residual sum. Where
// values are computed from packed weights it is one pass over the outputs; other readings see the
// operations one by one, in the order written here. The values are the same, bit for bit.

#include <concepts>

#include <tare/kernels/layer_epilogue.hpp>
#include <tare/nn/activation_point.hpp>
#include <tare/nn/linear_layer.hpp>
#include <tare/ops/add.hpp>
#include <tare/ops/relu.hpp>

namespace tare {

/// Whether products of this weight take an epilogue. A tensor, which could become a
/// prepared_weight, is no such weight: its products are the operations of its reading.
template <class T, class Weight>
concept finishing_weight = (!std::same_as<T, Weight>)&&requires(
    const T& x, const linear_layer<T, Weight>& layer, kernels::layer_epilogue finish) {
    linear(x, layer.weight, layer.bias, finish);
};

/// point(layer(x)).
template <class T, class Weight>
[[nodiscard]] constexpr T pointed(const linear_layer<T, Weight>& layer,
                                  const activation_point<T>& point, const T& x) {
    if constexpr (finishing_weight<T, Weight>)
        return linear(x, layer.weight, layer.bias, {.rounding = point.rounding()});
    else
        return point(layer(x));
}

/// point(relu(layer(x))).
template <class T, class Weight>
[[nodiscard]] constexpr T rectified(const linear_layer<T, Weight>& layer,
                                    const activation_point<T>& point, const T& x) {
    if constexpr (finishing_weight<T, Weight>)
        return linear(x, layer.weight, layer.bias, {.relu = true, .rounding = point.rounding()});
    else
        return point(relu(layer(x)));
}

/// residual + layer(x).
template <class T, class Weight>
[[nodiscard]] constexpr T summed(const T& residual, const linear_layer<T, Weight>& layer,
                                 const T& x) {
    if constexpr (finishing_weight<T, Weight>)
        return linear(x, layer.weight, layer.bias, {.residual = residual.view().matrix()});
    else
        return add(residual, layer(x));
}

/// residual + point(layer(x)).
template <class T, class Weight>
[[nodiscard]] constexpr T summed(const T& residual, const linear_layer<T, Weight>& layer,
                                 const activation_point<T>& point, const T& x) {
    if constexpr (finishing_weight<T, Weight>)
        return linear(x, layer.weight, layer.bias,
                      {.rounding = point.rounding(), .residual = residual.view().matrix()});
    else
        return add(residual, point(layer(x)));
}

}  // namespace tare
