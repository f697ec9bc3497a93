#pragma once
// SPDX-License-Identifier: MIT
// apply(op, x, y, ...) for any reading: the one door through which layers and users call
// operations.

#include <array>
#include <concepts>
#include <span>

namespace tare {

/// Applies `op` to tensors of one reading: value, gradient or cost.
template <class Op, class T, class... Rest>
    requires(std::same_as<Rest, T>&&...)
[[nodiscard]] constexpr T apply(const Op& op, const T& first, const Rest&... rest) {
    const std::array<const T*, 1 + sizeof...(Rest)> inputs{&first, &rest...};
    return apply_all(op, std::span<const T* const, 1 + sizeof...(Rest)>(inputs));
}

}  // namespace tare
