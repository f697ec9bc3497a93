#pragma once
// SPDX-License-Identifier: MIT
// Any small binary floating-point format, from five facts: exponent bits, mantissa bits m, bias,
// what the special codes are (specials.hpp), and the policies of rounding.hpp: rounding, overflow
// and underflow.
//     code = [sign][exponent field E][mantissa field M]
//     value = (-1)^sign 2^(E - bias) (1 + M / 2^m),  E = 0: (-1)^sign 2^(1 - bias) M / 2^m
// One conversion for all of them, in integer arithmetic on the bits of a float32 and without a
// branch. Every value is exact in float32 (checked at compile time).
// Source: IEEE 754-2019, section 3.4; OCP 8-bit Floating Point Specification (2023), tables 1 and
// 2; the FNUZ kinds: Noune et al. 2022, "8-bit numerical formats for deep neural networks".

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include <tare/formats/concept.hpp>
#include <tare/formats/rounding.hpp>
#include <tare/formats/specials.hpp>

namespace tare {

namespace detail {

/// The smallest unsigned integer with at least `Bits` bits.
template <int Bits>
using uint_for = std::conditional_t<(Bits <= 8), std::uint8_t,
                                    std::conditional_t<(Bits <= 16), std::uint16_t, std::uint32_t>>;

/// 2^n as float32, for n from -149 to 127.
[[nodiscard]] constexpr float power_of_two(int n) noexcept {
    return n >= -126 ? std::bit_cast<float>(static_cast<std::uint32_t>(n + 127) << 23)
                     : std::bit_cast<float>(1U << (n + 149));
}

/// A name put together at compile time.
struct built_name {
    std::array<char, 64> text{};
    std::size_t size = 0;

    constexpr built_name& operator<<(std::string_view part) noexcept {
        for (const char c : part)
            text[size++] = c;
        return *this;
    }
    constexpr built_name& operator<<(int number) noexcept {
        if (number < 0) return *this << "n" << -number;
        if (number >= 10) *this << number / 10;
        text[size++] = static_cast<char>('0' + number % 10);
        return *this;
    }
    [[nodiscard]] constexpr std::string_view view() const noexcept { return {text.data(), size}; }
};

/// Where the codes of a small float lie; what overflow policies choose from.
template <int ExponentBits, int MantissaBits, class Specials>
struct float_layout {
    static constexpr bool has_infinity = Specials::has_infinity;
    static constexpr bool has_nan = Specials::has_nan;
    static constexpr std::uint32_t max_code = Specials::largest(ExponentBits, MantissaBits);
    static constexpr std::uint32_t infinity_code = max_code + 1;
    static constexpr std::uint32_t nan_code = Specials::nan(ExponentBits, MantissaBits);
};

}  // namespace detail

/// A small float; see the head of this file. Derive from it to give it a name of its own:
///     struct fp6 : tare::minifloat<3, 2, 3, tare::specials::none> {
///         static constexpr std::string_view name = "fp6";
///     };
/// **Rounding/NaN** by the policies; NaN stays NaN (canonical, sign kept) where the format has one.
/// `encode(x)` of a stochastic format without a random word rounds to nearest even.
template <int ExponentBits, int MantissaBits, int Bias = (1 << (ExponentBits - 1)) - 1,
          class Specials = specials::ieee, rounding_policy Rounding = nearest_even,
          class Overflow = typename Specials::default_overflow, class Underflow = gradual>
struct minifloat {
    static_assert(ExponentBits >= 1 && ExponentBits <= 8, "minifloat: 1 to 8 exponent bits");
    static_assert(MantissaBits >= 1 && MantissaBits <= 22, "minifloat: 1 to 22 mantissa bits");
    static_assert(!Specials::has_infinity || ExponentBits >= 2,
                  "minifloat: IEEE specials take a whole exponent; use specials::none");

    using layout = detail::float_layout<ExponentBits, MantissaBits, Specials>;
    using rounding = Rounding;
    using overflow = Overflow;
    using underflow = Underflow;
    /// The same layout under another policy.
    template <rounding_policy R>
    using with_rounding =
        minifloat<ExponentBits, MantissaBits, Bias, Specials, R, Overflow, Underflow>;
    template <class O>
    using with_overflow =
        minifloat<ExponentBits, MantissaBits, Bias, Specials, Rounding, O, Underflow>;
    template <class U>
    using with_underflow =
        minifloat<ExponentBits, MantissaBits, Bias, Specials, Rounding, Overflow, U>;

    static constexpr int exponent_bits = ExponentBits;
    static constexpr int mantissa_bits = MantissaBits;
    static constexpr int bias = Bias;
    static constexpr int bits = 1 + ExponentBits + MantissaBits;
    static constexpr bool exact_in_fp32 = true;
    static constexpr bool standalone_sign = false;
    using code_type = detail::uint_for<bits>;
    /// Codes of numbers that encode never gives: the subnormals of a format that flushes them, and
    /// a negative zero that is not told from zero.
    static constexpr int unused_codes =
        (Underflow::has_subnormals ? 0 : 2 * ((1 << MantissaBits) - 1)) +
        (Specials::signed_zero || Specials::nan_is_negative_zero ? 0 : 1);

