#pragma once
// SPDX-License-Identifier: MIT
// Sinusoidal positions, added to embeddings. Sines and cosines lie in halves, not interleaved:
//     t[p, i] = sin(p w_i),  t[p, h + i] = cos(p w_i),  w_i = 10000^(-i / (h - 1)),  h = d / 2
// with a last column of zeros for odd d and a row of zeros for padding. A token's position is
// `padding` plus the number of tokens of its stream up to and including it that are no padding.
// Source: Vaswani et al. 2017, section 3.5; arrangement and numbering of fairseq.

#include <cmath>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/core/scalar.hpp>
#include <tare/ops/concept.hpp>
#include <tare/ops/gather.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

/// Position of each token. **Shapes** words T x batch, time outermost; result likewise.
[[nodiscard]] constexpr std::vector<token> token_positions(std::span<const token> words,
                                                           extent batch, token padding) {
    std::vector<token> position(words.size(), padding);
    const auto streams = static_cast<std::size_t>(batch);
    for (std::size_t b = 0; b < streams; ++b) {
        token last = padding;
        for (std::size_t i = b; i < words.size(); i += streams)
            if (words[i] != padding) position[i] = ++last;
    }
    return position;
}

/// The table of positions: its width, and which of its columns are used.
struct sinusoid_columns {
    extent table_width = 0;     ///< d of the formula
    std::vector<token> kept{};  ///< the columns used, in order; empty for the leading ones
    token padding = 1;          ///< the position whose row is zero

    /// The used columns of a position's row. **Accuracy** computed in double, rounded once.
    void row(token position, std::span<double> to) const {
        const extent half = table_width / 2;
        for (std::size_t c = 0; c < to.size(); ++c) {
            const extent column = kept.empty() ? static_cast<extent>(c) : kept[c];
            to[c] = 0.0;
            if (position == padding || column >= 2 * half) continue;
            const auto i = static_cast<double>(column % half);
            const double steps = half > 1 ? static_cast<double>(half - 1) : 1.0;
            const double angle = position * std::exp(-std::log(10000.0) * i / steps);
            to[c] = column < half ? std::sin(angle) : std::cos(angle);
        }
    }
};

namespace op {

/// Input x (..., d), a row for each entry of `position`. Result x + t[position].
struct add_sinusoids {
    static constexpr std::string_view name = "add_sinusoids";
    static constexpr bool starts_gradients = true;
    std::vector<token> position;
    sinusoid_columns columns;

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in[0].rows() == static_cast<extent>(position.size()), name, ": x is ", in[0],
                " for ", position.size(), " positions");
        const extent d = in[0].columns();
        require(columns.kept.empty() ? d <= columns.table_width
                                     : d == static_cast<extent>(columns.kept.size()),
                name, ": x is ", in[0], ", the table has ", columns.table_width, " columns, ",
                columns.kept.size(), " of them listed");
        for (const token p : position)
            require(p >= 0, name, ": position ", p, "; positions start at 0");
        for (const token c : columns.kept)
            require(c >= 0 && c < columns.table_width, name, ": column ", c, " of a table of ",
                    columns.table_width);
        return in[0];
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        const auto d = static_cast<std::size_t>(in[0].extents.columns());
        // Streams share positions: each row is made once.
        std::vector<std::vector<double>> rows;
        for (std::size_t r = 0; r < position.size(); ++r) {
            const auto p = static_cast<std::size_t>(position[r]);
            if (p >= rows.size()) rows.resize(p + 1);
            if (rows[p].empty()) {
                rows[p].resize(d);
                columns.row(position[r], rows[p]);
            }
            for (std::size_t c = 0; c < d; ++c) {
                const auto i = static_cast<extent>(r * d + c);
                out[i] = in[0][i] + constant<Scalar>(rows[p][c]);
            }
        }
    }
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar>, array_view<const Scalar> grad_out,
                  const saved<Scalar>&, gradient_views<Scalar> grad_in) const {
        add_to(grad_in[0], grad_out.span());
    }
    /// The sines are constants of the architecture, made by no input: only their sum is charged.
    constexpr price cost(std::span<const operand>, const operand& out) const {
        price p;
        p.contraction(out.extents.columns(), out.extents.rows());
        return p.additions("positions", out.extents.size());
    }
};

}  // namespace op

/// x plus the rows of its positions. **Shapes** x (..., d), a position for each row.
/// **Cost** one addition an element. **Throws** tare::error on what does not fit.
template <class T>
[[nodiscard]] constexpr T add_sinusoids(const T& x, std::vector<token> position,
                                        sinusoid_columns columns) {
    return apply(op::add_sinusoids{std::move(position), std::move(columns)}, x);
}

}  // namespace tare
