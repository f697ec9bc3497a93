#pragma once
// SPDX-License-Identifier: MIT
// The logarithm of a softmax at one column per row, where a row may lie in several blocks of logits
// side by side, and its gradient. Nothing as large as the logits is written by the forward pass.
//     out_r = z_rt - m_r - ln s_r,   s_r = sum_c e^(z_rc - m_r),   m_r = max_c z_rc
//     d z_rc = g_r ([c = t] - e^(z_rc - m_r) / s_r)
// With one target a row this is the library's cross-entropy, its classes dealt out to several
// matrices, fused with its gradient: the gradient is one pass over the logits, without
// probabilities in between. It is a second call because g comes from what the caller does with the
// loss: means, annealing, a cache mixed in.

#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include <tare/kernels/row.hpp>
#include <tare/kernels/softmax.hpp>

namespace tare::kernels {

/// Blocks (N, n_i) of logits; columns are numbered through.
template <class Scalar>
using logit_blocks = std::span<const matrix_view<const Scalar>>;

/// Maximum and sum of exponentials of each row: what the gradient needs again.
template <class Scalar>
struct softmax_statistics {
    std::span<Scalar> maximum;
    std::span<Scalar> sum;
};

namespace plain {

/// out, statistics (N); targets are columns.
template <class Scalar>
void pick_log_softmax(logit_blocks<Scalar> blocks, std::span<const std::int32_t> targets,
                      std::span<Scalar> out, softmax_statistics<Scalar> statistics) {
    using std::exp;
    using std::log;
    for (std::size_t r = 0; r < out.size(); ++r) {
        const auto row = static_cast<extent>(r);
        Scalar top = blocks[0](row, 0);
        for (std::size_t b = 0; b < blocks.size(); ++b)
            for (extent c = b == 0 ? 1 : 0; c < blocks[b].columns; ++c)
                if (top < blocks[b](row, c)) top = blocks[b](row, c);
        Scalar sum{};
        Scalar picked{};
        extent column = 0;
        for (const matrix_view<const Scalar>& block : blocks)
            for (extent c = 0; c < block.columns; ++c, ++column) {
                const Scalar shifted = block(row, c) - top;
                if (column == targets[r]) picked = shifted;
                sum = column == 0 ? exp(shifted) : sum + exp(shifted);
            }
        out[r] = picked - log(sum);
        statistics.maximum[r] = top;
        statistics.sum[r] = sum;
    }
}

/// Adds the gradients to the wanted ones (those with memory).
template <class Scalar>
void pick_log_softmax_backward(logit_blocks<Scalar> blocks, std::span<const std::int32_t> targets,
                               softmax_statistics<const Scalar> statistics,
                               std::span<const Scalar> d_out,
                               std::span<const matrix_view<Scalar>> gradients) {
    using std::exp;
    for (std::size_t r = 0; r < d_out.size(); ++r) {
        const auto row = static_cast<extent>(r);
        const Scalar share = d_out[r] / statistics.sum[r];
        extent column = 0;
        for (std::size_t b = 0; b < blocks.size(); ++b)
            for (extent c = 0; c < blocks[b].columns; ++c, ++column) {
                if (gradients[b].data == nullptr) continue;
                Scalar& to = gradients[b](row, c);
                to = to - share * exp(blocks[b](row, c) - statistics.maximum[r]);
                if (column == targets[r]) to = to + d_out[r];
            }
    }
}

}  // namespace plain

namespace detail {

/// Calls body(block, column) for the block that a target lies in, column inside the block.
template <class Scalar, class Body>
void at_target(logit_blocks<Scalar> blocks, std::int32_t target, const Body& body) {
    extent column = target;
    for (std::size_t b = 0; b < blocks.size(); column -= blocks[b++].columns)
        if (column < blocks[b].columns) return body(b, column);
}

inline extent columns_of(logit_blocks<float> blocks) {
    extent columns = 0;
    for (const matrix_view<const float>& block : blocks)
        columns += block.columns;
    return columns;
}

/// Sound blocks of `rows` rows, a target among their columns for each, statistics for each.
template <class Scalar>
void require_picks(std::string_view function, logit_blocks<float> blocks, extent rows,
                   std::span<const std::int32_t> targets, softmax_statistics<Scalar> statistics) {
    extent columns = 0;
    for (const matrix_view<const float>& block : blocks) {
        require_view(function, "a block", block);
        if (block.rows != rows)
            fail(function, ": a block is (", block.rows, ",", block.columns, ") where ", rows,
                 " rows are asked for; all blocks have one row for each target");
        columns += block.columns;
    }
    require_size(function, "targets", targets, rows, "one per row");
    require_size(function, "statistics.maximum", statistics.maximum, rows, "one per row");
    require_size(function, "statistics.sum", statistics.sum, rows, "one per row");
    for (std::size_t r = 0; r < targets.size(); ++r)
        if (targets[r] < 0 || targets[r] >= columns)
            fail(function, ": target ", targets[r], " of row ", r, " is outside the ", columns,
                 " columns of the blocks");
}

}  // namespace detail

/// **Shapes** blocks (N, n_i), targets, out, statistics (N); 0 <= targets < sum of the n_i.
/// **NaN** a row with a NaN or +inf, or of -inf only, gives NaN.
/// **Accuracy** absolute error at most 2^-24 (2 |out| + C / 2048 + 44), C columns in all.
/// **Throws** tare::error on shapes that do not fit, a target outside the columns, overlap.
/// **Complexity/threads** rows in parallel, each summed in an order fixed by its lengths.
inline void pick_log_softmax(logit_blocks<float> blocks, std::span<const std::int32_t> targets,
                             std::span<float> out, softmax_statistics<float> statistics) {
    const auto rows = static_cast<extent>(out.size());
    const std::string_view name = "pick_log_softmax";
    detail::require_picks(name, blocks, rows, targets, statistics);
    detail::require_size(name, "out", out, rows, "one per row");
    detail::require_apart(name, "statistics.maximum", statistics.maximum, "out", out);
    detail::require_apart(name, "statistics.sum", statistics.sum, "out", out);
    detail::require_apart(name, "statistics.maximum", statistics.maximum, "statistics.sum",
                          statistics.sum);
    for (const matrix_view<const float>& block : blocks) {
        detail::require_apart(name, "a block", block, "out", out);
        detail::require_apart(name, "a block", block, "statistics.maximum", statistics.maximum);
        detail::require_apart(name, "a block", block, "statistics.sum", statistics.sum);
    }
    detail::each_row(rows, 6 * detail::columns_of(blocks), [&](extent r) {
        const auto at = static_cast<std::size_t>(r);
        float top = -std::numeric_limits<float>::infinity();
        for (const matrix_view<const float>& block : blocks)
            top = std::max(
                top, detail::row_max(block.row(r).data(), static_cast<std::size_t>(block.columns)));
        float sum = 0.0F;
        for (const matrix_view<const float>& block : blocks)
            sum += detail::row_exp_sum<false>(
                block.row(r).data(), static_cast<std::size_t>(block.columns), top, nullptr);
        statistics.maximum[at] = top;
        statistics.sum[at] = sum;
        detail::at_target(blocks, targets[at], [&](std::size_t b, extent c) {
            out[at] = (blocks[b](r, c) - top) - std::log(sum);
        });
    });
}

/// A gradient that is added to; one that holds nothing yet (`starts`) is written.
struct logit_gradient {
    matrix_view<float> to = {};
    bool starts = false;
};

/// Adds the gradients to those that have memory, or starts them. Shapes as above, d_out (N),
/// gradients as blocks. **Throws** as above.
inline void pick_log_softmax_backward(logit_blocks<float> blocks,
                                      std::span<const std::int32_t> targets,
                                      softmax_statistics<const float> statistics,
                                      std::span<const float> d_out,
                                      std::span<const logit_gradient> gradients) {
    const auto rows = static_cast<extent>(d_out.size());
    const std::string_view name = "pick_log_softmax_backward";
    detail::require_picks(name, blocks, rows, targets, statistics);
    if (gradients.size() != blocks.size())
        fail(name, ": ", gradients.size(), " gradients for ", blocks.size(),
             " blocks; pass a view without memory where none is wanted");
    for (std::size_t b = 0; b < blocks.size(); ++b) {
        if (gradients[b].to.data == nullptr) continue;
        detail::require_view(name, "a gradient", gradients[b].to);
        detail::require_same_shape(name, "a block", blocks[b], "its gradient", gradients[b].to);
        for (const matrix_view<const float>& block : blocks)
            detail::require_apart(name, "a block", block, "a gradient", gradients[b].to);
        for (std::size_t before = 0; before < b; ++before)
            detail::require_apart(name, "a gradient", gradients[before].to, "another",
                                  gradients[b].to);
        detail::require_all_apart(name, {{"a gradient", gradients[b].to}},
                                  {{"targets", targets},
                                   {"statistics.maximum", statistics.maximum},
                                   {"statistics.sum", statistics.sum},
                                   {"d_out", d_out}});
    }
    detail::each_row(rows, 6 * detail::columns_of(blocks), [&](extent r) {
        const auto at = static_cast<std::size_t>(r);
        const float share = d_out[at] / statistics.sum[at];
        const float top = statistics.maximum[at];
        for (std::size_t b = 0; b < blocks.size(); ++b) {
            if (gradients[b].to.data == nullptr) continue;
            const auto n = static_cast<std::size_t>(blocks[b].columns);
            const float* const z = blocks[b].row(r).data();
            float* const to = gradients[b].to.row(r).data();
            const auto less = [=](auto v, auto g) {
                return fnma(vector_math::exp_nonpositive(v - like(v, top)), like(v, share), g);
            };
            if (gradients[b].starts)
                detail::row_map([less](auto v) { return less(v, like(v, 0.0F)); }, to, n, z);
            else
                detail::row_map(less, to, n, z, to);
        }
        detail::at_target(blocks, targets[at], [&](std::size_t b, extent c) {
            if (gradients[b].to.data != nullptr) gradients[b].to(r, c) += d_out[at];
        });
    });
}

}  // namespace tare::kernels
