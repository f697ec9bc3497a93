#pragma once
// SPDX-License-Identifier: MIT
// Four classes out of a distribution over many: how sure a model is (m, its largest probability)
// times whether it is right (y, its probability of the target).
//     out = (ln m y, ln (1 - m) y, ln m (1 - y), ln (1 - m) (1 - y)),  p = softmax(z)
//     dz_c = [c = top] u + [c = target] v - p_c (u + v)
//     u = (d0 + d2) - (d1 + d3) m / (1 - m),  v = (d0 + d1) - (d2 + d3) y / (1 - y)
// No safeguard: a probability of exactly 1 gives -inf, as the published code does.
// Source: PET, PLOS ONE 18(7) e0288060 (2023): the student's side of its simplified task.

#include <cmath>
#include <span>
#include <type_traits>
#include <vector>

#include <tare/core/parallel.hpp>
#include <tare/core/scalar.hpp>
#include <tare/ops/concept.hpp>
#include <tare/ops/gather.hpp>
#include <tare/ops/softmax_price.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Input z (N, n) logits. Result (N, 4).
struct confidence_classes {
    static constexpr std::string_view name = "confidence_classes";
    std::vector<token> target;

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in[0].rank() == 2 && in[0][1] >= 2, name, ": logits are ", in[0],
                "; expected (rows, at least 2 classes)");
        require(static_cast<extent>(target.size()) == in[0][0], name, ": ", target.size(),
                " targets for ", in[0][0], " rows");
        for (const token t : target)
            require(t >= 0 && t < in[0][1], name, ": target ", t, " of ", in[0][1], " classes");
        return shape{in[0][0], 4};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        using std::log;
        each_row(in[0].matrix(), [&](extent r, std::span<const Scalar> z) {
            const confidence<Scalar> at(z, target[static_cast<std::size_t>(r)]);
            const Scalar sure = log(at.most);
            const Scalar unsure = log(at.less_than_most);
            const Scalar right = log(at.correct);
            const Scalar wrong = log(at.less_than_correct);
            const std::span<Scalar> row = out.matrix().row(r);
            row[0] = sure + right;
            row[1] = unsure + right;
            row[2] = sure + wrong;
            row[3] = unsure + wrong;
        });
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        using std::exp;
        each_row(in[0].matrix(), [&](extent r, std::span<const Scalar> z) {
            const std::size_t t = static_cast<std::size_t>(target[static_cast<std::size_t>(r)]);
            const confidence<Scalar> at(z, static_cast<token>(t));
            const std::span<const Scalar> d = grad_out.matrix().row(r);
            const Scalar u = (d[0] + d[2]) - (d[1] + d[3]) * at.most / at.less_than_most;
            const Scalar v = (d[0] + d[1]) - (d[2] + d[3]) * at.correct / at.less_than_correct;
            const std::span<Scalar> dz = grad_in[0].matrix().row(r);
            for (std::size_t c = 0; c < z.size(); ++c)
                dz[c] = dz[c] - (u + v) * exp(z[c] - z[at.top]) / at.sum;
            dz[at.top] = dz[at.top] + u;
            dz[t] = dz[t] + v;
        });
    }
    /// As for rows whose target is not on top.
    constexpr price cost(std::span<const operand> in, const operand&) const {
        const extent rows = in[0].extents[0];
        const extent n = in[0].extents[1];
        price p;
        return charge_exponentials(p, rows, n)
            .additions("all but the target", rows)
            .others("division", 4 * rows)
            .others("logarithm", 4 * rows)
            .additions("products", 4 * rows);
    }

  private:
    /// m, 1 - m, y and 1 - y of one row. 1 - m is the sum of what is left, so that a probability
    /// near 1 does not cancel.
    template <class Scalar>
    struct confidence {
        std::size_t top = 0;
        Scalar sum, most, less_than_most, correct, less_than_correct;

        confidence(std::span<const Scalar> z, token target) {
            using std::exp;
            const auto t = static_cast<std::size_t>(target);
            for (std::size_t c = 1; c < z.size(); ++c)
                if (z[top] < z[c]) top = c;
            std::vector<Scalar> e(z.size());
            for (std::size_t c = 0; c < z.size(); ++c)
                e[c] = exp(z[c] - z[top]);
            const std::size_t first = top == 0 ? 1 : 0;
            wide<Scalar> others = wide<Scalar>(e[first]);
            for (std::size_t c = first + 1; c < z.size(); ++c)
                if (c != top) others = others + wide<Scalar>(e[c]);
            const Scalar rest = static_cast<Scalar>(others);
            sum = rest + e[top];
            most = e[top] / sum;
            less_than_most = rest / sum;
            correct = e[t] / sum;
            // The sum holds the top's 1 as well: nothing cancels.
            less_than_correct = t == top ? less_than_most : (sum - e[t]) / sum;
        }
    };

    /// Rows in parallel. The task is that of a warm-up of a few epochs: plain loops serve.
    template <class Scalar, class Body>
    static void each_row(matrix_view<const Scalar> z, const Body& body) {
        parallel_for(z.rows, 1, 20 * z.columns, [&](extent begin, extent end) {
            for (extent r = begin; r < end; ++r)
                body(r, z.row(r));
        });
    }
};

}  // namespace op

/// Log probabilities (N, 4) of: sure and right, unsure and right, sure and wrong, unsure and wrong.
/// **Shapes** logits (N, n), n >= 2; target N classes. **NaN** a probability of 1 gives -inf.
/// **Throws** tare::error on shapes and targets that do not fit.
template <class T>
[[nodiscard]] constexpr T confidence_classes(const T& logits, std::vector<token> target) {
    return apply(op::confidence_classes{std::move(target)}, logits);
}

}  // namespace tare
