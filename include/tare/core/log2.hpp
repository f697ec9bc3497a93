#pragma once
// SPDX-License-Identifier: MIT
// log2 of positive floats in vectors, with the same bits on every machine: multiplications and
// additions only, none fused. What is stored follows from it; where only accuracy counts,
// kernels/vector_math.hpp has a faster logarithm whose last bits depend on fused products.
//
//   x = 2^e m, 1/sqrt(2) <= m < sqrt(2);  log2 x = e + log2(e) ln(1 + r),  r = m - 1
//   ln(1 + r) = r - r^2/2 + r^3 P(r),  P of degree 8
//
// Source: Moshier, Cephes mathematical library, single-precision logarithm (coefficients of P).

#include <bit>
#include <cstdint>

#include <tare/core/simd.hpp>
#include <tare/core/simd_ops.hpp>

namespace tare {

namespace simd {

/// log2(v) for finite v > 0, subnormal or not.
/// Accuracy: 4e-7 absolute where |log2 v| < 4, 2 ulp beyond. Other arguments give a meaningless
/// number.
inline floats log2(floats v) {
    const auto value = [](float c) { return broadcast(c); };
    const masks tiny = v < value(0x1p-126F);
    const floats x = select(tiny, v * value(0x1p24F), v);
    // Taking 1/sqrt(2) off the pattern moves the binade border to where m leaves its range.
    constexpr auto root_half = static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(0.70710678F));
    const ints shifted = as_ints(x) - ints(root_half);
    const ints exponent = shifted >> 23;
    const floats m = as_floats((shifted & ints(0x007FFFFF)) + ints(root_half));
    const floats e = to_floats(exponent) - select(tiny, value(24.0F), value(0.0F));
    const floats r = m - value(1.0F);
    floats p = value(7.0376836292e-2F);
    p = p * r + value(-1.1514610310e-1F);
    p = p * r + value(1.1676998740e-1F);
    p = p * r + value(-1.2420140846e-1F);
    p = p * r + value(1.4249322787e-1F);
    p = p * r + value(-1.6668057665e-1F);
    p = p * r + value(2.0000714765e-1F);
    p = p * r + value(-2.4999993993e-1F);
    p = p * r + value(3.3333331174e-1F);
    const floats square = r * r;
    const floats ln = (r - value(0.5F) * square) + square * r * p;
    return e + ln * value(1.44269504089F);
}

}  // namespace simd

}  // namespace tare
