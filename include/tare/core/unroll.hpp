#pragma once
// SPDX-License-Identifier: MIT
// A loop whose index is a constant in each round. GCC 12 keeps an array of registers in memory,
// with a store in every round, when its indices become constants only after unrolling; here they
// are constants from the start, with every compiler.

#include <type_traits>
#include <utility>

namespace tare {

namespace detail {

template <class Body, int... Index>
[[gnu::always_inline]] constexpr void unroll(Body& body, std::integer_sequence<int, Index...>) {
    (body(std::integral_constant<int, Index>{}), ...);
}

}  // namespace detail

/// Calls body(i) for i = 0 .. Count - 1; i converts to int and is a constant inside `body`. Give a
/// body in an inner loop the attribute always_inline.
template <int Count, class Body>
[[gnu::always_inline]] constexpr void unroll(Body&& body) {
    detail::unroll(body, std::make_integer_sequence<int, Count>{});
}

}  // namespace tare
