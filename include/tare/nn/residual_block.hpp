#pragma once
// SPDX-License-Identifier: MIT
// One sublayer of a Transformer layer with what surrounds it: dropout, residual sum, norm.
//     post-norm  y = norm(x + drop(last(f(x))))        pre-norm  y = x + drop(last(f(norm(x))))
// `last` is the sublayer's final linear layer, given apart so that packed weights take the sum
// along. Sources: Vaswani et al. 2017, section 3.1; Xiong et al. 2020.

#include <string_view>

#include <tare/nn/activation_point.hpp>
#include <tare/nn/finished_linear.hpp>

namespace tare {

/// `Norm` is made from (source, label, width) and called with the stream.
template <class T, class Norm>
struct residual_block {
    Norm norm;
    activation_point<T> point;  ///< after the last linear layer: dropout, or quantization
    bool pre_norm = false;

    template <class Source>
    constexpr residual_block(Source& source, std::string_view norm_label,
                             std::string_view point_label, extent width, bool pre_norm_)
        : norm(source, norm_label, width),
          point(point_from<T>(source, point_label)),
          pre_norm(pre_norm_) {}

    /// The stream after the sublayer. **Shapes** x and result (T, B, width); f maps x to the input
    /// of `last`.
    template <class Weight, class F>
    [[nodiscard]] constexpr T operator()(const T& x, const linear_layer<T, Weight>& last,
                                         F&& f) const {
        return pre_norm ? summed(x, last, point, f(norm(x))) : norm(summed(x, last, point, f(x)));
    }
    template <class Visitor>
    constexpr void visit(Visitor&& visitor) {
        norm.visit(visitor);
    }
};

}  // namespace tare
