#pragma once
// SPDX-License-Identifier: MIT
// Signed integers of 2 to 16 bits in two's complement; the value is the integer itself, scales are
// the business of quantizers. Full range [-2^(n-1), 2^(n-1) - 1] or symmetric, without the lowest
// code: [-(2^(n-1) - 1), 2^(n-1) - 1].
// Source: Jacob et al. 2018, "Quantization and training of neural networks for efficient
// integer-arithmetic-only inference", section 2.1.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string_view>

#include <tare/formats/concept.hpp>
#include <tare/formats/minifloat.hpp>
#include <tare/formats/rounding.hpp>

namespace tare {

/// The two ranges of an integer format.
struct symmetric_codes {
    static constexpr bool has_lowest = false;
    static constexpr std::string_view suffix = "";
};
struct full_codes {
    static constexpr bool has_lowest = true;
    static constexpr std::string_view suffix = "_full";
};

/// An integer of `Bits` bits. **Rounding/NaN** by the policy; beyond the range it saturates, an
/// infinity too; NaN becomes 0; a negative zero is zero. The lowest code of a symmetric format
/// still decodes to -2^(n-1), but is never produced.
template <int Bits, class Range = symmetric_codes, rounding_policy Rounding = nearest_even>
struct int_n {
    static_assert(Bits >= 2 && Bits <= 16, "int_n: 2 to 16 bits");

    using code_type = detail::uint_for<Bits>;
    using rounding = Rounding;
    using overflow = saturate;
    template <rounding_policy R>
    using with_rounding = int_n<Bits, Range, R>;

    static constexpr int bits = Bits;
    static constexpr bool exact_in_fp32 = true;
    static constexpr bool standalone_sign = false;
    static constexpr std::int32_t largest = (1 << (Bits - 1)) - 1;
    static constexpr std::int32_t lowest = Range::has_lowest ? -largest - 1 : -largest;
    /// Codes that are never produced.
    static constexpr int unused_codes = Range::has_lowest ? 0 : 1;

    static constexpr detail::built_name generated_name = [] {
        detail::built_name n;
        n << "int" << Bits << Range::suffix << Rounding::suffix;
        return n;
    }();
    static constexpr std::string_view name = generated_name.view();

    /// The integer nearest to `x` under the policy, within the range.
    [[nodiscard]] static constexpr std::int32_t round_to_integer(float x,
                                                                 std::uint32_t draw = 0) noexcept {
        return rounded<Rounding>(x, draw);
    }
    /// The code of `x`.
    [[nodiscard]] static constexpr code_type encode(float x) noexcept {
        return static_cast<code_type>(
            static_cast<std::uint32_t>(rounded<detail::deterministic<Rounding>>(x, 0U)) & mask);
    }
    /// The code of `x`, a stochastic policy deciding by the low bits of `draw`.
    [[nodiscard]] static constexpr code_type encode(float x, std::uint32_t draw) noexcept
        requires(Rounding::needs_draw) {
        return static_cast<code_type>(static_cast<std::uint32_t>(rounded<Rounding>(x, draw)) &
                                      mask);
    }
    /// What survives encode and decode, without the code in between: the same bits, faster.
    [[nodiscard]] static constexpr float round(float x) noexcept {
        return static_cast<float>(rounded<detail::deterministic<Rounding>>(x, 0U));
    }
    /// The same for a stochastic policy and its random word.
    [[nodiscard]] static constexpr float round(float x, std::uint32_t draw) noexcept
        requires(Rounding::needs_draw) {
        return static_cast<float>(rounded<Rounding>(x, draw));
    }
    /// The integer of a code, exact.
    [[nodiscard]] static constexpr float decode(code_type code) noexcept {
        return static_cast<float>(to_integer(code));
    }
    [[nodiscard]] static constexpr std::int32_t to_integer(code_type code) noexcept {
        constexpr auto sign = static_cast<std::int32_t>(1U << (Bits - 1));
        return ((static_cast<std::int32_t>(code) & static_cast<std::int32_t>(mask)) ^ sign) - sign;
    }
    static constexpr float max_value() noexcept { return static_cast<float>(largest); }
    static constexpr float min_positive() noexcept { return 1.0F; }

  private:
    static constexpr std::uint32_t mask = (1U << Bits) - 1U;

    template <rounding_policy R>
    [[nodiscard]] static constexpr std::int32_t rounded(float x, std::uint32_t draw) noexcept {
        // An integer grid is the subnormal range of a float whose quantum is 1. The magnitude is
        // first clipped to 2^Bits, beyond the range, so that at least 7 bits are always dropped.
        constexpr std::uint32_t clip = static_cast<std::uint32_t>(127 + Bits) << 23;
        const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
        const std::uint32_t a = u & 0x7FFF'FFFFU;
        const std::uint32_t clipped = std::min(a, clip);
        std::uint32_t steps = 0;
        if constexpr (std::is_same_v<R, nearest_even>) {
            steps = detail::steps(clipped, 150U << 23);  // the last place of 2^23 is 1
        } else if constexpr (R::needs_draw) {
            constexpr std::uint32_t above = clip + (1U << 23);
            constexpr std::uint32_t drop = 22U - Bits;  // last place of `above` is 2^-drop
            const std::uint32_t moved = detail::sum(clipped, above) - above;
            steps = (moved + R::increment(moved, drop, draw)) >> drop;
        } else {
            steps = detail::shift_right<R>(detail::significand(clipped),
                                           150U - detail::exponent_field(clipped), draw);
        }
        const auto magnitude = static_cast<std::int32_t>(steps);
        const std::int32_t sign = -static_cast<std::int32_t>(u >> 31);
        const std::int32_t value = (magnitude ^ sign) - sign;
        const std::int32_t inside = std::min(std::max(value, lowest), largest);
        return inside & -static_cast<std::int32_t>(a <= 0x7F80'0000U);
    }
};
static_assert(numeric_format<int_n<8>> && numeric_format<int_n<16, full_codes>>);

using int8 = int_n<8>;
using int4 = int_n<4>;

}  // namespace tare
