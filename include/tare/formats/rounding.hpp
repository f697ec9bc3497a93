#pragma once
// SPDX-License-Identifier: MIT
// How a number that falls between two codes, beyond the largest or below the smallest is settled:
// three kinds of policy that every format takes as template arguments. All of them work on bare
// uint32 bit patterns without a branch, so that a loop over an array vectorises and gives the same
// bits at every instruction set.
//
// Rounding acts on a magnitude m of which the low `shift` bits are dropped:
//     rounded = (m + increment(m, shift, draw)) >> shift,   1 <= shift <= 31,  m < 2^31.
// Source: IEEE 754-2019, section 4.3 (directions) and 7.4 (overflow); Gupta, Agrawal,
// Gopalakrishnan and Narayanan 2015, "Deep learning with limited numerical precision", section 3
// (stochastic).

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace tare {

/// A rounding policy: what is added to a magnitude before its low bits are cut off.
/// `needs_draw` says that a random word must be offered; `overflow_stays_finite` that a finite
/// number never rounds to infinity; `suffix` is appended to the names of formats.
template <class R>
concept rounding_policy = requires(std::uint32_t m, std::uint32_t shift, std::uint32_t draw) {
    { R::increment(m, shift, draw) } -> std::same_as<std::uint32_t>;
    { R::needs_draw } -> std::convertible_to<bool>;
    { R::overflow_stays_finite } -> std::convertible_to<bool>;
    { R::suffix } -> std::convertible_to<std::string_view>;
};

/// To the nearest value, ties to the even code (IEEE 754 roundTiesToEven).
struct nearest_even {
    static constexpr bool needs_draw = false;
    static constexpr bool overflow_stays_finite = false;
    static constexpr std::string_view suffix = "";
    static constexpr std::uint32_t increment(std::uint32_t m, std::uint32_t shift,
                                             std::uint32_t) noexcept {
        return (1U << (shift - 1)) - 1 + ((m >> shift) & 1U);
    }
};

/// To the nearest value, ties away from zero (IEEE 754 roundTiesToAway).
struct nearest_away {
    static constexpr bool needs_draw = false;
    static constexpr bool overflow_stays_finite = false;
    static constexpr std::string_view suffix = "_away";
    static constexpr std::uint32_t increment(std::uint32_t, std::uint32_t shift,
                                             std::uint32_t) noexcept {
        return 1U << (shift - 1);
    }
};

/// Toward zero: the dropped bits are lost. Finite numbers beyond the range become the largest value
/// whatever the overflow policy says; only an infinity overflows (IEEE 754, section 7.4).
struct toward_zero {
    static constexpr bool needs_draw = false;
    static constexpr bool overflow_stays_finite = true;
    static constexpr std::string_view suffix = "_trunc";
    static constexpr std::uint32_t increment(std::uint32_t, std::uint32_t, std::uint32_t) noexcept {
        return 0;
    }
};

/// Up in magnitude with probability equal to the dropped fraction, by the low `shift` bits of a
/// random word: unbiased and exact for normal numbers. Below the smallest normal number the
/// magnitude is first rounded to nearest even at 2^-shift of a step. Where no word is offered,
/// formats with this policy round as `deterministic` does.
struct stochastic {
    using deterministic = nearest_even;
    static constexpr bool needs_draw = true;
    static constexpr bool overflow_stays_finite = false;
    static constexpr std::string_view suffix = "_stochastic";
    static constexpr std::uint32_t increment(std::uint32_t, std::uint32_t shift,
                                             std::uint32_t draw) noexcept {
        return draw & ((1U << shift) - 1U);
    }
};

namespace detail {

/// The policy that decides where no random word is offered.
template <rounding_policy R>
struct deterministic_of {
    using type = R;
};
template <rounding_policy R>
    requires(R::needs_draw)
struct deterministic_of<R> {
    using type = typename R::deterministic;
};
template <rounding_policy R>
using deterministic = typename deterministic_of<R>::type;

/// m / 2^shift rounded to an integer, for m < 2^24 and any shift >= 1; beyond 31 all is dropped.
template <rounding_policy R>
[[nodiscard]] constexpr std::uint32_t shift_right(std::uint32_t m, std::uint32_t shift,
                                                  std::uint32_t draw) noexcept {
    shift = std::min(shift, 31U);
    return (m + R::increment(m, shift, draw)) >> shift;
}

/// Bits of the float32 sum of two float32 given as bits.
[[nodiscard]] constexpr std::uint32_t sum(std::uint32_t a, std::uint32_t b) noexcept {
    return std::bit_cast<std::uint32_t>(std::bit_cast<float>(a) + std::bit_cast<float>(b));
}

/// A float32 magnitude counted in steps, rounded to nearest even by the adder: `binade` is the
/// power of two (as bits) whose last place is the step, above the magnitude. Equal to
/// `shift_right`, in two operations instead of eight (tested); the default floating-point
/// environment is assumed.
[[nodiscard]] constexpr std::uint32_t steps(std::uint32_t magnitude,
                                            std::uint32_t binade) noexcept {
    return sum(magnitude, binade) - binade;
}

/// Whether `steps` may be used for a grid. A binade beyond float32 wraps around; up to 17 mantissa
/// bits the sum then still lies above every code, so that overflow is seen.
template <rounding_policy R, class Grid>
inline constexpr bool adder_rounds =
    std::is_same_v<R, nearest_even>&& Grid::min_field > 1 && Grid::mantissa <= 17 &&
    Grid::max_field + 24 < 255 + Grid::mantissa;

/// `yes` where `condition` holds, else `no`, by masks: compilers keep a loop of these vectorised
/// where they would turn `?:` around a floating-point operation back into a branch.
[[nodiscard]] constexpr std::uint32_t select(bool condition, std::uint32_t yes,
                                             std::uint32_t no) noexcept {
    const std::uint32_t mask = 0U - static_cast<std::uint32_t>(condition);
    return (yes & mask) | (no & ~mask);
}

/// Significand of a float32 magnitude (bits without sign), the leading one included.
[[nodiscard]] constexpr std::uint32_t significand(std::uint32_t magnitude) noexcept {
    const std::uint32_t leading = magnitude >= 0x0080'0000U ? 0x0080'0000U : 0U;
    return (magnitude & 0x007F'FFFFU) | leading;
}

/// Exponent field of a float32 magnitude with the meaning 2^(field - 150) per unit of
/// `significand`; subnormal numbers share the field 1.
[[nodiscard]] constexpr std::uint32_t exponent_field(std::uint32_t magnitude) noexcept {
    return std::max(magnitude >> 23, 1U);
}

}  // namespace detail

/// Overflow: what a magnitude beyond the largest finite one (after rounding), or an infinity,
/// becomes. `code<Layout>()` picks from the codes that a layout offers; a choice that the layout
/// lacks does not compile.
struct saturate {
    static constexpr std::string_view suffix = "_sat";
    template <class Layout>
    static constexpr std::uint32_t code() noexcept {
        return Layout::max_code;
    }
};

/// Overflow to the infinity of the same sign.
struct to_infinity {
    static constexpr std::string_view suffix = "_inf";
    template <class Layout>
    static constexpr std::uint32_t code() noexcept {
        static_assert(Layout::has_infinity,
                      "to_infinity: this format has no infinity; use saturate or to_nan");
        return Layout::infinity_code;
    }
};

/// Overflow to NaN (the non-saturating mode of OCP E4M3).
struct to_nan {
    static constexpr std::string_view suffix = "_nan";
    template <class Layout>
    static constexpr std::uint32_t code() noexcept {
        static_assert(Layout::has_nan, "to_nan: this format has no NaN; use saturate");
        return Layout::nan_code;
    }
};

/// Underflow policies: `magnitude` is the rounded magnitude, as a code without sign, of a float32
/// magnitude `a` (bits without sign). Codes count upward from 0 without a gap, exponent field above
/// `Grid::mantissa` bits, and may exceed the largest code. `Grid::min_field` and `Grid::max_field`
/// are the float32 exponent fields of the smallest normal and of the largest number.

namespace detail {

/// Rounding of a magnitude whose subnormals are first moved up by the smallest normal number, where
/// the last place is the same for all: they are rounded to nearest even at 2^-drop of a step, then
/// by the policy.
template <rounding_policy R, class Grid>
[[nodiscard]] constexpr std::uint32_t lifted(std::uint32_t a, std::uint32_t draw) noexcept {
    constexpr std::uint32_t drop = 23 - Grid::mantissa;
    const bool small = a < Grid::min_field << 23;
    const std::uint32_t moved = select(small, sum(a, Grid::min_field << 23), a);
    return ((moved + R::increment(moved, drop, draw)) >> drop) -
           ((Grid::min_field - 1) << Grid::mantissa) -
           (static_cast<std::uint32_t>(small) << Grid::mantissa);
}

}  // namespace detail

/// Subnormals as in IEEE 754: below the smallest normal number the step stays the same.
struct gradual {
    static constexpr bool has_subnormals = true;
    static constexpr std::string_view suffix = "";
    template <rounding_policy R, class Grid>
    static constexpr std::uint32_t magnitude(std::uint32_t a, std::uint32_t draw) noexcept {
        constexpr std::uint32_t drop = 23 - Grid::mantissa;
        if constexpr (Grid::min_field ==
                      1) {  // the subnormals of float32 itself: one shift for all
            return (a + R::increment(a, drop, draw)) >> drop;
        } else if constexpr (detail::adder_rounds<R, Grid>) {
            const std::uint32_t binade = std::max(a & 0x7F80'0000U, Grid::min_field << 23);
            return detail::steps(a, binade + (drop << 23)) +
                   ((binade - (Grid::min_field << 23)) >> drop);
        } else if constexpr (R::needs_draw) {
            return detail::lifted<R, Grid>(a, draw);
        } else {
            const std::uint32_t field = detail::exponent_field(a);
            const std::uint32_t clipped = std::max(field, Grid::min_field);
            return detail::shift_right<R>(detail::significand(a), clipped - field + drop, draw) +
                   ((clipped - Grid::min_field) << Grid::mantissa);
        }
    }
};

namespace detail {

/// A float32 magnitude as if the exponent field 0 were an ordinary binade, 2^-127 to 2^-126, so
/// that a number just below the smallest normal one of float32 has the last place of its own
/// binade; everything below is its lower end. Needed by grids that begin where the normal numbers
/// of float32 do.
template <class Grid>
[[nodiscard]] constexpr std::uint32_t without_subnormals(std::uint32_t a) noexcept {
    if constexpr (Grid::min_field > 1) return a;
    constexpr std::uint32_t least_normal = 1U << 23;
    return select(a < least_normal, std::max(2 * a, least_normal) - least_normal, a);
}

}  // namespace detail

/// No subnormals: rounded as if the exponent had no lower end, then anything below the smallest
/// normal number is zero.
struct flush_to_zero {
    static constexpr bool has_subnormals = false;
    static constexpr std::string_view suffix = "_flush";
    template <rounding_policy R, class Grid>
    static constexpr std::uint32_t magnitude(std::uint32_t a, std::uint32_t draw) noexcept {
        constexpr std::uint32_t drop = 23 - Grid::mantissa;
        a = detail::without_subnormals<Grid>(a);
        const std::uint32_t q = (a + R::increment(a, drop, draw)) >> drop;
        return detail::select(q < (Grid::min_field << Grid::mantissa), 0U,
                              q - ((Grid::min_field - 1) << Grid::mantissa));
    }
    /// The same from a float32 magnitude that was rounded to the mantissa, to a float32 magnitude.
    template <class Grid>
    static constexpr std::uint32_t flushed(std::uint32_t rounded) noexcept {
        return detail::select(rounded < Grid::min_field << 23, 0U, rounded);
    }
};

/// No subnormals: as flush_to_zero, but a number above half the smallest normal one becomes that
/// smallest one. Biased under stochastic rounding; it is what a published simulator did
/// (formats/historical.hpp).
struct flush_to_nearest {
    static constexpr bool has_subnormals = false;
    static constexpr std::string_view suffix = "_flush_nearest";
    template <rounding_policy R, class Grid>
    static constexpr std::uint32_t magnitude(std::uint32_t a, std::uint32_t draw) noexcept {
        constexpr std::uint32_t drop = 23 - Grid::mantissa;
        constexpr std::uint32_t smallest = 1U << Grid::mantissa;
        a = detail::without_subnormals<Grid>(a);
        const std::uint32_t q = (a + R::increment(a, drop, draw)) >> drop;
        const std::uint32_t below =
            detail::select(q > ((Grid::min_field - 1) << Grid::mantissa), smallest, 0U);
        return detail::select(q < (Grid::min_field << Grid::mantissa), below,
                              q - ((Grid::min_field - 1) << Grid::mantissa));
    }
    /// As flush_to_zero::flushed.
    template <class Grid>
    static constexpr std::uint32_t flushed(std::uint32_t rounded) noexcept {
        constexpr std::uint32_t smallest = Grid::min_field << 23;
        const std::uint32_t below =
            detail::select(rounded > (Grid::min_field - 1) << 23, smallest, 0U);
        return detail::select(rounded < smallest, below, rounded);
    }
};

}  // namespace tare
