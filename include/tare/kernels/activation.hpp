#pragma once
// SPDX-License-Identifier: MIT
// Activations as policies: a type with the function and its derivative, on packs for the kernels
// and on any scalar for the plain reference. A new activation is a new type in any file.
//   activate<gelu>(x, y);  activate_backward<gelu>(x, dy, dx);  plain::activate<gelu, double>(x,
//   y);

#include <cmath>
#include <concepts>
#include <span>
#include <type_traits>

#include <tare/kernels/map.hpp>
#include <tare/kernels/vector_math.hpp>

namespace tare::kernels {

/// value and derivative, both as functions of the input.
template <class A>
concept activation = requires(const simd::pack& v, double s) {
    { A::value(v) } -> std::same_as<simd::pack>;
    { A::derivative(v) } -> std::same_as<simd::pack>;
    { A::value(s) } -> std::same_as<double>;
    { A::derivative(s) } -> std::same_as<double>;
};

/// max(x, 0); NaN stays. Derivative 0 at 0.
struct relu {
    [[gnu::always_inline]] static simd::pack value(const simd::pack& x) {
        return max(simd::pack_of(0.0F), x);
    }
    [[gnu::always_inline]] static simd::pack derivative(const simd::pack& x) {
        const simd::pack zero = simd::pack_of(0.0F);
        return select(zero < x, simd::pack_of(1.0F), keep(unordered(x, x), x));
    }
    template <class Scalar>
    static Scalar value(const Scalar& x) {
        return x < Scalar(0) ? Scalar(0) : x;
    }
    template <class Scalar>
    static Scalar derivative(const Scalar& x) {
        return Scalar(0) < x ? Scalar(1) : Scalar(0);
    }
};

/// x Phi(x), Phi the normal distribution function (Hendrycks and Gimpel 2016, section 2).
/// -inf gives NaN. Accuracy: |error| <= 4 units in the last place of x.
struct gelu {
    [[gnu::always_inline]] static simd::pack value(const simd::pack& x) {
        return x * (simd::pack_of(0.5F) + vector_math::normal_minus_half(x));
    }
    [[gnu::always_inline]] static simd::pack derivative(const simd::pack& x) {
        const simd::pack density = simd::pack_of(0.3989422804014327F) *
                                   vector_math::exp_nonpositive(simd::pack_of(-0.5F) * x * x);
        return simd::fma(x, density, simd::pack_of(0.5F) + vector_math::normal_minus_half(x));
    }
    template <class Scalar>
    static Scalar value(const Scalar& x) {
        using std::erf;
        return x * (Scalar(0.5) + Scalar(0.5) * erf(x * Scalar(0.7071067811865475244)));
    }
    template <class Scalar>
    static Scalar derivative(const Scalar& x) {
        using std::erf;
        using std::exp;
        return Scalar(0.5) + Scalar(0.5) * erf(x * Scalar(0.7071067811865475244)) +
               x * Scalar(0.3989422804014327) * exp(Scalar(-0.5) * x * x);
    }
};

/// x (1 + tanh(k (x + 0.044715 x^3))) / 2, k = sqrt(2 / pi) (the same source).
/// -inf gives NaN. Accuracy: |error| <= 4 units in the last place of x.
struct gelu_tanh {
    [[gnu::always_inline]] static simd::pack value(const simd::pack& x) {
        return x * (simd::pack_of(0.5F) + vector_math::half_tanh_of_cubic(x));
    }
    [[gnu::always_inline]] static simd::pack derivative(const simd::pack& x) {
        // With g the cubic, the gate is sigmoid(2 g); past |x| = 12 it is flat and x^2 may
        // overflow.
        const simd::pack near_x = max(simd::pack_of(-12.0F), min(simd::pack_of(12.0F), x));
        const simd::pack square = near_x * near_x;
        const simd::pack two_k = simd::pack_of(2 * 0.7978845608028654F);
        const simd::pack ratio =
            simd::fma(square, simd::pack_of(2 * 0.044715F * 0.7978845608028654F), two_k);
        const simd::pack slope =
            simd::fma(square, simd::pack_of(6 * 0.044715F * 0.7978845608028654F), two_k);
        const auto gate = vector_math::sigmoid_with_slope(near_x * ratio);
        return simd::fma(near_x * slope, gate.slope, gate.value);
    }
    template <class Scalar>
    static Scalar value(const Scalar& x) {
        using std::tanh;
        const Scalar g = Scalar(0.7978845608028654) * (x + Scalar(0.044715) * x * x * x);
        return Scalar(0.5) * x * (Scalar(1) + tanh(g));
    }
    template <class Scalar>
    static Scalar derivative(const Scalar& x) {
        using std::tanh;
        const Scalar k = Scalar(0.7978845608028654);
        const Scalar t = tanh(k * (x + Scalar(0.044715) * x * x * x));
        return Scalar(0.5) * (Scalar(1) + t) + Scalar(0.5) * x * (Scalar(1) - t * t) * k *
                                                   (Scalar(1) + Scalar(3 * 0.044715) * x * x);
    }
};

/// x sigmoid(x) (Ramachandran, Zoph, Le 2017, section 3, beta = 1). -inf gives NaN.
/// Accuracy: 4 ulp where the sigmoid is above 1.2e-38, else 0.
struct swish {
    [[gnu::always_inline]] static simd::pack value(const simd::pack& x) {
        return x * vector_math::sigmoid(x);
    }
    [[gnu::always_inline]] static simd::pack derivative(const simd::pack& x) {
        const auto s = vector_math::sigmoid_with_slope(x);
        return simd::fma(x, s.slope, s.value);
    }
    template <class Scalar>
    static Scalar value(const Scalar& x) {
        using std::exp;
        return x / (Scalar(1) + exp(Scalar(0) - x));
    }
    template <class Scalar>
    static Scalar derivative(const Scalar& x) {
        using std::exp;
        const Scalar s = Scalar(1) / (Scalar(1) + exp(Scalar(0) - x));
        return s + x * s * (Scalar(1) - s);
    }
};

/// ln(1 + e^x). Accuracy: 3 ulp where results are above 1.2e-38, else 0.
struct softplus {
    [[gnu::always_inline]] static simd::pack value(const simd::pack& x) {
        return vector_math::softplus(x);
    }
    [[gnu::always_inline]] static simd::pack derivative(const simd::pack& x) {
        return vector_math::sigmoid(x);
    }
    template <class Scalar>
    static Scalar value(const Scalar& x) {
        using std::exp;
        using std::log;
        const Scalar zero = Scalar(0);
        const Scalar positive = x < zero ? zero : x;
        const Scalar size = x < zero ? x : zero - x;
        return positive + log(Scalar(1) + exp(size));
    }
    template <class Scalar>
    static Scalar derivative(const Scalar& x) {
        using std::exp;
        return Scalar(1) / (Scalar(1) + exp(Scalar(0) - x));
    }
};

/// 1 / (1 + e^-x), see vector_math::sigmoid.
struct logistic {
    [[gnu::always_inline]] static simd::pack value(const simd::pack& x) {
        return vector_math::sigmoid(x);
    }
    [[gnu::always_inline]] static simd::pack derivative(const simd::pack& x) {
        return vector_math::sigmoid_with_slope(x).slope;
    }
    template <class Scalar>
    static Scalar value(const Scalar& x) {
        return softplus::derivative(x);
    }
    template <class Scalar>
    static Scalar derivative(const Scalar& x) {
        const Scalar s = value(x);
        return s * (Scalar(1) - s);
    }
};

/// tanh x, see vector_math::tanh.
struct hyperbolic_tangent {
    [[gnu::always_inline]] static simd::pack value(const simd::pack& x) {
        return vector_math::tanh(x);
    }
    [[gnu::always_inline]] static simd::pack derivative(const simd::pack& x) {
        const simd::pack t = vector_math::tanh(x);
        return simd::fnma(t, t, simd::pack_of(1.0F));
    }
    template <class Scalar>
    static Scalar value(const Scalar& x) {
        using std::tanh;
        return tanh(x);
    }
    template <class Scalar>
    static Scalar derivative(const Scalar& x) {
        using std::tanh;
        const Scalar t = tanh(x);
        return Scalar(1) - t * t;
    }
};

/// y = A(x). Sizes equal; `y` may be `x`. Throws on unequal sizes or half overlapping memory.
template <activation A>
void activate(std::span<const float> x, std::span<float> y) {
    map(
        "activate", 10, [](auto v) { return A::value(v); }, y, x);
}

/// dx = A'(x) dy. Sizes equal; `dx` may be `dy` or `x`. Throws as activate().
template <activation A>
void activate_backward(std::span<const float> x, std::span<const float> dy, std::span<float> dx) {
    map(
        "activate_backward", 12, [](auto v, auto d) { return A::derivative(v) * d; }, dx, x, dy);
}

namespace plain {

template <class A, class Scalar>
void activate(std::span<const std::type_identity_t<Scalar>> x, std::span<Scalar> y) {
    for (std::size_t i = 0; i < y.size(); ++i)
        y[i] = A::value(x[i]);
}
template <class A, class Scalar>
void activate_backward(std::span<const std::type_identity_t<Scalar>> x,
                       std::span<const std::type_identity_t<Scalar>> dy, std::span<Scalar> dx) {
    for (std::size_t i = 0; i < dx.size(); ++i)
        dx[i] = A::derivative(x[i]) * dy[i];
}

}  // namespace plain

}  // namespace tare::kernels
