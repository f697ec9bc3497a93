#pragma once
// SPDX-License-Identifier: MIT
// What plain kernels need of their element type beyond operators, so that float, double and types
// that count their operations run the same text.

#include <cmath>
#include <type_traits>

namespace tare {

/// A constant as an element: rounded to double or float, whichever the type is made of.
template <class Scalar>
[[nodiscard]] constexpr Scalar constant(double value) {
    if constexpr (std::is_floating_point_v<Scalar>) {
        return static_cast<Scalar>(value);
    } else {
        return Scalar(static_cast<float>(value));
    }
}

/// 1 / sqrt(x). Types that count operations have an overload of their own: it is one operation.
template <class Scalar>
[[nodiscard]] Scalar inverse_root(const Scalar& x) {
    using std::sqrt;
    return Scalar(1) / sqrt(x);
}

}  // namespace tare
