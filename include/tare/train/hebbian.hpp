#pragma once
// SPDX-License-Identifier: MIT
// The Hebbian update of a softmax layer: after the optimizer's step the row of every class k that
// occurred moves towards the mean of the activations it was the target of, rescaled to its length:
//     lambda_k = max(1 / c_k, gamma) if c_k < T, else 0        c_k counts from 1
//     W_k <- (1 - lambda_k) W_k + lambda_k mean(g ||W_k|| / ||g||)
//     c_k <- c_k + occurrences
// The first occurrence of a class (c_k = 1) replaces its row. Source: Rae, Dyer, Dayan, Lillicrap
// 2018, section 3; constants of the WikiText-103 entry. (That entry's own code writes the result
// into a copy, so that only its counters ever move.)

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/view.hpp>
#include <tare/ops/gather.hpp>

namespace tare::train {

struct hebbian_update {
    double gamma = 0.01;  ///< least rate
    extent limit = 500;   ///< T: classes seen this often are left to the optimizer

    /// Rate of a class that was counted `count` times.
    [[nodiscard]] float rate(std::int64_t count) const noexcept {
        if (count >= limit) return 0.0F;
        return std::max(1.0F / static_cast<float>(count), static_cast<float>(gamma));
    }

    /// **Shapes** weight (classes, d); inputs (n, d), the layer's inputs at the n places whose
    /// target lies in it, in stream order; targets n classes; counters one for each class, 1 at
    /// first. Inputs of length zero have no direction and count as zeros.
    /// **Throws** tare::error on shapes that do not fit and on targets outside the layer.
    void operator()(matrix_view<float> weight, matrix_view<const float> inputs,
                    std::span<const token> targets, std::span<std::int64_t> counters) const {
        require(inputs.columns == weight.columns &&
                    inputs.rows == static_cast<extent>(targets.size()) &&
                    weight.rows == static_cast<extent>(counters.size()),
                "hebbian_update: weight ", weight.shape(), ", inputs ", inputs.shape(), ", ",
                targets.size(), " targets, ", counters.size(), " counters do not fit");
        const auto width = static_cast<std::size_t>(weight.columns);
        // Rows by class, each class in stream order: its sum then has one order.
        std::vector<std::pair<token, extent>> order;
        for (std::size_t r = 0; r < targets.size(); ++r) {
            require(targets[r] >= 0 && targets[r] < weight.rows, "hebbian_update: target ",
                    targets[r], " of ", weight.rows, " classes");
            order.emplace_back(targets[r], static_cast<extent>(r));
        }
        std::sort(order.begin(), order.end());
        std::vector<float> sum(width);
        for (std::size_t i = 0; i < order.size();) {
            const token k = order[i].first;
            const std::span<float> w = weight.row(k);
            const float length = norm(w);
            std::fill(sum.begin(), sum.end(), 0.0F);
            std::int64_t count = 0;
            for (; i < order.size() && order[i].first == k; ++i, ++count) {
                const std::span<const float> g = inputs.row(order[i].second);
                const float own = norm(g);
                if (own == 0.0F) continue;
                for (std::size_t c = 0; c < width; ++c)
                    sum[c] += g[c] * length / own;
            }
            std::int64_t& counter = counters[static_cast<std::size_t>(k)];
            const float share = rate(counter);
            counter += count;
            if (share == 0.0F) continue;
            for (std::size_t c = 0; c < width; ++c)
                w[c] = (1.0F - share) * w[c] + share * (sum[c] / static_cast<float>(count));
        }
    }

  private:
    static float norm(std::span<const float> x) {
        double total = 0.0;
        for (const float v : x)
            total += static_cast<double>(v) * static_cast<double>(v);
        return static_cast<float>(std::sqrt(total));
    }
};

}  // namespace tare::train
