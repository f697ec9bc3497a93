#pragma once
// SPDX-License-Identifier: MIT
// Weighted sums of log softmax over chosen columns of each row, the row lying in several blocks of
// logits side by side: the cross-entropy with soft labels.
//     out[r] = sum_j weight[r, j] (z[r, column[r, j]] - max - log(sum_c exp(z[r, c] - max)))

#include <cmath>
#include <span>
#include <vector>

#include <tare/core/scalar.hpp>
#include <tare/ops/concept.hpp>
#include <tare/ops/gather.hpp>
#include <tare/ops/softmax_price.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

/// Chosen columns and their weights, row after row; row r has entries [begin[r], begin[r + 1]).
struct weighted_columns {
    std::vector<std::size_t> begin{0};
    std::vector<token> column;
    std::vector<float> weight;

    [[nodiscard]] std::size_t rows() const noexcept { return begin.size() - 1; }
    void add(token at, float share) {
        column.push_back(at);
        weight.push_back(share);
    }
    /// Closes the current row; add() fills the next one.
    void end_row() { begin.push_back(column.size()); }
};

namespace op {

/// Inputs: blocks (N, n_i) of logits; columns are numbered through. Result (N).
struct weighted_log_softmax {
    static constexpr std::string_view name = "weighted_log_softmax";
    weighted_columns chosen;

    shape result_shape(std::span<const shape> in) const {
        extent columns = 0;
        for (const shape& block : in) {
            require(block.rank() == 2 && block[0] == in[0][0], name, ": a block is ", block,
                    ", the first is ", in[0], "; all need the same rows");
            columns += block[1];
        }
        require(static_cast<extent>(chosen.rows()) == in[0][0], name, ": columns for ",
                chosen.rows(), " rows, logits have ", in[0][0]);
        for (const token c : chosen.column)
            require(c >= 0 && c < columns, name, ": column ", c, " of ", columns);
        return shape{in[0][0]};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>& keep) const {
        using std::exp;
        using std::log;
        const extent rows = in[0].extents[0];
        basic_tensor<Scalar> all(shape{2, rows});  // per row: maximum, sum
        const matrix_view<Scalar> statistics = all.mutable_view().matrix();
        for (extent r = 0; r < rows; ++r) {
            Scalar top = in[0].matrix()(r, 0);
            for (const array_view<const Scalar>& block : in)
                for (const Scalar& z : block.matrix().row(r))
                    if (top < z) top = z;
            Scalar sum{};
            for (const array_view<const Scalar>& block : in)
                for (const Scalar& z : block.matrix().row(r))
                    sum = sum + exp(z - top);
            const Scalar log_sum = log(sum);
            Scalar total{};
            for_each_choice(r, [&](token column, float weight) {
                total = total + Scalar(weight) * (at(in, r, column) - top - log_sum);
            });
            out[r] = total;
            statistics(0, r) = top;
            statistics(1, r) = sum;
        }
        if (keep.wanted) keep.tensors = {all};
    }
    /// dz_c = dout (weight of c - (sum of weights) softmax_c)
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>& kept,
                  gradient_views<Scalar> grad_in) const {
        using std::exp;
        const matrix_view<const Scalar> statistics = kept.tensors[0].view().matrix();
        for (extent r = 0; r < in[0].extents[0]; ++r) {
            double weights = 0.0;
            for_each_choice(r,
                            [&](token, float weight) { weights += static_cast<double>(weight); });
            const Scalar share = grad_out[r] * constant<Scalar>(weights) / statistics(1, r);
            for (std::size_t b = 0; b < in.size(); ++b) {
                if (!grad_in[b]) continue;
                for (extent c = 0; c < in[b].extents[1]; ++c) {
                    Scalar& grad = grad_in[b].matrix()(r, c);
                    grad = grad - share * exp(in[b].matrix()(r, c) - statistics(0, r));
                }
            }
            for_each_choice(r, [&](token column, float weight) {
                const auto [b, c] = place(in, column);
                if (!grad_in[b]) return;
                Scalar& grad = grad_in[b].matrix()(r, c);
                grad = grad + grad_out[r] * Scalar(weight);
            });
        }
    }
    price cost(std::span<const operand> in, const operand&) const {
        extent columns = 0;
        for (const operand& block : in)
            columns += block.extents[1];
        const extent rows = in[0].extents[0];
        const auto entries = static_cast<extent>(chosen.column.size());
        price p;
        charge_exponentials(p, rows, columns);
        return p.others("logarithm", rows)
            .additions("difference", 2 * entries)
            .multiplications("weights", entries)
            .additions("weighted sum", entries);
    }

  private:
    template <class F>
    void for_each_choice(extent r, F&& f) const {
        const auto row = static_cast<std::size_t>(r);
        for (std::size_t j = chosen.begin[row]; j < chosen.begin[row + 1]; ++j)
            f(chosen.column[j], chosen.weight[j]);
    }
    template <class Scalar>
    static std::pair<std::size_t, extent> place(input_views<Scalar> in, extent column) {
        std::size_t b = 0;
        while (column >= in[b].extents[1])
            column -= in[b++].extents[1];
        return {b, column};
    }
    template <class Scalar>
    static const Scalar& at(input_views<Scalar> in, extent r, extent column) {
        const auto [b, c] = place(in, column);
        return in[b].matrix()(r, c);
    }
};

}  // namespace op

/// Weighted sum of log softmax at the chosen columns of each row of the blocks, taken as one row.
/// **Shapes** blocks (N, n_i), chosen: N rows; result (N), in nats.
/// **Throws** tare::error on shapes and columns that do not fit.
template <class T>
[[nodiscard]] T weighted_log_softmax(std::span<const T> blocks, weighted_columns chosen) {
    std::vector<const T*> inputs;
    for (const T& block : blocks)
        inputs.push_back(&block);
    return apply_all(op::weighted_log_softmax{std::move(chosen)},
                     std::span<const T* const>(inputs));
}

}  // namespace tare
