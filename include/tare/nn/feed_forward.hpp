#pragma once
// SPDX-License-Identifier: MIT
// The feed-forward network of a Transformer layer: fc2(relu(fc1(x))).

#include <string_view>

#include <tare/nn/activation_point.hpp>
#include <tare/nn/column_gate.hpp>
#include <tare/nn/finished_linear.hpp>
#include <tare/nn/linear_start.hpp>

namespace tare {

/// Parameters `label`.fc1 and `label`.fc2; the gate `label`.fc_c on the inner units; the point
/// `label`.relu.
template <class T, class Weight = T>
struct feed_forward {
    linear_layer<T, Weight> fc1;
    linear_layer<T, Weight> fc2;
    activation_point<T> relu_point;
    column_gate<T> gate;

    template <class Source>
    constexpr feed_forward(Source& source, std::string_view label, extent width, extent inner_width,
                           const linear_start& start)
        : fc1(source, join(label, ".fc1"), width, inner_width,
              start.feed_forward(width, inner_width)),
          fc2(source, join(label, ".fc2"), inner_width, width,
              start.feed_forward(inner_width, width)),
          relu_point(point_from<T>(source, join(label, ".relu"))),
          gate(gate_from<T>(source, join(label, ".fc_c"), inner_width)) {}

    /// The inner units: what fc2 is to be applied to. **Shapes** x (..., width), result
    /// (..., inner).
    [[nodiscard]] constexpr T inner(const T& x) const {
        return gate(rectified(fc1, relu_point, x));
    }
    [[nodiscard]] constexpr T operator()(const T& x) const { return fc2(inner(x)); }

    template <class Visitor>
    constexpr void visit(Visitor&& visitor) {
        fc1.visit(visitor);
        fc2.visit(visitor);
    }
};

}  // namespace tare
