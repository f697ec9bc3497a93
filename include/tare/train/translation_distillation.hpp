#pragma once
// SPDX-License-Identifier: MIT
// What the students of two systems learn from their teachers' logits, T a temperature of 10:
//     SRP    L = CE + share T^2 sum KL(t || s)             t, s = softmax(logits / T)
//     PET    L = (1 - a) CE + a D + b (P_encoder + P_decoder) / 2      D = -sum t ln s, without T^2
//     plain  L = (1 - a) CE + a T^2 / B sum KL(t || s)
// CE is the sum of label_smoothing.hpp, P that of patient_distillation.hpp. Sums run over the rows
// given: both published codes include those of padding. All are divided by the number of target
// tokens by whoever takes the gradient.
// Source: selectively regularised pruning (SRP, 2022); PET, PLOS ONE 18(7) e0288060 (2023); Hinton,
// Vinyals, Dean 2015, section 2.

#include <tare/core/error.hpp>
#include <tare/ops/add.hpp>
#include <tare/ops/scale.hpp>
#include <tare/ops/soft_cross_entropy.hpp>
#include <tare/ops/swap_last_axes.hpp>

namespace tare::train {

/// The temperature of both systems.
inline constexpr double translation_temperature = 10.0;

/// Weights of PET's second stage.
struct pet_weights {
    double soft = 0.1;      ///< a
    double patient = 50.0;  ///< b
};
/// `a` of PET's plain variant.
inline constexpr double pet_plain_weight = 0.05;
/// `share` of SRP.
inline constexpr double srp_share = 0.7;

/// T^2 sum KL(teacher || student): SRP's term, to be weighed by its share.
/// **Shapes** logits (..., n); result a single number, in nats. **Throws** as soft_divergence().
template <class T>
[[nodiscard]] T scaled_divergence(const T& student, const T& teacher,
                                  double temperature = translation_temperature) {
    return scale_by(soft_divergence(student, teacher, temperature), temperature * temperature);
}

/// The same divided by the sentences: PET's plain variant. **Shapes** logits (B, T, n).
template <class T>
[[nodiscard]] T plain_divergence(const T& student, const T& teacher,
                                 double temperature = translation_temperature) {
    require(student.shape().rank() == 3, "plain_divergence: logits ", student.shape(),
            "; expected (sentences, length, classes)");
    return scale_by(scaled_divergence(student, teacher, temperature),
                    1.0 / static_cast<double>(student.shape()[0]));
}

/// PET's plain variant as published: both distributions run over the TIME of a sentence, a class at
/// a time, instead of over the classes. **Shapes** logits (B, T, n).
template <class T>
[[nodiscard]] T published_plain_divergence(const T& student, const T& teacher,
                                           double temperature = translation_temperature) {
    return plain_divergence(swap_last_axes(student), swap_last_axes(teacher), temperature);
}

/// CE + share T^2 sum KL. **Throws** as soft_divergence().
template <class T>
[[nodiscard]] T srp_loss(const T& cross_entropy, const T& student, const T& teacher,
                         double share = srp_share, double temperature = translation_temperature) {
    return add(cross_entropy, scale_by(scaled_divergence(student, teacher, temperature), share));
}

/// (1 - a) CE + a D + b (encoder + decoder) / 2, `encoder` and `decoder` of patient_loss().
/// **Throws** as soft_cross_entropy().
template <class T>
[[nodiscard]] T pet_loss(const T& cross_entropy, const T& student, const T& teacher,
                         const T& encoder, const T& decoder, const pet_weights& weights = {},
                         double temperature = translation_temperature) {
    const T soft = scale_by(soft_cross_entropy(student, teacher, temperature), weights.soft);
    const T patient = scale_by(add(encoder, decoder), weights.patient / 2.0);
    return add(add(scale_by(cross_entropy, 1.0 - weights.soft), soft), patient);
}

/// (1 - a) CE + a plain, `plain` one of the two above.
template <class T>
[[nodiscard]] T plain_loss(const T& cross_entropy, const T& plain,
                           double weight = pet_plain_weight) {
    return add(scale_by(cross_entropy, 1.0 - weight), scale_by(plain, weight));
}

}  // namespace tare::train