    static_assert(static_cast<int>(layout::max_code >> MantissaBits) - Bias <= 127 &&
                      1 - Bias - MantissaBits >= -149 && Bias <= 127,
                  "minifloat: every value must be a float32; choose another bias");

    static constexpr detail::built_name generated_name = [] {
        detail::built_name n;
        n << "fp" << bits << "_e" << ExponentBits << "m" << MantissaBits;
        if (Bias != (1 << (ExponentBits - 1)) - (Specials::nan_is_negative_zero ? 0 : 1))
            n << "b" << Bias;
        n << Specials::suffix << Rounding::suffix << Underflow::suffix;
        if (!std::is_same_v<Overflow, typename Specials::default_overflow>) n << Overflow::suffix;
        return n;
    }();
    static constexpr std::string_view name = generated_name.view();

    /// The code of `x`. **Rounding/NaN** as the policies say.
    [[nodiscard]] static constexpr code_type encode(float x) noexcept {
        return encode_as<detail::deterministic<Rounding>>(std::bit_cast<std::uint32_t>(x), 0U);
    }
    /// The code of `x`, a stochastic policy deciding by the low bits of `draw`.
    [[nodiscard]] static constexpr code_type encode(float x, std::uint32_t draw) noexcept
        requires(Rounding::needs_draw) {
        return encode_as<Rounding>(std::bit_cast<std::uint32_t>(x), draw);
    }

