#pragma once
// SPDX-License-Identifier: MIT
// Elementary functions of packs of floats. exp and log: argument reduction to a short interval
// (Cody and Waite 1980, chapters 6 and 5), then a polynomial fitted by the exchange algorithm of
// Remez. tanh, erf and the two GELU gates: odd rational functions fitted by Lawson's iteration,
// with a reciprocal estimate instead of the slow division. Stated errors were measured over all
// floats and hold on every build; the tests assert them.

#include <cstddef>
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
/// Accuracy: 0.83 ulp with fma, 1.2 ulp without.
[[gnu::always_inline]] inline pack exp(const pack& x) {
    // max and min return their second argument when one is NaN, so NaN goes through.
    const pack bounded = max(pack_of(-104.0F), min(pack_of(89.0F), x));
    const reduced part = reduce_by_ln2(bounded);
    return multiply_power(exp_core(part.r), part.n);
}

/// e^x for x <= 0 (softmax, sigmoid), zero below -87.3365 where results would be subnormal. NaN
/// stays. Accuracy: as exp() above the cut.
[[gnu::always_inline]] inline pack exp_nonpositive(const pack& x) {
    const pack magic = pack_of(0x1.8p23F);
    const pack shifted = fma(x, pack_of(0x1.715476p+0F), magic);
    const pack n = shifted - magic;
    pack r = fnma(n, pack_of(0x1.62e4p-1F), x);
    r = fnma(n, pack_of(0x1.7f7d1cp-20F), r);
    const pack scaled = multiply_near_power(exp_core(r), shifted);
    // "not below" rather than "at least": NaN must be kept.
    return keep(not_less(x, pack_of(-0x1.5d589ep+6F)), scaled);
}

/// ln x. log(0) = -inf, log(inf) = inf, NaN for x < 0 and NaN; subnormal x are exact inputs.
/// Accuracy: 0.9 ulp at most.
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

/// p(u) = c[0] + c[1] u + ... by Horner's rule.
template <std::size_t Count>
[[gnu::always_inline]] inline pack polynomial(const pack& u, const float (&c)[Count]) {
    pack p = pack_of(c[Count - 1]);
#pragma GCC unroll 8
    for (std::size_t k = 1; k < Count; ++k)
        p = fma(p, u, pack_of(c[Count - 1 - k]));
    return p;
}

/// x p(u) / q(u), u = min(x^2, edge^2), then clipped to [-limit, limit]: the odd rational functions
/// below reach their limit just past `edge`. NaN stays.
template <std::size_t P, std::size_t Q>
[[gnu::always_inline]] inline pack odd_rational(const pack& x, float edge, float limit,
                                                const float (&p)[P], const float (&q)[Q]) {
    const pack u = min(pack_of(edge * edge), x * x);
    const pack ratio = (x * polynomial(u, p)) * reciprocal(polynomial(u, q));
    return max(pack_of(-limit), min(pack_of(limit), ratio));
}

/// Hyperbolic tangent; exact limits, NaN stays. Accuracy: 6 ulp at most (near |x| = 6).
[[gnu::always_inline]] inline pack tanh(const pack& x) {
    // Rational minimax fit of tanh(x)/x in x^2 on [0, 9.02], relative error 2^-25.5.
    constexpr float p[] = {1.0F, 0x1.12046p-3F, 0x1.c9f934p-9F, 0x1.59570ep-16F, 0x1.c9a80ep-27F};
    constexpr float q[] = {1.0F, 0x1.de5778p-2F, 0x1.a7df9p-6F, 0x1.5842fp-12F, 0x1.a0bb44p-21F};
    return odd_rational(x, 9.02F, 1.0F, p, q);
}

