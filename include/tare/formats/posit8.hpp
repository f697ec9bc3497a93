#pragma once
// SPDX-License-Identifier: MIT
// posit<8,2>: sign, a run of equal bits (the regime), two exponent bits, fraction; a negative
// number is the two's complement of the whole word. A run of k ones means r = k - 1, of k zeros r =
// -k:
//     value = 2^(4 r + e) (1 + f), bits that do not fit read as 0; 0x00 is zero, 0x80 is NaR.
// Largest value 2^24, smallest 2^-24, up to three fraction bits around 1.
// Source: Standard for Posit Arithmetic (2022), sections 3 and 4.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string_view>

#include <tare/formats/concept.hpp>
#include <tare/formats/rounding.hpp>

namespace tare {

/// The 8-bit standard posit. **Rounding/NaN** to the nearest bit pattern, ties to the even one
/// (where no fraction bit is left, the border between two powers is their geometric mean); never to
/// zero and never to NaR: small numbers become 2^-24, large ones 2^24. NaN and infinities are NaR,
/// which decodes to NaN. Zero has no sign.
struct posit8 {
    using code_type = std::uint8_t;
    using rounding = nearest_even;
    static constexpr std::string_view name = "posit8";
    static constexpr int bits = 8;
    static constexpr bool exact_in_fp32 = true;
    static constexpr bool standalone_sign = false;
    static constexpr std::uint32_t nar_code = 0x80;

    [[nodiscard]] static constexpr code_type encode(float x) noexcept {
        const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
        const std::uint32_t a = u & 0x7FFF'FFFFU;
        // 2^-24 to just below 2^24; both ends round to the outermost codes.
        const std::uint32_t inside = std::min(std::max(a, 0x3380'0000U), 0x4B7F'FFFFU);
        // The exponent above 2^-24 as r + 6 = 0..11 and e = 0..3, with the fraction below e.
        const std::uint32_t shifted = inside - 0x3380'0000U;
        const std::uint32_t regime = shifted >> 25;
        const std::uint32_t tail = shifted & 0x01FF'FFFFU;
        const std::uint32_t up = 0U - static_cast<std::uint32_t>(regime >= 6);
        const std::uint32_t run = ((regime - 5) & up) | ((6 - regime) & ~up);
        // run bits, the bit that ends the run, e and fraction: run + 26 bits; seven are kept.
        const std::uint32_t head = detail::select(up != 0, (1U << run) - 1U, 0U) << 26;
        const std::uint32_t word = head | (~up & 0x0200'0000U) | tail;
        const std::uint32_t shift = run + 19;
        const std::uint32_t magnitude = (word + nearest_even::increment(word, shift, 0U)) >> shift;
        const std::uint32_t sign = 0U - (u >> 31);
        const std::uint32_t code = ((magnitude ^ sign) - sign) & 0xFFU;
        return static_cast<code_type>(
            detail::select(a >= 0x7F80'0000U, nar_code, detail::select(a == 0, 0U, code)));
    }
    [[nodiscard]] static constexpr float decode(code_type code) noexcept {
        const std::uint32_t c = code;
        const std::uint32_t sign = 0U - (c >> 7);
        const std::uint32_t m = ((c ^ sign) - sign) & 0x7FU;
        const std::uint32_t ones = 0U - (m >> 6);
        // The run ends at the highest set bit of m, or of its complement; a float finds it.
        const std::uint32_t flipped = (m ^ ones) & 0x7FU;
        const auto marked = static_cast<float>(static_cast<std::int32_t>(2 * flipped + 1));
        const std::uint32_t run = 134U - (std::bit_cast<std::uint32_t>(marked) >> 23);
        const std::uint32_t regime = ((run - 1) & ones) | ((0U - run) & ~ones);
        const std::uint32_t rest = (m << (run + 1)) & 0x7FU;
        const std::uint32_t u = ((4 * regime + 127) << 23) + (rest << 18);
        const std::uint32_t value = detail::select(c == 0, 0U, u | (c >> 7) << 31);
        return std::bit_cast<float>(detail::select(c == nar_code, 0x7FC0'0000U, value));
    }
    /// What survives encode and decode, without the code in between: the same bits, faster. Counted
    /// from 2^-24, exponent and fraction are the tail of the word, so that the bits which the
    /// regime leaves no room for are rounded away in place.
    [[nodiscard]] static constexpr float round(float x) noexcept {
        const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
        const std::uint32_t a = u & 0x7FFF'FFFFU;
        const std::uint32_t inside = std::min(std::max(a, 0x3380'0000U), 0x4B7F'FFFFU);
        const std::uint32_t shifted = inside - 0x3380'0000U;
        const auto regime = static_cast<std::int32_t>(shifted >> 25);
        const std::uint32_t shift =
            static_cast<std::uint32_t>(std::max(regime - 5, 6 - regime)) + 19;
        // In the outermost regimes the last bit kept is the one that ends the run; it is the
        // opposite of the regime's own last bit.
        const std::uint32_t odd =
            ((shifted >> shift) ^ static_cast<std::uint32_t>(shift == 25)) & 1U;
        const std::uint32_t rounded = (shifted + (1U << (shift - 1)) - 1U + odd) >> shift << shift;
        const std::uint32_t value = (rounded + 0x3380'0000U) | (u & 0x8000'0000U);
        return std::bit_cast<float>(
            detail::select(a >= 0x7F80'0000U, 0x7FC0'0000U, detail::select(a == 0, 0U, value)));
    }
    /// The border between two neighbouring values, 0 <= below < above.
    [[nodiscard]] static double midpoint(double below, double above) noexcept {
        if (below == 0) return 0;
        return above >= 4 * below ? std::sqrt(below * above) : (below + above) / 2;
    }
    static constexpr float max_value() noexcept { return 0x1P24F; }
    static constexpr float min_positive() noexcept { return 0x1P-24F; }
};
static_assert(numeric_format<posit8>);

}  // namespace tare