    /// What survives encode and decode, without the code in between: the same bits, faster.
    [[nodiscard]] static constexpr float round(float x) noexcept {
        using R = detail::deterministic<Rounding>;
        if constexpr (Underflow::has_subnormals && min_field == 1) {
            const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
            const std::uint32_t a = u & 0x7FFF'FFFFU;
            return finished<R>(u, ((a + R::increment(a, drop, 0U)) >> drop) << drop);
        } else if constexpr (flushes) {
            return flushed<R>(x, 0U);
        } else if constexpr (!Underflow::has_subnormals || !detail::adder_rounds<R, grid>) {
            return decode(encode(x));
        } else {
            const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
            const std::uint32_t a = u & 0x7FFF'FFFFU;
            const float binade = std::bit_cast<float>(
                std::max(a & 0x7F80'0000U, grid::min_field << 23) + (drop << 23));
            const float rounded = (std::bit_cast<float>(a) + binade) - binade;
            return finished<R>(u, std::bit_cast<std::uint32_t>(rounded));
        }
    }

    /// The same for a stochastic policy and its random word.
    [[nodiscard]] static constexpr float round(float x, std::uint32_t draw) noexcept
        requires(Rounding::needs_draw) {
        if constexpr (flushes) {
            return flushed<Rounding>(x, draw);
        } else if constexpr (!Underflow::has_subnormals) {
            return decode(encode(x, draw));
        } else {
            const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
            const std::uint32_t a = u & 0x7FFF'FFFFU;
            const std::uint32_t lift = detail::select(a < min_field << 23, min_field << 23, 0U);
            const std::uint32_t moved = min_field == 1 ? a : detail::sum(a, lift);
            const std::uint32_t cut = ((moved + Rounding::increment(moved, drop, draw)) >> drop)
                                      << drop;
            const std::uint32_t rounded =
                min_field == 1 ? cut : detail::sum(cut, lift | 0x8000'0000U);
            return finished<Rounding>(u, rounded);
        }
    }

    /// The value of a code, exact. A NaN code gives the quiet NaN of its sign.
    [[nodiscard]] static constexpr float decode(code_type code) noexcept {
        const std::uint32_t c = code;
        const std::uint32_t magnitude = c & (sign_bit - 1);
        const std::uint32_t sign = (c & sign_bit) << (32 - bits);
        std::uint32_t u = (magnitude << drop) + ((min_field - 1) << 23);
        if constexpr (Underflow::has_subnormals && min_field == 1) {
            // bits of a float32 subnormal already
        } else if constexpr (Underflow::has_subnormals) {
            // 1.M 2^emin - 2^emin is exact and never leaves the normal range of float32
            const float small = std::bit_cast<float>(u + (1U << 23)) -
                                detail::power_of_two(static_cast<int>(min_field) - 127);
            u = detail::select(magnitude < (1U << MantissaBits),
                               std::bit_cast<std::uint32_t>(small), u);
        } else {
            u = detail::select(magnitude < (1U << MantissaBits), 0U, u);
        }
        if constexpr (Specials::has_infinity)
            u = detail::select(magnitude == layout::infinity_code, 0x7F80'0000U, u);
        if constexpr (Specials::nan_is_negative_zero)
            u = detail::select(c == layout::nan_code, 0x7FC0'0000U, u);
        else if constexpr (Specials::has_nan)
            u = detail::select(magnitude > largest_not_nan, 0x7FC0'0000U, u);
        return std::bit_cast<float>(u | sign);
    }

  private:
    static constexpr std::uint32_t drop = 23 - MantissaBits;
    static constexpr std::uint32_t sign_bit = 1U << (bits - 1);
    /// float32 exponent field of the smallest normal number, 2^(1 - Bias).
    static constexpr std::uint32_t min_field = static_cast<std::uint32_t>(128 - Bias);

    static constexpr std::uint32_t largest_not_nan =
        layout::max_code + (Specials::has_infinity ? 1U : 0U);

    struct grid {
        static constexpr std::uint32_t mantissa = MantissaBits;
        static constexpr std::uint32_t min_field = minifloat::min_field;
        static constexpr std::uint32_t max_field =
            (layout::max_code >> MantissaBits) + minifloat::min_field - 1;
    };

    /// Whether subnormals are flushed by a policy that can do it to values.
    static constexpr bool flushes = requires {
        requires !Underflow::has_subnormals;
        Underflow::template flushed<grid>(0U);
    };

    template <rounding_policy R>
    [[nodiscard]] static constexpr float flushed(float x, std::uint32_t draw) noexcept {
        const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
        const std::uint32_t a = detail::without_subnormals<grid>(u & 0x7FFF'FFFFU);
        const std::uint32_t cut = ((a + R::increment(a, drop, draw)) >> drop) << drop;
        return finished<R>(u, Underflow::template flushed<grid>(cut));
    }

    template <rounding_policy R>
    [[nodiscard]] static constexpr code_type encode_as(std::uint32_t u,
                                                       std::uint32_t draw) noexcept {
        constexpr std::uint32_t beyond = Overflow::template code<layout>();
        const std::uint32_t a = u & 0x7FFF'FFFFU;
        const std::uint32_t sign = (u >> (32 - bits)) & sign_bit;
        std::uint32_t magnitude = Underflow::template magnitude<R, grid>(a, draw);
        magnitude = overflowed<R>(magnitude, a, layout::max_code, beyond);
        std::uint32_t code = magnitude | sign;
        if constexpr (!Specials::signed_zero) code = detail::select(magnitude == 0, 0U, code);
        constexpr bool signed_nan = Specials::has_nan && !Specials::nan_is_negative_zero;
        const std::uint32_t not_a_number = layout::nan_code | (signed_nan ? sign : 0U);
        return static_cast<code_type>(detail::select(a > 0x7F80'0000U, not_a_number, code));
    }

    /// The float32 of a rounded magnitude (as bits) with overflow, NaN and sign of the input `u`.
    template <rounding_policy R>
    [[nodiscard]] static constexpr float finished(std::uint32_t u, std::uint32_t rounded) noexcept {
        constexpr auto value_of = [](std::uint32_t code) {
            return std::bit_cast<std::uint32_t>(decode(static_cast<code_type>(code)));
        };
        constexpr std::uint32_t beyond = value_of(Overflow::template code<layout>());
        constexpr std::uint32_t not_a_number = value_of(layout::nan_code);
        const std::uint32_t a = u & 0x7FFF'FFFFU;
        const std::uint32_t inside = overflowed<R>(rounded, a, value_of(layout::max_code), beyond);
        const std::uint32_t value = detail::select(a > 0x7F80'0000U, not_a_number, inside);
        std::uint32_t sign = u & 0x8000'0000U;
        if constexpr (!Specials::signed_zero) sign = detail::select(value == 0, 0U, sign);
        if constexpr (!Specials::has_nan || Specials::nan_is_negative_zero)
            sign = detail::select(a > 0x7F80'0000U, 0U, sign);
        return std::bit_cast<float>(value | sign);
    }

    /// The magnitude, or what becomes of one beyond the largest. Works on codes and on values.
    template <rounding_policy R>
    [[nodiscard]] static constexpr std::uint32_t overflowed(std::uint32_t magnitude,
                                                            std::uint32_t a, std::uint32_t largest,
                                                            std::uint32_t beyond) noexcept {
        // With the exponents of float32 a carry out of the mantissa is infinity already.
        constexpr bool carries_over = ExponentBits == 8 && min_field == 1 && layout::has_infinity &&
                                      std::is_same_v<Overflow, to_infinity>;
        if constexpr (R::overflow_stays_finite)
            return detail::select(a == 0x7F80'0000U, beyond, std::min(magnitude, largest));
        else if constexpr (carries_over)
            return magnitude;
        else if constexpr (std::is_same_v<Overflow, saturate>)
            return std::min(magnitude, largest);
        else
            return detail::select(magnitude > largest, beyond, magnitude);
    }

  public:
    /// Largest finite value, smallest normal value, smallest positive value.
    static constexpr float max_value() noexcept {
        return decode(static_cast<code_type>(layout::max_code));
    }
    static constexpr float min_normal() noexcept { return detail::power_of_two(1 - Bias); }
    static constexpr float min_positive() noexcept {
        return Underflow::has_subnormals ? detail::power_of_two(1 - Bias - MantissaBits)
                                         : min_normal();
    }
};

}  // namespace tare
