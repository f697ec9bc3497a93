#pragma once
// SPDX-License-Identifier: MIT
// Division by a constant as a product and a fused multiply-add that give the correctly rounded
// quotient, the bits of `/`, for 98.7 % of all constants; `exact` says whether for this one:
//
//   a / b = RN(a h + RN(a l)),   h = RN(1/b),   l = RN(1/b - h)
//
// Source: Brisebarre, Muller, Raina 2004, "Accelerating correctly rounded floating-point division
// when the divisor is known in advance", IEEE Transactions on Computers 53(8).
//
// Trying one numerator proves it for all of them. Powers of two aside, 1 <= a, b < 2, with integer
// significands A and B of 24 bits. h is within 2^-25 of 1/b, so |l| <= 2^-25 and h + l is within
// 2^-50; a l, below 2^-24, is rounded by at most 2^-49. So what the last step rounds is less than
// 2 * 2^-50 + 2^-49 = 2^-48 away from a/b, and rounds as a/b does unless as near to a/b there is
// the midpoint of two floats.
// Where a >= b a midpoint is N/2^24, N odd, and k/(2^24 B) away, k = 2^24 A - N B. k is not 0, for
// 2^24 does not divide B, and |k| < 2^-48 * 2^24 * 2^24 = 1: there is none.
// Where a < b a midpoint is N/2^25, N odd, 2^24 < N < 2^25, and k/(2^25 B) away, k = 2^25 A - N B.
// k is not 0 and |k| < 2, so k = 1 or -1 and B is odd. Modulo 2^25 these are N = -1/B and N = 1/B,
// whose sum is 2^25: one of them is above 2^24, and it makes one A.

#include <cmath>
#include <cstdint>

#include <tare/core/simd.hpp>

namespace tare::simd {

/// What to multiply by in place of dividing by `value`: for a finite a and a quotient within
/// float32, fma(a, high, a * low) is a / value where `exact`; a quotient of 0 may have either sign,
/// and the last bit of one below 2^-100 may differ.
struct reciprocal_parts {
    explicit reciprocal_parts(float v) : value(v), high(1.0F / v) {
        // Far enough from both ends of the exponents that no part underflows.
        const float size = std::fabs(v);
        if (!fused || !(size >= 0x1p-60F && size <= 0x1p60F)) return;
        // The remainder is exact, and so this is RN(1/v - high).
        low = std::fma(-high, v, 1.0F) / v;
        int exponent = 0;
        const auto b = static_cast<std::uint32_t>(std::ldexp(std::frexp(size, &exponent), 24));
        const std::uint32_t hard = hardest_numerator(b);
        const float a = static_cast<float>(hard);
        exact = hard == 0 || std::fma(a, high, a * low) == a / v;
    }

    /// The only integer a of 24 bits whose quotient by b, an integer of 24 bits, may be rounded
    /// wrongly; 0 if there is none.
    static constexpr std::uint32_t hardest_numerator(std::uint32_t b) noexcept {
        constexpr std::uint32_t half = std::uint32_t{1} << 24;
        if (b % 2 == 0) return 0;
        std::uint32_t inverse = b;  // of b modulo 2^3, and twice as many bits with each step
        for (int bits = 3; bits < 25; bits *= 2)
            inverse *= 2 - b * inverse;
        inverse %= 2 * half;
        const std::uint64_t n = inverse > half ? inverse : 2 * half - inverse;
        const std::uint64_t a =
            (n * b + 1) / (2 * half);  // rounded down where n b is 1 modulo 2^25
        return a >= half / 2 && a < b ? static_cast<std::uint32_t>(a) : 0;
    }

    float value;
    float high;
    float low = 0.0F;
    bool exact = false;
};

}  // namespace tare::simd
