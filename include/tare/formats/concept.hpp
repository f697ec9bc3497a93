#pragma once
// SPDX-License-Identifier: MIT
// What a numeric format is: a regular type without state that turns one float32 into a code and
// back, and says what the accounting must know of it.

#include <concepts>
#include <string_view>

namespace tare {

/// A user adds a format by writing one such type in one file; nothing of the library is edited.
template <class F>
concept numeric_format = requires(float x, typename F::code_type c) {
    { F::name } -> std::convertible_to<std::string_view>;  // "fp8_e5m2": tools, reports, files
    { F::bits } -> std::convertible_to<int>;               // storage bits of one value
    { F::exact_in_fp32 } -> std::convertible_to<bool>;     // false: conversions count as operations
    { F::standalone_sign } -> std::convertible_to<bool>;   // true: a product with it is a sign flip
    { F::encode(x) } -> std::same_as<typename F::code_type>;
    { F::decode(c) } -> std::same_as<float>;
    requires std::unsigned_integral<typename F::code_type>;
    requires(F::bits > 0);
    requires(F::bits <= 8 * int(sizeof(typename F::code_type)));
};

}  // namespace tare
