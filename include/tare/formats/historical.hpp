#pragma once
// SPDX-License-Identifier: MIT
// The conversions of a published simulator of low-precision training, in the two releases of its
// number-format library, put together from the policies of rounding.hpp. For experiments that must
// repeat its numbers; for anything else take the formats of fp8.hpp, fp16.hpp and bf16.hpp.
//
//   q020 (release 0.2.0)  no subnormals: exponents -E to E with E = 2^(exp-1) - 1, that is a bias
//   of
//       E + 1 with the field 0 for zero alone; below half the smallest number +0, above it the
//       smallest number; the top exponent is an ordinary one; overflow saturates.
//   q030 (release 0.3.0)  bias E and subnormals; the top exponent is an ordinary one; overflow
//       saturates; zero has no sign. Ties that lie between float32 steps of the smallest normal
//       number are rounded twice.
//   With 8 exponent bits both keep the float32 exponents; q030 then also keeps infinity.
// A NaN is rounded by the same arithmetic as any other bit pattern: it saturates, or its mantissa
// carries into the sign and leaves a zero.
// Source: the library's releases 0.2.0 and 0.3.0, function float_quantize; the option `check_inf`
// of Shoghi, Bersatti, Qureshi and Kim 2021, "SmaQ".

#include <bit>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

#include <tare/formats/minifloat.hpp>

namespace tare::historical {

/// Underflow of release 0.3.0: a subnormal is added to the smallest normal number in float32, which
/// rounds it once, before the policy rounds it again.
struct gradual_rounded_twice {
    static constexpr bool has_subnormals = true;
    static constexpr std::string_view suffix = "_twice";
    template <rounding_policy R, class Grid>
    static constexpr std::uint32_t magnitude(std::uint32_t a, std::uint32_t draw) noexcept {
        return detail::lifted<R, Grid>(a, draw);
    }
};

/// The float32 exponents without the top one, which stays unused.
struct top_unused : specials::none {
    static constexpr std::uint32_t largest(int e, int m) noexcept {
        return specials::ieee::largest(e, m);
    }
    static constexpr std::uint32_t nan(int e, int m) noexcept { return largest(e, m); }
};

/// IEEE specials with a zero that has no sign.
struct ieee_unsigned_zero : specials::ieee {
    static constexpr bool signed_zero = false;
};

/// A small float whose NaN inputs are rounded as numbers. `KeepsWrappedSign`: a NaN that carries
/// into the sign leaves a zero of the other sign, not +0.
template <class Base, bool KeepsWrappedSign>
struct nan_as_number : Base {
    using code_type = typename Base::code_type;
    using rounding = typename Base::rounding;
    static constexpr bool nan_is_number = true;

    [[nodiscard]] static constexpr code_type encode(float x) noexcept {
        return patched<detail::deterministic<rounding>>(Base::encode(x), x, 0U);
    }
    [[nodiscard]] static constexpr code_type encode(float x, std::uint32_t draw) noexcept
        requires(rounding::needs_draw) {
        return patched<rounding>(Base::encode(x, draw), x, draw);
    }
    [[nodiscard]] static constexpr float round(float x) noexcept {
        if constexpr (Base::layout::has_nan) return Base::decode(encode(x));
        return patched_value<detail::deterministic<rounding>>(Base::round(x), x, 0U);
    }
    [[nodiscard]] static constexpr float round(float x, std::uint32_t draw) noexcept
        requires(rounding::needs_draw) {
        if constexpr (Base::layout::has_nan) return Base::decode(encode(x, draw));
        return patched_value<rounding>(Base::round(x, draw), x, draw);
    }

