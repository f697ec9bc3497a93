#pragma once
// SPDX-License-Identifier: MIT
// What a numeric format is: a regular type without state that turns one float32 into a code and
// back, and says what the accounting must know of it.

#include <concepts>
#include <cstdint>
#include <string_view>

namespace tare {

/// A user adds a format by writing one such type in one file; nothing of the library is edited.
///
/// A format may say more, and what it says is used and checked (testing/check_format.hpp):
///     using rounding, overflow       policies of formats/rounding.hpp
///     static float round(float)      decode(encode(x)), faster
///     static constexpr int unused_codes
///                                    codes that encode never gives although they decode to numbers
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

/// A format that rounds by a random word. Its `encode(x)` without one is deterministic.
template <class F>
concept stochastic_format = numeric_format<F> && requires(float x, std::uint32_t draw) {
    { F::encode(x, draw) } -> std::same_as<typename F::code_type>;
};

/// The value that survives encode and decode.
template <numeric_format F>
[[nodiscard]] constexpr float round_to(float x) noexcept {
    if constexpr (requires { F::round(x); })
        return F::round(x);
    else
        return F::decode(F::encode(x));
}

/// The value that survives encode and decode when `draw` decides the rounding.
template <stochastic_format F>
[[nodiscard]] constexpr float round_to(float x, std::uint32_t draw) noexcept {
    if constexpr (requires { F::round(x, draw); })
        return F::round(x, draw);
    else
        return F::decode(F::encode(x, draw));
}

}  // namespace tare
