#pragma once
// SPDX-License-Identifier: MIT
// Backward against central differences, in double, for any operation.

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <tare/core/random.hpp>
#include <tare/readings/gradient.hpp>

namespace tare::testing {

/// Largest difference between the gradient that `op` gives and the difference quotient, relative to
/// the larger of 1 and the quotient, over all elements of all inputs. The loss is a fixed random
/// weighting of the result, so that no two errors cancel.
/// Only the first `differentiated` inputs are looked at; the others get no gradient.
/// With a step h the quotient is off by f''' h^2 / 6 + eps / h: about 1e-9 at h = 1e-5 for
/// functions whose third derivative is of the order of one.
template <class Op>
[[nodiscard]] double gradient_error(const Op& op, std::vector<basic_tensor<double>> inputs,
                                    std::size_t differentiated = static_cast<std::size_t>(-1)) {
    constexpr double step = 1e-5;
    differentiated = std::min(differentiated, inputs.size());
    const auto run = [&](saved<double>& keep) {
        std::vector<const basic_tensor<double>*> pointers;
        for (const basic_tensor<double>& input : inputs)
            pointers.push_back(&input);
        return run_forward(op, std::span<const basic_tensor<double>* const>(pointers), keep);
    };
    saved<double> keep;
    keep.wanted = true;
    const basic_tensor<double> out = run(keep);
    const random_stream random(11, 3);
    basic_tensor<double> weights(out.shape());
    for (std::size_t i = 0; i < weights.values().size(); ++i)
        weights.mutable_values()[i] = 2.0 * static_cast<double>(random.uniform(i)) - 1.0;
    const auto loss = [&] {
        saved<double> ignored;
        const basic_tensor<double> y = run(ignored);
        double sum = 0.0;
        for (std::size_t i = 0; i < y.values().size(); ++i)
            sum += y.values()[i] * weights.values()[i];
        return sum;
    };

    std::vector<basic_tensor<double>> gradients;
    std::vector<array_view<const double>> views;
    std::vector<gradient_view<double>> grad_views;
    for (const basic_tensor<double>& input : inputs) {
        gradients.emplace_back(input.shape(), 0.0);
        views.push_back(input.view());
    }
    for (std::size_t i = 0; i < inputs.size(); ++i)
        if (i < differentiated)
            grad_views.emplace_back(gradients[i].mutable_view());
        else
            grad_views.emplace_back();
    op.backward(input_views<double>(views), array_view<const double>(out.view()),
                array_view<const double>(weights.view()), keep, gradient_views<double>(grad_views));
    if constexpr (starts_gradients<Op>) {
        // Started on elements that hold nothing, they must be what adding to zeros gives.
        std::vector<basic_tensor<double>> started;
        std::vector<gradient_view<double>> start_views(grad_views.size());
        for (std::size_t i = 0; i < differentiated; ++i) {
            started.emplace_back(inputs[i].shape(), std::numeric_limits<double>::quiet_NaN());
            start_views[i] = {started[i].mutable_view(), true};
        }
        op.backward(input_views<double>(views), array_view<const double>(out.view()),
                    array_view<const double>(weights.view()), keep,
                    gradient_views<double>(start_views));
        for (std::size_t i = 0; i < differentiated; ++i)
            for (std::size_t e = 0; e < started[i].values().size(); ++e)
                if (!(started[i].values()[e] == gradients[i].values()[e]))
                    return std::numeric_limits<double>::infinity();
    }

    double worst = 0.0;
    for (std::size_t i = 0; i < differentiated; ++i)
        for (std::size_t e = 0; e < inputs[i].values().size(); ++e) {
            double& x = inputs[i].mutable_values()[e];
            const double kept = x;
            x = kept + step;
            const double above = loss();
            x = kept - step;
            const double below = loss();
            x = kept;
            const double quotient = (above - below) / (2.0 * step);
            worst = std::max(worst, std::abs(quotient - gradients[i].values()[e]) /
                                        std::max(1.0, std::abs(quotient)));
        }
    return worst;
}

}  // namespace tare::testing
