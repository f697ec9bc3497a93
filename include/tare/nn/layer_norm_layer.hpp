#pragma once
// SPDX-License-Identifier: MIT
// A layer normalisation with its parameters and the module's name for the accounting.

#include <string_view>

#include <tare/core/short_text.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/ops/layer_norm.hpp>

namespace tare {

/// Gain and bias of a layer normalisation.
template <class T>
struct layer_norm_layer {
    short_text label;
    T gamma;
    T beta;

    layer_norm_layer() = default;
    template <class Source>
    constexpr layer_norm_layer(Source& source, std::string_view label_, extent width)
        : label(label_),
          gamma(source.parameter(join(label, ".weight"), shape{width}, initial::value(1.0))),
          beta(source.parameter(join(label, ".bias"), shape{width}, initial::zeros())) {}

    [[nodiscard]] constexpr T operator()(const T& x) const {
        [[maybe_unused]] const auto here = scope(x, label);
        return layer_norm(x, gamma, beta);
    }
    template <class Visitor>
    constexpr void visit(Visitor&& visitor) {
        visitor(join(label, ".weight"), gamma);
        visitor(join(label, ".bias"), beta);
    }
};

}  // namespace tare
