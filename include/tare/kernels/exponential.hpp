#pragma once
// SPDX-License-Identifier: MIT
// Elementary functions of whole arrays: exp, log, tanh, sigmoid, erf. Formulas and accuracy stand
// with the functions of packs in vector_math.hpp; here is the loop over an array, and the plain
// form for any scalar.

#include <cmath>
#include <span>
#include <type_traits>

#include <tare/kernels/map.hpp>
#include <tare/kernels/vector_math.hpp>

namespace tare::kernels {

/// y = e^x. Sizes equal; `y` may be `x`. exp(-inf) = 0, overflow is inf, subnormal results are
/// kept, NaN stays. Accuracy: 1.2 ulp. Throws on unequal sizes or half overlapping memory.
inline void exp(std::span<const float> x, std::span<float> y) {
    map(
        "exp", 8, [](auto v) __attribute__((always_inline)) { return vector_math::exp(v); }, y, x);
}

/// y = ln x, as exp(). log(0) = -inf, negative values and NaN give NaN. Accuracy: 0.9 ulp.
inline void log(std::span<const float> x, std::span<float> y) {
    map(
        "log", 10, [](auto v) __attribute__((always_inline)) { return vector_math::log(v); }, y, x);
}

/// y = tanh x, as exp(). Accuracy: 6 ulp.
inline void tanh(std::span<const float> x, std::span<float> y) {
    map(
        "tanh", 10, [](auto v) __attribute__((always_inline)) { return vector_math::tanh(v); }, y,
        x);
}

/// y = 1 / (1 + e^-x), as exp(). Accuracy: 2.5 ulp; results below 1.2e-38 are 0.
inline void sigmoid(std::span<const float> x, std::span<float> y) {
    map(
        "sigmoid", 10,
        [](auto v) __attribute__((always_inline)) { return vector_math::sigmoid(v); }, y, x);
}

/// y = erf x, as exp(). Accuracy: 6.3 ulp.
inline void erf(std::span<const float> x, std::span<float> y) {
    map(
        "erf", 10, [](auto v) __attribute__((always_inline)) { return vector_math::erf(v); }, y, x);
}

/// The same for any scalar whose exp, log, tanh and erf can be found.
namespace plain {

template <class Scalar>
void exp(std::span<const std::type_identity_t<Scalar>> x, std::span<Scalar> y) {
    using std::exp;
    for (std::size_t i = 0; i < y.size(); ++i)
        y[i] = exp(x[i]);
}
template <class Scalar>
void log(std::span<const std::type_identity_t<Scalar>> x, std::span<Scalar> y) {
    using std::log;
    for (std::size_t i = 0; i < y.size(); ++i)
        y[i] = log(x[i]);
}
template <class Scalar>
void tanh(std::span<const std::type_identity_t<Scalar>> x, std::span<Scalar> y) {
    using std::tanh;
    for (std::size_t i = 0; i < y.size(); ++i)
        y[i] = tanh(x[i]);
}
template <class Scalar>
void sigmoid(std::span<const std::type_identity_t<Scalar>> x, std::span<Scalar> y) {
    using std::exp;
    for (std::size_t i = 0; i < y.size(); ++i)
        y[i] = Scalar(1) / (Scalar(1) + exp(Scalar(0) - x[i]));
}
template <class Scalar>
void erf(std::span<const std::type_identity_t<Scalar>> x, std::span<Scalar> y) {
    using std::erf;
    for (std::size_t i = 0; i < y.size(); ++i)
        y[i] = erf(x[i]);
}

}  // namespace plain

}  // namespace tare::kernels
