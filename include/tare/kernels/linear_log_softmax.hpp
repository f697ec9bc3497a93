#pragma once
// SPDX-License-Identifier: MIT
// The logarithm of softmax(x W^T + b) at one column per row, without the matrix of logits: with a
// vocabulary of columns it would be larger than any cache and hundreds of times the model.
//     z = x W^T + b,   out_r = z_rt - m_r - ln sum_c e^(z_rc - m_r),   m_r = max_c z_rc
//
// Columns are cut into stretches whose packed weights stay in the second-level cache, rows into
// blocks whose logits do; where the depth is small, logits are made row by row in the first cache.
// Each (row, stretch) leaves its maximum and its sum; they are joined in
// order of the stretches. All cuts depend on the sizes alone: any number of threads gives the same
// bits. The plain version is pick_log_softmax on the product (kernels/pick_log_softmax.hpp).

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <span>
#include <vector>

#include <tare/kernels/pick_log_softmax.hpp>
#include <tare/kernels/piecewise_softmax.hpp>
#include <tare/kernels/prepared_matrix.hpp>
#include <tare/kernels/thin_row.hpp>

namespace tare::kernels {

/// A matrix that hands out columns in the layout of a prepared_matrix: it has them, or it unpacks
/// them into memory of the calling thread. `first` is a multiple of the strips' width.
template <class M>
concept strip_source = requires(const M& m, extent first, extent columns) {
    { m.depth() } -> std::convertible_to<extent>;
    { m.columns() } -> std::convertible_to<extent>;
    { m.strips_of_columns(first, columns) } -> std::convertible_to<const float*>;
};

namespace detail {

/// Stretches of columns and groups of rows of one call.
struct logit_cuts {
    static constexpr extent group_rows = 512;
    static constexpr extent block_rows = 48;
    static constexpr extent stretch_floats = 64 * 1024;  ///< packed weights: 256 KiB
    static constexpr extent most_columns = 1024;         ///< logits of a block: 192 KiB

    extent strips;   ///< of a stretch
    extent columns;  ///< of a stretch
    extent stretches;
    extent groups;

