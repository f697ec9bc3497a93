#pragma once
// SPDX-License-Identifier: MIT
// What the topmost codes of a small floating-point format mean: infinities and NaN as in IEEE 754,
// fewer of them, or none. A policy of minifloat.hpp; one of a user's own has the same members.
// Source: IEEE 754-2019, section 3.4; OCP 8-bit Floating Point Specification (2023), tables 1 and
// 2; the FNUZ kinds: Noune et al. 2022, "8-bit numerical formats for deep neural networks".

#include <cstdint>
#include <string_view>

#include <tare/formats/rounding.hpp>

namespace tare {

/// `largest(e, m)` is the code (without sign) of the largest finite magnitude of a format with e
/// exponent and m mantissa bits, `nan(e, m)` the code of NaN.
namespace specials {

/// The top exponent holds infinity (M = 0) and NaN (M > 0), as in IEEE 754.
struct ieee {
    static constexpr bool has_infinity = true;
    static constexpr bool has_nan = true;
    static constexpr bool signed_zero = true;
    static constexpr bool nan_is_negative_zero = false;
    static constexpr std::string_view suffix = "";
    static constexpr std::uint32_t largest(int e, int m) noexcept {
        return (((1U << e) - 1U) << m) - 1U;
    }
    static constexpr std::uint32_t nan(int e, int m) noexcept {  // the quiet one
        return (((1U << e) - 1U) << m) | (1U << (m - 1));
    }
    using default_overflow = to_infinity;
};

/// No infinity; NaN only where all exponent and mantissa bits are ones (OCP E4M3, "fn").
struct finite_nan {
    static constexpr bool has_infinity = false;
    static constexpr bool has_nan = true;
    static constexpr bool signed_zero = true;
    static constexpr bool nan_is_negative_zero = false;
    static constexpr std::string_view suffix = "fn";
    static constexpr std::uint32_t largest(int e, int m) noexcept { return (1U << (e + m)) - 2U; }
    static constexpr std::uint32_t nan(int e, int m) noexcept { return (1U << (e + m)) - 1U; }
    using default_overflow = saturate;
};

/// No infinity, no negative zero; its code (sign bit alone) is the one NaN.
struct fnuz {
    static constexpr bool has_infinity = false;
    static constexpr bool has_nan = true;
    static constexpr bool signed_zero = false;
    static constexpr bool nan_is_negative_zero = true;
    static constexpr std::string_view suffix = "fnuz";
    static constexpr std::uint32_t largest(int e, int m) noexcept { return (1U << (e + m)) - 1U; }
    static constexpr std::uint32_t nan(int e, int m) noexcept { return 1U << (e + m); }
    using default_overflow = saturate;
};

/// Every code is a finite number (OCP FP6 and FP4). A NaN becomes the largest positive value.
struct none {
    static constexpr bool has_infinity = false;
    static constexpr bool has_nan = false;
    static constexpr bool signed_zero = true;
    static constexpr bool nan_is_negative_zero = false;
    static constexpr std::string_view suffix = "";
    static constexpr std::uint32_t largest(int e, int m) noexcept { return (1U << (e + m)) - 1U; }
    static constexpr std::uint32_t nan(int e, int m) noexcept { return largest(e, m); }
    using default_overflow = saturate;
};

/// As `none`, and zero has no sign: the code of negative zero is never produced.
struct none_unsigned_zero : none {
    static constexpr bool signed_zero = false;
};

}  // namespace specials

}  // namespace tare
