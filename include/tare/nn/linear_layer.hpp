#pragma once
// SPDX-License-Identifier: MIT
// A linear layer: weight, perhaps a bias, and the module's name for the accounting.

#include <string_view>

#include <tare/core/root.hpp>
#include <tare/core/short_text.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/ops/linear.hpp>

namespace tare {

namespace detail {

template <class T, class Weight>
struct bias_beside {
    using type = T;
};
template <class T, class Weight>
    requires requires {
        typename Weight::bias_type;
    }
struct bias_beside<T, Weight> {
    using type = typename Weight::bias_type;
};

}  // namespace detail

/// What a bias is held as beside a weight: what the weight's type says, or a T. A member of the
/// type and no specialization elsewhere: two files that see one but not the other would disagree
/// on the size of a layer.
template <class T, class Weight>
using bias_beside = typename detail::bias_beside<T, Weight>::type;

/// How a linear layer with a bias starts.
struct linear_initial {
    initial weight;
    initial bias;
};

/// y = x W^T (+ b), W (out, in). `Weight` is what W is held as; T itself unless it is packed.
template <class T, class Weight = T>
struct linear_layer {
    short_text label;
    Weight weight;
    bias_beside<T, Weight> bias;

    linear_layer() = default;

    /// Parameters `label`.weight and, if wanted, `label`.bias; both start uniform in
    /// +-1/sqrt(in).
    template <class Source>
    constexpr linear_layer(Source& source, std::string_view label_, extent in, extent out,
                           bool with_bias)
        : label(label_),
          weight(weight_from<Weight>(source, join(label, ".weight"), shape{out, in}, start(in))) {
        if (with_bias) bias = source.parameter(join(label, ".bias"), shape{out}, start(in));
    }

    /// The same with a bias and initial values of the caller's.
    template <class Source>
    constexpr linear_layer(Source& source, std::string_view label_, extent in, extent out,
                           const linear_initial& begin)
        : label(label_),
          weight(weight_from<Weight>(source, join(label, ".weight"), shape{out, in}, begin.weight)),
          bias(source.parameter(join(label, ".bias"), shape{out}, begin.bias)) {}

    [[nodiscard]] constexpr T operator()(const T& x) const {
        [[maybe_unused]] const auto here = scope(x, label);
        return bias.exists() ? linear(x, weight, bias) : linear(x, weight);
    }

    template <class Visitor>
    constexpr void visit(Visitor&& visitor) {
        visitor(join(label, ".weight"), weight);
        if (bias.exists()) visitor(join(label, ".bias"), bias);
    }

  private:
    static constexpr initial start(extent in) {
        return initial::uniform(1.0 / square_root(static_cast<double>(in)));
    }
};

}  // namespace tare
