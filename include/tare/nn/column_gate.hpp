#pragma once
// SPDX-License-Identifier: MIT
// A place in a model where every column may be multiplied by a number of its own: the connectivity
// of selectively regularised pruning. Without numbers it hands its input on and costs nothing.

#include <string_view>

#include <tare/core/shape.hpp>
#include <tare/ops/multiply_columns.hpp>

namespace tare {

/// The numbers, one for each column, or none.
template <class T>
struct column_gate {
    T factors{};

    [[nodiscard]] constexpr T operator()(const T& x) const {
        return factors.exists() ? multiply_columns(x, factors) : x;
    }
};

/// A source with a member gate(label, width) hands out a T for each place, one that does not exist
/// where the place is open; any other source leaves all of them open. The numbers belong to the
/// source, not to the parameters that a model visits.
template <class T, class Source>
[[nodiscard]] constexpr column_gate<T> gate_from(Source& source, std::string_view label,
                                                 extent width) {
    if constexpr (requires { source.gate(label, width); }) {
        return {source.gate(label, width)};
    } else {
        return {};
    }
}

}  // namespace tare