  private:
    // The same on values, where no code is a NaN: it becomes the largest value or a zero.
    template <rounding_policy R>
    [[nodiscard]] static constexpr float patched_value(float value, float x,
                                                       std::uint32_t draw) noexcept {
        constexpr auto drop = static_cast<std::uint32_t>(23 - Base::mantissa_bits);
        constexpr std::uint32_t sign_bit = 0x8000'0000U;
        constexpr auto largest = std::bit_cast<std::uint32_t>(Base::max_value());
        const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
        const std::uint32_t a = u & 0x7FFF'FFFFU;
        const std::uint32_t sign = u & sign_bit;
        const bool wraps = (a + R::increment(a, drop, draw)) >> 31 != 0;
        const std::uint32_t zero = KeepsWrappedSign ? sign_bit - sign : 0U;
        const std::uint32_t number = detail::select(wraps, zero, largest | sign);
        return std::bit_cast<float>(
            detail::select(a > 0x7F80'0000U, number, std::bit_cast<std::uint32_t>(value)));
    }
    template <rounding_policy R>
    [[nodiscard]] static constexpr code_type patched(std::uint32_t code, float x,
                                                     std::uint32_t draw) noexcept {
        constexpr auto drop = static_cast<std::uint32_t>(23 - Base::mantissa_bits);
        constexpr std::uint32_t sign_bit = 1U << (Base::bits - 1);
        const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
        const std::uint32_t a = u & 0x7FFF'FFFFU;
        const std::uint32_t sum = a + R::increment(a, drop, draw);
        const std::uint32_t sign = (u >> 31) * sign_bit;
        const std::uint32_t zero = KeepsWrappedSign ? sign_bit - sign : 0U;
        const std::uint32_t kept = Base::layout::has_nan ? sum >> drop : Base::layout::max_code;
        const std::uint32_t number = detail::select(sum >> 31 != 0, zero, kept | sign);
        return static_cast<code_type>(detail::select(a > 0x7F80'0000U, number, code));
    }
};

/// Release 0.2.0 with `Exp` exponent and `Man` mantissa bits. Its "nearest" is nearest_away.
template <int Exp, int Man, rounding_policy Rounding = nearest_away>
using q020 = std::conditional_t<
    Exp == 8, nan_as_number<minifloat<Exp, Man, 127, top_unused, Rounding, saturate>, true>,
    nan_as_number<minifloat<Exp, Man, 1 << (Exp - 1), specials::none_unsigned_zero, Rounding,
                            saturate, flush_to_nearest>,
                  false>>;

/// Release 0.3.0 with `Exp` exponent and `Man` mantissa bits. Its "nearest" is nearest_away.
template <int Exp, int Man, rounding_policy Rounding = nearest_away>
using q030 = std::conditional_t<
    Exp == 8,
    nan_as_number<minifloat<Exp, Man, 127, ieee_unsigned_zero, Rounding, to_infinity>, true>,
    nan_as_number<minifloat<Exp, Man, (1 << (Exp - 1)) - 1, specials::none_unsigned_zero, Rounding,
                            saturate, gradual_rounded_twice>,
                  true>>;

/// The option `check_inf`: the positive largest value reads as +infinity, the negative one does
/// not. A format that overflows to infinity stays as it is.
template <class Base>
struct check_inf : Base {
    using code_type = typename Base::code_type;
    [[nodiscard]] static constexpr float decode(code_type code) noexcept {
        if constexpr (Base::layout::has_infinity)
            return Base::decode(code);
        else
            return std::bit_cast<float>(
                detail::select(code == Base::layout::max_code, 0x7F80'0000U,
                               std::bit_cast<std::uint32_t>(Base::decode(code))));
    }
    [[nodiscard]] static constexpr float round(float x) noexcept { return checked(Base::round(x)); }
    [[nodiscard]] static constexpr float round(float x, std::uint32_t draw) noexcept
        requires(Base::rounding::needs_draw) {
        return checked(Base::round(x, draw));
    }

  private:
    [[nodiscard]] static constexpr float checked(float value) noexcept {
        if constexpr (Base::layout::has_infinity) return value;
        constexpr auto largest = std::bit_cast<std::uint32_t>(Base::max_value());
        const std::uint32_t u = std::bit_cast<std::uint32_t>(value);
        return std::bit_cast<float>(detail::select(u == largest, 0x7F80'0000U, u));
    }
};

/// The three compressors as published: stochastic, check_inf on, release 0.2.0.
struct fp8 : check_inf<q020<5, 2, stochastic>> {
    static constexpr std::string_view name = "historical_fp8";
};
struct fp16 : check_inf<q020<5, 10, stochastic>> {
    static constexpr std::string_view name = "historical_fp16";
};
struct bf16 : check_inf<q020<8, 7, stochastic>> {
    static constexpr std::string_view name = "historical_bf16";
};
static_assert(stochastic_format<fp8> && stochastic_format<fp16> && stochastic_format<bf16>);

}  // namespace tare::historical
