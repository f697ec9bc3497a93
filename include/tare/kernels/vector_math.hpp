#pragma once
// SPDX-License-Identifier: MIT
// Elementary functions of packs of floats. exp and log: argument reduction to a short interval
// (Cody and Waite 1980, chapters 6 and 5), then a polynomial fitted by the exchange algorithm of
// Remez. tanh, erf and the two GELU gates: odd rational functions fitted by Lawson's iteration. A
// true division costs no more than an estimate with a Newton step here, and keeps the same bits on
// AVX2. Stated errors were measured on every 97th float of all builds; the tests assert them.

#include <cstddef>
#include <cstdint>
#include <limits>

#include <tare/core/pack.hpp>

namespace tare::kernels::vector_math {

using simd::like;
using simd::mask_packs;
using simd::packs;

/// exp(r) for |r| <= ln(2)/2: 1 + r + r^2 p(r), p of degree 4, fitted to 2^-28.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> exp_core(const packs<N>& r) {
    packs<N> p = like(r, 0x1.6a2316p-10F);
    p = fma(p, r, like(r, 0x1.123a8ep-7F));
    p = fma(p, r, like(r, 0x1.5558f6p-5F));
    p = fma(p, r, like(r, 0x1.55549p-3F));
    p = fma(p, r, like(r, 0x1.fffffcp-2F));
    p = fma(p, r, like(r, 1.0F));
    return fma(p, r, like(r, 1.0F));
}

/// n + 1.5 * 2^23, n the integer nearest to x / ln 2: the addend leaves no fraction bits.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> shifted_quotient(const packs<N>& x) {
    return fma(x, like(x, 0x1.715476p+0F), like(x, 0x1.8p23F));
}
/// x - n ln 2. ln 2 comes in two parts; the first has 15 bits, so n times it is exact without fma.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> remainder_of_ln2(const packs<N>& x, const packs<N>& n) {
    return fnma(n, like(x, 0x1.7f7d1cp-20F), fnma(n, like(x, 0x1.62e4p-1F), x));
}

/// e^x. exp(-inf) = 0, exp(inf) = inf, NaN stays; subnormal results are rounded once.
/// Accuracy: 0.9 ulp with fma, 1.2 ulp without.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> exp(const packs<N>& x) {
    // max and min return their second argument when one is NaN, so NaN goes through.
    const packs<N> bounded = max(like(x, -104.0F), min(like(x, 89.0F), x));
    const packs<N> n = shifted_quotient(bounded) - like(x, 0x1.8p23F);
    return multiply_power(exp_core(remainder_of_ln2(bounded, n)), n);
}

/// e^x for x <= 0 (softmax, sigmoid), zero below -87.3365 where results would be subnormal. NaN
/// stays. Accuracy: as exp() above the cut.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> exp_nonpositive(const packs<N>& x) {
    const packs<N> shifted = shifted_quotient(x);
    const packs<N> r = remainder_of_ln2(x, shifted - like(x, 0x1.8p23F));
    // "not below" rather than "at least": NaN must be kept.
    const mask_packs<N> above = not_less(x, like(x, -0x1.5d589ep+6F));
    return multiply_near_power(above, exp_core(r), shifted);
}

