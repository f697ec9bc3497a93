#pragma once
// SPDX-License-Identifier: MIT
// The simplified task of PET's warm-up: instead of a word, a student predicts how a teacher fared
// at it. Four classes from the teacher's largest probability and whether it is the target's:
//     0 right and above 0.9    1 right    2 wrong and above 0.7    3 wrong
// against the student's log probabilities of ops/confidence_classes.hpp, with smoothed labels.
// Source: PET, PLOS ONE 18(7) e0288060 (2023), and its code.

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/tensor.hpp>
#include <tare/ops/confidence_classes.hpp>
#include <tare/train/label_smoothing.hpp>

namespace tare::train {

/// Probabilities from which on a teacher counts as sure.
struct simplified_task_limits {
    double right = 0.9;
    double wrong = 0.7;
};

/// The class of each row; -1 (none) where a target is -1. **Shapes** teacher (N, n), targets N.
/// **Throws** tare::error on shapes and targets that do not fit.
[[nodiscard]] inline std::vector<token> simplified_labels(const tensor& teacher,
                                                          std::span<const token> targets,
                                                          simplified_task_limits limits = {}) {
    require(teacher.shape().rank() == 2 && teacher.shape().columns() > 0 &&
                teacher.shape()[0] == static_cast<extent>(targets.size()),
            "simplified_labels: logits ", teacher.shape(), " for ", targets.size(), " targets");
    std::vector<token> out;
    for (std::size_t r = 0; r < targets.size(); ++r) {
        if (targets[r] == -1) {
            out.push_back(-1);
            continue;
        }
        const std::span<const float> z = teacher.view().matrix().row(static_cast<extent>(r));
        require(targets[r] >= 0 && targets[r] < static_cast<token>(z.size()),
                "simplified_labels: target ", targets[r], " of ", z.size(),
                " classes; -1 for a row without one");
        const auto top = std::max_element(z.begin(), z.end());
        double sum = 0.0;
        for (const float v : z)
            sum += std::exp(static_cast<double>(v) - static_cast<double>(*top));
        const bool right = top - z.begin() == targets[r];
        const bool sure = 1.0 / sum > (right ? limits.right : limits.wrong);
        out.push_back((right ? 0 : 2) + (sure ? 0 : 1));
    }
    return out;
}

/// The labels that the published code makes: it stores the class where its list of limits was, so
/// that every label is 0. Nothing was trained with them (its warm-up has no gradients).
[[nodiscard]] inline std::vector<token> published_simplified_labels(std::size_t rows) {
    return std::vector<token>(rows, 0);
}

/// Rows in each class as the published code counts them: what is wrong and sure, class 2, counts
/// in class 3 too. **Throws** tare::error on a label outside 0 to 3.
[[nodiscard]] inline std::array<extent, 4>
published_simplified_statistics(std::span<const token> labels) {
    std::array<extent, 4> out{};
    for (const token label : labels) {
        require(label >= 0 && label < 4, "published_simplified_statistics: label ", label,
                "; expected 0 to 3");
        ++out[static_cast<std::size_t>(label)];
    }
    out[3] += out[2];
    return out;
}

/// The loss of the student: smoothed cross-entropy of its four log probabilities, summed over the
/// rows whose label is not -1. What the published code does: rows of padding take part, those of
/// class 1 do not, since it has the number of the padding (without_padding(labels, 1)), and the
/// smoothing is shared by the number of sentences (label_smoothing::over_others(e, sentences)).
/// **Shapes** log_probabilities (N, 4) of confidence_classes(), labels N; result a single number.
/// **Throws** tare::error on shapes and labels that do not fit.
template <class T>
[[nodiscard]] T simplified_loss(const T& log_probabilities, std::span<const token> labels,
                                const label_smoothing& label) {
    require(log_probabilities.shape() == shape{static_cast<extent>(labels.size()), 4},
            "simplified_loss: log probabilities ", log_probabilities.shape(), " for ",
            labels.size(), " labels; expected four in each row");
    std::vector<double> weights(4 * labels.size(), 0.0);
    for (std::size_t r = 0; r < labels.size(); ++r) {
        require(labels[r] >= -1 && labels[r] < 4, "simplified_loss: label ", labels[r],
                "; expected 0 to 3, or -1 for none");
        if (labels[r] == -1) continue;
        std::fill_n(weights.begin() + static_cast<std::ptrdiff_t>(4 * r), 4, -label.every);
        weights[4 * r + static_cast<std::size_t>(labels[r])] -= label.target;
    }
    return weighted_sum(log_probabilities, std::move(weights));
}

}  // namespace tare::train
