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

#include <tare/core/simd_masks.hpp>
#include <tare/kernels/map.hpp>
#include <tare/kernels/vector_math.hpp>

namespace tare::kernels {

/// value and derivative, both as functions of the input. Errors of derivatives are absolute: they
/// cross zero, and a gradient is a sum.
template <class A>
concept activation = requires(const simd::pack& v, double s) {
    { A::value(v) } -> std::same_as<simd::pack>;
    { A::derivative(v) } -> std::same_as<simd::pack>;
    { A::value(s) } -> std::same_as<double>;
    { A::derivative(s) } -> std::same_as<double>;
};

/// max(x, 0); NaN stays. Derivative 0 at 0.
struct relu {
    template <std::size_t N>
    [[gnu::always_inline]] static simd::packs<N> value(const simd::packs<N>& x) {
        return max(simd::like(x, 0.0F), x);
    }
    template <std::size_t N>
    [[gnu::always_inline]] static simd::packs<N> derivative(const simd::packs<N>& x) {
        const simd::packs<N> zero = simd::like(x, 0.0F);
        return select(zero < x, simd::like(x, 1.0F), keep(unordered(x, x), x));
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
/// -inf gives NaN. Accuracy: |error| <= 4 units in the last place of x; derivative 4 * 2^-24.
struct gelu {
    template <std::size_t N>
    [[gnu::always_inline]] static simd::packs<N> value(const simd::packs<N>& x) {
        return vector_math::gated<vector_math::normal_gate>(x);
    }
    template <std::size_t N>
    [[gnu::always_inline]] static simd::packs<N> derivative(const simd::packs<N>& x) {
        const simd::packs<N> density = simd::like(x, 0.3989422804014327F) *
                                       vector_math::exp_nonpositive(simd::like(x, -0.5F) * x * x);
        return simd::fma(x, density,
                         simd::like(x, 0.5F) +
                             vector_math::gate_minus_half<vector_math::normal_gate>(x));
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
/// -inf gives NaN. Accuracy: |error| <= 4 units in the last place of x; derivative 4 * 2^-24.
struct gelu_tanh {
    template <std::size_t N>
    [[gnu::always_inline]] static simd::packs<N> value(const simd::packs<N>& x) {
        return vector_math::gated<vector_math::cubic_tanh_gate>(x);
    }
    template <std::size_t N>
    [[gnu::always_inline]] static simd::packs<N> derivative(const simd::packs<N>& x) {
        // With g the cubic, the gate is sigmoid(2 g); past |x| = 12 it is flat and x^2 may
        // overflow.
        const simd::packs<N> near_x = max(simd::like(x, -12.0F), min(simd::like(x, 12.0F), x));
        const simd::packs<N> square = near_x * near_x;
        const simd::packs<N> two_k = simd::like(x, 2 * 0.7978845608028654F);
        const simd::packs<N> ratio =
            simd::fma(square, simd::like(x, 2 * 0.044715F * 0.7978845608028654F), two_k);
        const simd::packs<N> slope =
            simd::fma(square, simd::like(x, 6 * 0.044715F * 0.7978845608028654F), two_k);
        const simd::packs<N> twice_g = near_x * ratio;
        return simd::fma(near_x * slope, vector_math::sigmoid_slope(twice_g),
                         vector_math::sigmoid(twice_g));
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
/// Accuracy: 3.2 ulp where the sigmoid is above 1.2e-38, else 0; derivative 3.5 * 2^-24.
struct swish {
    template <std::size_t N>
    [[gnu::always_inline]] static simd::packs<N> value(const simd::packs<N>& x) {
        return x * vector_math::sigmoid(x);
    }
    template <std::size_t N>
    [[gnu::always_inline]] static simd::packs<N> derivative(const simd::packs<N>& x) {
        return simd::fma(x, vector_math::sigmoid_slope(x), vector_math::sigmoid(x));
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

/// ln(1 + e^x). Accuracy: 3 ulp where results are above 1.2e-38, else 0; its derivative is
/// logistic.
struct softplus {
    template <std::size_t N>
    [[gnu::always_inline]] static simd::packs<N> value(const simd::packs<N>& x) {
        return vector_math::softplus(x);
    }
    template <std::size_t N>
    [[gnu::always_inline]] static simd::packs<N> derivative(const simd::packs<N>& x) {
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

/// 1 / (1 + e^-x), see vector_math::sigmoid and sigmoid_slope.
struct logistic {
    template <std::size_t N>
    [[gnu::always_inline]] static simd::packs<N> value(const simd::packs<N>& x) {
        return vector_math::sigmoid(x);
    }
    template <std::size_t N>
    [[gnu::always_inline]] static simd::packs<N> derivative(const simd::packs<N>& x) {
        return vector_math::sigmoid_slope(x);
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

/// tanh x, see vector_math::tanh. Accuracy of the derivative: 12 * 2^-24, twice that of tanh.
struct hyperbolic_tangent {
    template <std::size_t N>
    [[gnu::always_inline]] static simd::packs<N> value(const simd::packs<N>& x) {
        return vector_math::tanh(x);
    }
    template <std::size_t N>
    [[gnu::always_inline]] static simd::packs<N> derivative(const simd::packs<N>& x) {
        const simd::packs<N> t = vector_math::tanh(x);
        return simd::fnma(t, t, simd::like(x, 1.0F));
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
        "activate", 10, [](auto v) __attribute__((always_inline)) { return A::value(v); }, y, x);
}

/// dx = A'(x) dy. Sizes equal; `dx` may be `dy` or `x`. Throws as activate().
template <activation A>
void activate_backward(std::span<const float> x, std::span<const float> dy, std::span<float> dx) {
    map(
        "activate_backward", 12,
        [](auto v, auto d) __attribute__((always_inline)) { return A::derivative(v) * d; }, dx, x,
        dy);
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