/// ln x. log(0) = -inf, log(inf) = inf, NaN for x < 0 and NaN; subnormal x are exact inputs.
/// Accuracy: 0.9 ulp at most.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> log(const packs<N>& x) {
    const packs<N> tiny = like(x, 0x1p-126F);
    const auto subnormal = x < tiny;
    const packs<N> normal = select(subnormal, x * like(x, 0x1p23F), x);
    // Subtract the bits of sqrt(1/2): the exponent field is then e with x = 2^e m, m in
    // [sqrt(1/2), sqrt(2)).
    const auto offset = as_ints(normal) + like(as_ints(x), -0x3F3504F3);
    const auto exponent = shift_right(offset, 23);
    const packs<N> mantissa =
        as_floats((offset & like(as_ints(x), 0x007FFFFF)) + like(as_ints(x), 0x3F3504F3));
    const packs<N> e = to_floats(exponent) - select(subnormal, like(x, 23.0F), like(x, 0.0F));
    const packs<N> r = mantissa - like(x, 1.0F);
    packs<N> p = like(x, 0x1.144228p-4F);
    p = fma(p, r, like(x, -0x1.de335cp-4F));
    p = fma(p, r, like(x, 0x1.e6f4e2p-4F));
    p = fma(p, r, like(x, -0x1.fc23cp-4F));
    p = fma(p, r, like(x, 0x1.23373ep-3F));
    p = fma(p, r, like(x, -0x1.555c4p-3F));
    p = fma(p, r, like(x, 0x1.99a4b6p-3F));
    p = fma(p, r, like(x, -0x1.000006p-2F));
    p = fma(p, r, like(x, 0x1.555548p-2F));
    const packs<N> square = r * r;
    // r - r^2/2 + r^3 p + e ln 2, small terms first.
    packs<N> low = fma(p * square, r, e * like(x, 0x1.7f7d1cp-20F));
    low = fnma(square, like(x, 0.5F), low);
    const packs<N> result = fma(e, like(x, 0x1.62e4p-1F), low + r);
    const packs<N> infinite = like(x, std::numeric_limits<float>::infinity());
    const packs<N> undefined = like(x, std::numeric_limits<float>::quiet_NaN());
    const packs<N> zero = like(x, 0.0F);
    const packs<N> edge = select(x == zero, zero - infinite, select(x < zero, undefined, x));
    return select((zero < x) & (x < infinite), result, edge);
}

/// p(u) = c[0] + c[1] u + ... by Horner's rule.
template <std::size_t N, std::size_t Count>
[[gnu::always_inline]] inline packs<N> polynomial(const packs<N>& u, const float (&c)[Count]) {
    packs<N> p = like(u, c[Count - 1]);
#pragma GCC unroll 8
    for (std::size_t k = 1; k < Count; ++k)
        p = fma(p, u, like(u, c[Count - 1 - k]));
    return p;
}

/// x p(u) / q(u), u = min(x^2, edge^2), then clipped to [-limit, limit]: the odd rational functions
/// below reach their limit just past `edge`. NaN stays.
template <std::size_t N, std::size_t P, std::size_t Q>
[[gnu::always_inline]] inline packs<N> odd_rational(const packs<N>& x, float edge, float limit,
                                                    const float (&p)[P], const float (&q)[Q]) {
    const packs<N> u = min(like(x, edge * edge), x * x);
    const packs<N> ratio = (x * polynomial(u, p)) / polynomial(u, q);
    return max(like(x, -limit), min(like(x, limit), ratio));
}

/// Hyperbolic tangent; exact limits, NaN stays. Accuracy: 6 ulp at most (near |x| = 6).
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> tanh(const packs<N>& x) {
    // Rational minimax fit of tanh(x)/x in x^2 on [0, 9.02], relative error 2^-25.5.
    constexpr float p[] = {1.0F, 0x1.12046p-3F, 0x1.c9f934p-9F, 0x1.59570ep-16F, 0x1.c9a80ep-27F};
    constexpr float q[] = {1.0F, 0x1.de5778p-2F, 0x1.a7df9p-6F, 0x1.5842fp-12F, 0x1.a0bb44p-21F};
    return odd_rational(x, 9.02F, 1.0F, p, q);
}

/// Error function; exact limits, NaN stays. Accuracy: 5.5 ulp with fma, 6.3 ulp without (near
/// |x| = 3).
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> erf(const packs<N>& x) {
    // Fit of erf(x)/x on [0, 3.92], relative error 2^-29.
    constexpr float p[] = {0x1.20dd76p+0F,  0x1.7b288ep-3F,  0x1.bc5decp-5F,  0x1.f7236cp-9F,
                           0x1.8b0ed4p-12F, 0x1.3550a6p-18F, -0x1.b7c8e4p-27F};
    constexpr float q[] = {1.0F,           0x1.fd57f6p-2F,  0x1.d26d84p-4F,
                           0x1.f99cdcp-7F, 0x1.552fe8p-10F, 0x1.05b7ccp-14F};
    return odd_rational(x, 3.92F, 1.0F, p, q);
}