    logit_cuts(extent rows, extent depth, extent all_columns)
        : strips(std::clamp<extent>(stretch_floats / std::max<extent>(depth, 1), strip_columns,
                                    most_columns) /
                 strip_columns),
          columns(strips * strip_columns),
          stretches((all_columns + columns - 1) / columns),
          groups((rows + group_rows - 1) / group_rows) {}
};

}  // namespace detail

/// **Shapes** x (N, K); w the W, K to C, in strips; bias (C); more (N, E): logits of E further
/// columns, or no data for none; targets (N), 0 <= target < C + E; out (N), in nats.
/// statistics (N) or empty: maximum and sum of exponentials of each row, for a gradient.
/// **NaN** a row with a NaN or +inf, or of -inf only, gives NaN.
/// **Accuracy** the logits' own error (see matmul), and 2^-24 (2 |out| + (C + E) / 2048 + 46).
/// **Throws** tare::error on shapes that do not fit, bad views, a target outside, and where an
/// output overlaps anything else.
template <strip_source Matrix>
void linear_log_softmax(matrix_view<const float> x, const Matrix& w, std::span<const float> bias,
                        matrix_view<const float> more, std::span<const std::int32_t> targets,
                        std::span<float> out, softmax_statistics<float> statistics = {}) {
    constexpr auto name = "linear_log_softmax";
    detail::require_view(name, "x", x);
    require(x.columns == w.depth() && w.columns() > 0, name, ": x is (", x.rows, ',', x.columns,
            "), w takes ", w.depth(), " to ", w.columns(), " columns; the depth must be x's");
    detail::require_size(name, "bias", bias, w.columns(), "one for each column of logits");
    detail::require_size(name, "targets", targets, x.rows, "one for each row of x");
    detail::require_size(name, "out", out, x.rows, "one for each row of x");
    if (more.data != nullptr) detail::require_view(name, "more", more);
    require(more.data == nullptr || more.rows == x.rows, name, ": more is (", more.rows, ',',
            more.columns, "), x has ", x.rows, " rows; they must be equal");
    const extent extra = more.data == nullptr ? 0 : more.columns;
    for (const std::int32_t t : targets)
        require(t >= 0 && t < w.columns() + extra, name, ": target ", t, " of ",
                w.columns() + extra, " columns");
    detail::require_all_apart(name,
                              {{"out", out},
                               {"statistics.maximum", statistics.maximum},
                               {"statistics.sum", statistics.sum}},
                              {{"x", x}, {"bias", bias}, {"more", more}, {"targets", targets}});
    const bool keeps = !statistics.maximum.empty() || !statistics.sum.empty();
    if (keeps) {
        detail::require_size(name, "statistics.maximum", statistics.maximum, x.rows, "one per row");
        detail::require_size(name, "statistics.sum", statistics.sum, x.rows, "one per row");
    }

    const detail::logit_cuts cuts(x.rows, w.depth(), w.columns());
    const auto rows = static_cast<std::size_t>(x.rows);
    std::vector<softmax_part> parts(static_cast<std::size_t>(cuts.stretches) * rows);
    const auto block = [&](extent stretch, const float* strips, extent begin, extent end) {
        const extent first = stretch * cuts.columns;
        const extent columns = std::min(cuts.columns, w.columns() - first);
        float* const memory = detail::scratch(1, cuts.block_rows * cuts.columns);
        const matrix_view<float> z(memory, end - begin, columns, cuts.columns);
        const auto n = static_cast<std::size_t>(columns);
        const auto part_bias = bias.subspan(static_cast<std::size_t>(first), n);
        const auto reduce = [&](extent r, const float* row) {
            const auto at = static_cast<std::size_t>(r);
            const float top = detail::row_max(row, n);
            parts[static_cast<std::size_t>(stretch) * rows + at] = {
                top, detail::row_exp_sum<false>(row, n, top, nullptr)};
            const extent column = targets[at] - first;
            if (column >= 0 && column < columns) out[at] = row[column];
        };
        if (w.depth() <= thin_depth) {
            for (extent r = begin; r < end; ++r) {
                thin_row(x.row(r), strips, part_bias, {memory, n});
                reduce(r, memory);
            }
            return;
        }
        detail::multiply_cell({0, z.rows, 0, detail::strips_of(columns)}, w.depth(),
                              {x.rows_between(begin, end), false},
                              detail::packed_right{strips, w.depth()}, z, false,
                              add_bias(part_bias));
        for (extent r = begin; r < end; ++r)
            reduce(r, z.row(r - begin).data());
    };
    const extent work = std::min(x.rows, cuts.group_rows) * cuts.columns *
                        (w.depth() / detail::multiplications_per_unit + 6);
    parallel_for(cuts.stretches * cuts.groups, 1, work, [&](extent begin, extent end) {
        for (extent unit = begin; unit < end; ++unit) {
            const extent from = unit % cuts.groups * cuts.group_rows;
            const extent to = std::min(from + cuts.group_rows, x.rows);
            const extent stretch = unit / cuts.groups;
            const extent first = stretch * cuts.columns;
            const float* const strips =
                w.strips_of_columns(first, std::min(cuts.columns, w.columns() - first));
            for (extent r = from; r < to; r += cuts.block_rows)
                block(stretch, strips, r, std::min(r + cuts.block_rows, to));
        }
    });
    parallel_for(x.rows, 1, 40 * cuts.stretches, [&](extent begin, extent end) {
        for (extent r = begin; r < end; ++r) {
            const auto at = static_cast<std::size_t>(r);
            softmax_part all;
            for (extent s = 0; s < cuts.stretches; ++s)
                all = join(all, parts[static_cast<std::size_t>(s) * rows + at]);
            for (extent c = 0; c < extra; ++c)
                all = join(all, {more(r, c), 1.0F});
            if (targets[at] >= w.columns()) out[at] = more(r, targets[at] - w.columns());
            out[at] = (out[at] - all.maximum) - std::log(all.sum);
            if (!keeps) continue;
            statistics.maximum[at] = all.maximum;
            statistics.sum[at] = all.sum;
        }
    });
}

}  // namespace tare::kernels