/// Error function; exact limits, NaN stays. Accuracy: 6 ulp at most (near |x| = 3).
[[gnu::always_inline]] inline pack erf(const pack& x) {
    // Fit of erf(x)/x on [0, 3.92], relative error 2^-29.
    constexpr float p[] = {0x1.20dd76p+0F,  0x1.7b288ep-3F,  0x1.bc5decp-5F,  0x1.f7236cp-9F,
                           0x1.8b0ed4p-12F, 0x1.3550a6p-18F, -0x1.b7c8e4p-27F};
    constexpr float q[] = {1.0F,           0x1.fd57f6p-2F,  0x1.d26d84p-4F,
                           0x1.f99cdcp-7F, 0x1.552fe8p-10F, 0x1.05b7ccp-14F};
    return odd_rational(x, 3.92F, 1.0F, p, q);
}

/// Normal distribution function minus 1/2. Accuracy: absolute error at most 2^-24.
[[gnu::always_inline]] inline pack normal_minus_half(const pack& x) {
    // Fit of erf(x / sqrt(2)) / (2 x) on [0, 5.5], absolute error 2^-27 of the product with x.
    constexpr float p[] = {0x1.98845p-2F,   0x1.155176p-5F,  0x1.32870ep-8F,
                           0x1.620bb2p-13F, 0x1.aa47cep-18F, 0x1.86d594p-26F};
    constexpr float q[] = {1.0F,           0x1.018ecp-2F,   0x1.d554b2p-6F,
                           0x1.edfdap-10F, 0x1.34e512p-14F, 0x1.4173fcp-20F};
    return odd_rational(x, 5.5F, 0.5F, p, q);
}

/// tanh(sqrt(2/pi) (x + 0.044715 x^3)) / 2. Accuracy: absolute error at most 2^-24.
[[gnu::always_inline]] inline pack half_tanh_of_cubic(const pack& x) {
    // Fit of the quotient with x on [0, 5], absolute error 2^-27.5 of the product with x.
    constexpr float p[] = {0x1.988456p-2F, 0x1.f523ap-6F,   0x1.db046p-9F,
                           0x1.18439p-13F, 0x1.cd2f9cp-18F, 0x1.8352aep-26F};
    constexpr float q[] = {
        1.0F, 0x1.f40b98p-3F, 0x1.8fe082p-6F, 0x1.53dd4ep-10F, 0x1.3a8676p-14F, 0x1.524528p-20F};
    return odd_rational(x, 5.0F, 0.5F, p, q);
}

/// s = 1 / (1 + e^-x) and its slope s (1 - s), each with its own digits in both tails.
struct sigmoid_and_slope {
    pack value;
    pack slope;
};
[[gnu::always_inline]] inline sigmoid_and_slope sigmoid_with_slope(const pack& x) {
    // With e = e^-|x| nothing overflows, and 1 - s never cancels.
    const pack zero = pack_of(0.0F);
    const pack e = exp_nonpositive(zero - abs(x));
    const pack share = reciprocal(pack_of(1.0F) + e);
    const pack other = e * share;
    return {select(x < zero, other, share), other * share};
}

/// 1 / (1 + e^-x), 0 below -87.3365. NaN stays. Accuracy: 2.5 ulp at most above the cut.
[[gnu::always_inline]] inline pack sigmoid(const pack& x) {
    return sigmoid_with_slope(x).value;
}

/// ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|), 0 below -87.3365. NaN stays. Accuracy: 3 ulp at most
/// above the cut.
[[gnu::always_inline]] inline pack softplus(const pack& x) {
    const pack zero = pack_of(0.0F);
    const pack e = exp_nonpositive(zero - abs(x));
    // ln(1 + e) = 2 atanh(s), s = e / (2 + e) <= 1/3; series fitted to 2^-32.
    constexpr float c[] = {0x1.555558p-1F, 0x1.999684p-2F, 0x1.250deep-2F, 0x1.b66b78p-3F,
                           0x1.f362f2p-3F};
    const pack s = e * reciprocal(pack_of(2.0F) + e);
    const pack u = s * s;
    return max(zero, x) + fma(s * u, polynomial(u, c), s + s);
}

}  // namespace tare::kernels::vector_math