/// Normal distribution function minus 1/2 is x p(x^2) / q(x^2): fit of erf(x / sqrt(2)) / (2 x) on
/// [0, edge], absolute error 2^-27 of the product with x.
struct normal_gate {
    static constexpr float edge = 5.5F;
    static constexpr float p[] = {0x1.98845p-2F,   0x1.155176p-5F,  0x1.32870ep-8F,
                                  0x1.620bb2p-13F, 0x1.aa47cep-18F, 0x1.86d594p-26F};
    static constexpr float q[] = {1.0F,           0x1.018ecp-2F,   0x1.d554b2p-6F,
                                  0x1.edfdap-10F, 0x1.34e512p-14F, 0x1.4173fcp-20F};
};
/// The same for tanh(sqrt(2/pi) (x + 0.044715 x^3)) / 2.
struct cubic_tanh_gate {
    static constexpr float edge = 5.0F;
    static constexpr float p[] = {0x1.988456p-2F, 0x1.f523ap-6F,   0x1.db046p-9F,
                                  0x1.18439p-13F, 0x1.cd2f9cp-18F, 0x1.8352aep-26F};
    static constexpr float q[] = {
        1.0F, 0x1.f40b98p-3F, 0x1.8fe082p-6F, 0x1.53dd4ep-10F, 0x1.3a8676p-14F, 0x1.524528p-20F};
};

/// The gate minus 1/2. Accuracy: absolute error at most 3 * 2^-24.
template <class Gate, std::size_t N>
[[gnu::always_inline]] inline packs<N> gate_minus_half(const packs<N>& x) {
    return odd_rational(x, Gate::edge, 0.5F, Gate::p, Gate::q);
}

/// x (1/2 + gate) = x/2 + t, t = x^2 p / q >= 0, limited to |x|/2: exact far out. NaN and -inf give
/// NaN. Accuracy: 4 units in the last place of x at most.
template <class Gate, std::size_t N>
[[gnu::always_inline]] inline packs<N> gated(const packs<N>& x) {
    const packs<N> square = x * x;
    const packs<N> u = min(like(x, Gate::edge * Gate::edge), square);
    const packs<N> t = square * (polynomial(u, Gate::p) / polynomial(u, Gate::q));
    const packs<N> half = x * like(x, 0.5F);
    return half + min_magnitude(t, half);
}

/// -|x|.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> negative_abs(const packs<N>& x) {
    return as_floats(as_ints(x) | like(as_ints(x), std::numeric_limits<std::int32_t>::min()));
}

/// 1 / (1 + e^-x), 0 below -87.3365. NaN stays. Accuracy: 2.5 ulp at most above the cut.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> sigmoid(const packs<N>& x) {
    // With e = e^-|x| nothing overflows and both tails keep their digits.
    const packs<N> e = exp_nonpositive(negative_abs(x));
    const packs<N> one = like(x, 1.0F);
    return select(x < like(x, 0.0F), e, one) / (one + e);
}
/// Its slope s (1 - s), where 1 - s never cancels. Accuracy: 5 ulp at most above the cut.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> sigmoid_slope(const packs<N>& x) {
    const packs<N> e = exp_nonpositive(negative_abs(x));
    const packs<N> share = like(x, 1.0F) / (like(x, 1.0F) + e);
    return e * share * share;
}

/// ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|), 0 below -87.3365. NaN stays. Accuracy: 3 ulp at most
/// above the cut.
template <std::size_t N>
[[gnu::always_inline]] inline packs<N> softplus(const packs<N>& x) {
    const packs<N> zero = like(x, 0.0F);
    const packs<N> e = exp_nonpositive(negative_abs(x));
    // ln(1 + e) = 2 atanh(s), s = e / (2 + e) <= 1/3; series fitted to 2^-32.
    constexpr float c[] = {0x1.555558p-1F, 0x1.999684p-2F, 0x1.250deep-2F, 0x1.b66b78p-3F,
                           0x1.f362f2p-3F};
    const packs<N> s = e / (like(x, 2.0F) + e);
    const packs<N> u = s * s;
    return max(zero, x) + fma(s * u, polynomial(u, c), s + s);
}

}  // namespace tare::kernels::vector_math
