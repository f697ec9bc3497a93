#pragma once
// SPDX-License-Identifier: MIT
// exp and log of packs of floats: argument reduction to a short interval (Cody and Waite 1980,
// chapters 6 and 5), then a polynomial fitted by the exchange algorithm of Remez for the smallest
// relative error. Every other elementary function of the kernels is built on these.
// Stated errors were measured over all floats; the tests assert them.

#include <limits>

#include <tare/core/pack.hpp>

namespace tare::kernels::vector_math {

using simd::pack;
using simd::pack_of;

/// exp(r) for |r| <= ln(2)/2: 1 + r + r^2 p(r), p of degree 4, fitted to 2^-28.
[[gnu::always_inline]] inline pack exp_core(const pack& r) {
    pack p = pack_of(0x1.6a2316p-10F);
    p = fma(p, r, pack_of(0x1.123a8ep-7F));
    p = fma(p, r, pack_of(0x1.5558f6p-5F));
    p = fma(p, r, pack_of(0x1.55549p-3F));
    p = fma(p, r, pack_of(0x1.fffffcp-2F));
    p = fma(p, r, pack_of(1.0F));
    return fma(p, r, pack_of(1.0F));
}

/// x = n ln 2 + r with n integral and |r| <= ln(2)/2 (a hair more at ties).
struct reduced {
    pack n;
    pack r;
};
[[gnu::always_inline]] inline reduced reduce_by_ln2(const pack& x) {
    // Adding 1.5 * 2^23 leaves no fraction bits: the sum rounds to the nearest integer.
    const pack magic = pack_of(0x1.8p23F);
    const pack n = fma(x, pack_of(0x1.715476p+0F), magic) - magic;
    // ln 2 in two parts; the first has 15 bits, so n times it is exact without fma too.
    pack r = fnma(n, pack_of(0x1.62e4p-1F), x);
    r = fnma(n, pack_of(0x1.7f7d1cp-20F), r);
    return {n, r};
}

/// e^x. exp(-inf) = 0, exp(inf) = inf, NaN stays; subnormal results are rounded once.
/// Accuracy: 1.02 ulp at most.
[[gnu::always_inline]] inline pack exp(const pack& x) {
    // max and min return their second argument when one is NaN, so NaN goes through.
    const pack bounded = max(pack_of(-104.0F), min(pack_of(89.0F), x));
    const reduced part = reduce_by_ln2(bounded);
    return multiply_power(exp_core(part.r), part.n);
}

/// e^x for x <= 0 (softmax, sigmoid), zero below -87.33 where results would be subnormal. NaN
/// stays. Accuracy: 1.02 ulp above the cut.
[[gnu::always_inline]] inline pack exp_nonpositive(const pack& x) {
    const pack magic = pack_of(0x1.8p23F);
    const pack shifted = fma(x, pack_of(0x1.715476p+0F), magic);
    const pack n = shifted - magic;
    pack r = fnma(n, pack_of(0x1.62e4p-1F), x);
    r = fnma(n, pack_of(0x1.7f7d1cp-20F), r);
    // The low bits of `shifted` are n: move them onto the exponent.
    const pack scaled = as_floats(as_ints(exp_core(r)) + shift_left(as_ints(shifted), 23));
    // "not below" rather than "at least": NaN must be kept.
    const pack cut = pack_of(-87.33F);
    return keep((cut <= x) | unordered(x, x), scaled);
}

/// ln x. log(0) = -inf, log(inf) = inf, NaN for x < 0 and NaN; subnormal x are exact inputs.
/// Accuracy: 1 ulp at most.
[[gnu::always_inline]] inline pack log(const pack& x) {
    const pack tiny = pack_of(0x1p-126F);
    const auto subnormal = x < tiny;
    const pack normal = select(subnormal, x * pack_of(0x1p23F), x);
    // Subtract the bits of sqrt(1/2): the exponent field is then e with x = 2^e m, m in
    // [sqrt(1/2), sqrt(2)).
    const auto offset = as_ints(normal) + simd::ints_of(-0x3F3504F3);
    const auto exponent = shift_right(offset, 23);
    const pack mantissa =
        as_floats((offset & simd::ints_of(0x007FFFFF)) + simd::ints_of(0x3F3504F3));
    const pack e = to_floats(exponent) - select(subnormal, pack_of(23.0F), pack_of(0.0F));
    const pack r = mantissa - pack_of(1.0F);
    pack p = pack_of(0x1.144228p-4F);
    p = fma(p, r, pack_of(-0x1.de335cp-4F));
    p = fma(p, r, pack_of(0x1.e6f4e2p-4F));
    p = fma(p, r, pack_of(-0x1.fc23cp-4F));
    p = fma(p, r, pack_of(0x1.23373ep-3F));
    p = fma(p, r, pack_of(-0x1.555c4p-3F));
    p = fma(p, r, pack_of(0x1.99a4b6p-3F));
    p = fma(p, r, pack_of(-0x1.000006p-2F));
    p = fma(p, r, pack_of(0x1.555548p-2F));
    const pack square = r * r;
    // r - r^2/2 + r^3 p + e ln 2, small terms first.
    pack low = fma(p * square, r, e * pack_of(0x1.7f7d1cp-20F));
    low = fnma(square, pack_of(0.5F), low);
    const pack result = fma(e, pack_of(0x1.62e4p-1F), low + r);
    const pack infinite = pack_of(std::numeric_limits<float>::infinity());
    const pack undefined = pack_of(std::numeric_limits<float>::quiet_NaN());
    const pack zero = pack_of(0.0F);
    const pack edge = select(x == zero, zero - infinite, select(x < zero, undefined, x));
    return select((zero < x) & (x < infinite), result, edge);
}

}  // namespace tare::kernels::vector_math
