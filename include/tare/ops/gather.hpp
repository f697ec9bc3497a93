#pragma once
// SPDX-License-Identifier: MIT
// Rows by index, and rows back to their places: the data movement of embeddings and of softmaxes
// that treat tokens in groups. Moving data costs no operations.

#include <algorithm>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include <tare/kernels/gather.hpp>
#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

/// Index of a word in the vocabulary.
using token = std::int32_t;

namespace op {

/// out[r] = table[index[r]].
struct gather {
    static constexpr std::string_view name = "gather";
    std::vector<token> index;
    token frozen = -1;  ///< row that gets no gradient from here: padding; -1 for none

    /// Shapes: table (N, C), out (rows, C). Throws on an index outside the table.
    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 1 && in[0].rank() == 2, "gather: the table must have two axes");
        for (const token i : index)
            require(i >= 0 && i < in[0][0], "gather: index ", i, " is outside the table ", in[0]);
        require(frozen < in[0][0], "gather: the frozen row ", frozen, " is outside ", in[0]);
        return shape{static_cast<extent>(index.size()), in[0][1]};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::gather_rows(in[0].matrix(), index, out.matrix());
        } else {
            kernels::plain::gather_rows<Scalar>(in[0].matrix(), index, out.matrix());
        }
    }
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar>, array_view<const Scalar> grad_out,
                  const saved<Scalar>&, gradient_views<Scalar> grad_in) const {
        const matrix_view<Scalar> table = grad_in[0].matrix();
        std::vector<Scalar> kept;
        if (frozen >= 0) kept.assign(table.row(frozen).begin(), table.row(frozen).end());
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::scatter_add_rows(grad_out.matrix(), index, table);
        } else {
            kernels::plain::scatter_add_rows<Scalar>(grad_out.matrix(), index, table);
        }
        if (frozen >= 0) std::copy(kept.begin(), kept.end(), table.row(frozen).begin());
    }
    constexpr price cost(std::span<const operand>, const operand&) const {
        return free_of_charge();
    }
    /// Rows keep the width of their table.
    constexpr int result_bits(std::span<const operand> in) const { return in[0].bits; }
};

/// out[place[i][r]] = part_i[r]: the inverse of splitting rows into groups.
struct merge_rows {
    static constexpr std::string_view name = "merge_rows";
    std::vector<std::vector<token>> place;

    /// Shapes: part i (rows_i, C), out (sum of rows_i, C). Every row of out has one source.
    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == place.size(), "merge_rows: ", in.size(), " parts and ", place.size(),
                " lists of places");
        extent rows = 0;
        for (std::size_t i = 0; i < in.size(); ++i) {
            require(in[i].rank() == 2 && in[i][0] == static_cast<extent>(place[i].size()) &&
                        in[i][1] == in[0][1],
                    "merge_rows: part ", i, " is ", in[i], ", expected (", place[i].size(), ',',
                    in[0].columns(), ")");
            rows += in[i][0];
        }
        return shape{rows, in[0][1]};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        const extent width = out.extents.columns();
        for (std::size_t i = 0; i < in.size(); ++i)
            for (std::size_t r = 0; r < place[i].size(); ++r)
                std::copy_n(in[i].data + static_cast<extent>(r) * width, width,
                            out.data + place[i][r] * width);
    }
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar>, array_view<const Scalar> grad_out,
                  const saved<Scalar>&, gradient_views<Scalar> grad_in) const {
        const extent width = grad_out.extents.columns();
        for (std::size_t i = 0; i < grad_in.size(); ++i) {
            if (!grad_in[i]) continue;
            for (std::size_t r = 0; r < place[i].size(); ++r)
                for (extent c = 0; c < width; ++c) {
                    Scalar& to = grad_in[i][static_cast<extent>(r) * width + c];
                    to = to + grad_out[place[i][r] * width + c];
                }
        }
    }
    constexpr price cost(std::span<const operand>, const operand&) const {
        return free_of_charge();
    }
    constexpr int result_bits(std::span<const operand> in) const { return widest_bits(in); }
};

}  // namespace op

/// Rows of a table by index. **Shapes** table (N, C), result (index.size(), C).
/// Row `frozen` gets no gradient from here. **Throws** tare::error on an index outside the table.
/// **Cost** nothing.
template <class T>
[[nodiscard]] constexpr T gather(const T& table, std::span<const token> index, token frozen = -1) {
    return apply(op::gather{{index.begin(), index.end()}, frozen}, table);
}

/// Puts groups of rows back in order: result[place[i][r]] = parts[i][r]. **Cost** nothing.
template <class T>
[[nodiscard]] constexpr T merge_rows(std::span<const T> parts,
                                     std::vector<std::vector<token>> place) {
    std::vector<const T*> inputs;
    for (const T& part : parts)
        inputs.push_back(&part);
    return apply_all(op::merge_rows{std::move(place)}, std::span<const T* const>(inputs));
}

}  // namespace tare
