#pragma once
// SPDX-License-Identifier: MIT
// Layer normalisation of rows, forward and backward, with an optional weight per column.
//   y = (x - mean) * rstd * gamma + beta,  rstd = 1 / sqrt(variance + eps) (denominator::inside)
//                                          rstd = 1 / (sqrt(variance) + eps) (denominator::outside)
//   mean = sum(w x) / sum(w),  variance = sum(w (x - mean)^2) / sum(w),  w = 1 unless given.
// Sources: Ba, Kiros, Hinton 2016, section 3 (plain kind, biased variance); Park, Choi, Kang 2022
// ("SRP", weighted kind with the mask as weight and eps outside the root).
// A row is read from the near caches: sum, squared deviations (two passes keep every digit that
// one pass would cancel), result. Sums have the fixed order of core/pack.hpp.

#include <cmath>
#include <span>
#include <type_traits>
#include <vector>

#include <tare/core/aligned.hpp>
#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/elementwise.hpp>
#include <tare/kernels/softmax.hpp>

namespace tare::kernels {

/// Where eps stands.
enum class denominator {
    inside,   ///< sqrt(variance + eps)
    outside,  ///< sqrt(variance) + eps
};

/// What a layer norm keeps for its gradient: one value a row each. Spans may be empty when no
/// gradient is wanted.
struct layer_norm_saved {
    std::span<float> mean;
    std::span<float> rstd;
};

/// Normalises each row. Shapes x, y (R, C), gamma, beta (C); `y` may be `x`. `weight` (C) is empty
/// for the plain kind. Empty gamma or beta mean 1 and 0.
/// NaN: a row with NaN or infinity becomes NaN; a sum of weights of 0 gives NaN.
/// Accuracy: |error| <= 8 * 2^-24 (|y| + |gamma| max|x - mean| rstd) for rows whose deviation is
/// not tiny beside their mean.
/// Throws on shapes that do not fit or half overlapping memory.
inline void layer_norm(matrix_view<const float> x, std::span<const float> gamma,
                       std::span<const float> beta, float eps, matrix_view<float> y,
                       layer_norm_saved saved = {}, std::span<const float> weight = {},
                       denominator kind = denominator::inside);

/// Where the gradients go; empty spans and a null view are not computed.
struct layer_norm_gradients {
    matrix_view<float> x;         ///< (R, C), written; may be `dy`
    std::span<float> gamma = {};  ///< (C), added to
    std::span<float> beta = {};   ///< (C), added to
};

/// Gradients of layer_norm. Shapes x, dy (R, C), gamma (C) or empty, mean, rstd (R) as saved.
///   g = dy gamma,  h = (x - mean) rstd,
///   dx = rstd (g - w / sum(w) (sum(g) + h k sum(g h))),  k = 1 inside, sd + eps over sd outside
///   dgamma += sum over rows of dy h,  dbeta += sum over rows of dy.
/// The weights themselves are taken as constants. Column sums run over blocks of 64 rows, in order.
inline void layer_norm_backward(matrix_view<const float> x, std::span<const float> gamma,
                                std::span<const float> mean, std::span<const float> rstd,
                                matrix_view<const float> dy, layer_norm_gradients gradients,
                                std::span<const float> weight = {},
                                denominator kind = denominator::inside, float eps = 0.0F);

}  // namespace tare::kernels
