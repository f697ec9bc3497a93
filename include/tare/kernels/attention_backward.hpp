#pragma once
// SPDX-License-Identifier: MIT
// Gradients of ordinary multi-head attention (formulas in attention_plain.hpp), in float, from the
// probabilities that the forward call saved. Per head the queries are walked in groups: block by
// block the gradients of the scores and of the queries, then, for the whole group, the sums over
// queries that are the gradients of keys and values.

#include <tare/kernels/attention.hpp>

namespace tare::kernels {

namespace detail {

/// One head, all queries.
template <class Points>
class attention_gradient_rows {
  public:
    attention_gradient_rows(const attention_layout& layout, const attention_inputs<float>& in,
                            matrix_view<const float> probabilities, matrix_view<const float> d_out,
                            const attention_gradients<float>& gradients, const Points& points)
        : layout_(layout),
          in_(in),
          probabilities_(probabilities),
          d_out_(d_out),
          gradients_(gradients),
          points_(points),
          key_columns_(padded_width(layout.key_width)),
          value_columns_(padded_width(layout.value_width)),
          reach_(round_up(layout.keys + band_rows, pack_width)),
          value_stride_(spread_stride(reach_)) {}

    void run(extent b, extent h) {
        const attention_operands operands(layout_, in_, b);
        arrange();
        operands.padded(in_.keys, h, layout_.key_width, keys_, key_columns_, reach_);
        operands.transposed(in_.values, h, layout_.value_width, values_, value_stride_);
        std::fill_n(d_keys_, reach_ * key_columns_, 0.0F);
        std::fill_n(d_values_, reach_ * value_columns_, 0.0F);
        for (extent begin = 0; begin < layout_.queries; begin += group) {
            const extent end = std::min(begin + group, layout_.queries);
            const extent count = end - begin;
            pack_padded(operands.head(in_.queries, begin, h, layout_.key_width),
                        in_.queries.stride * layout_.batch, count, layout_.key_width, queries_,
                        key_columns_);
            pack_padded(operands.head(d_out_, begin, h, layout_.value_width),
                        d_out_.stride * layout_.batch, count, layout_.value_width, d_rows_,
                        value_columns_);
            // A last block with fewer rows is computed whole: its missing rows have no gradient.
            std::fill(d_rows_ + count * value_columns_,
                      d_rows_ + round_up(count, band_rows) * value_columns_, 0.0F);
            for (extent i = begin; i < end; i += band_rows)
                row_block(b, h, i, begin, end);
            const extent seen = visible_keys(layout_, end - 1);
            for (extent j = 0; j < seen; j += band_rows) {
                product<false>(count, d_scores_ + j, reach_, queries_, key_columns_,
                               d_keys_ + j * key_columns_, key_columns_,
                               (layout_.key_width + lanes - 1) / lanes, true);
                product<false>(count, weights_ + j, reach_, d_rows_, value_columns_,
                               d_values_ + j * value_columns_, value_columns_,
                               (layout_.value_width + lanes - 1) / lanes, true);
            }
        }
        for (extent j = 0; j < layout_.keys; ++j) {
            const extent row = j * layout_.batch + b;
            const bool forbidden = operands.forbidden(j);
            float* const dk = &gradients_.keys(row, h * layout_.key_width);
            float* const dv = &gradients_.values(row, h * layout_.value_width);
            for (extent c = 0; c < layout_.key_width; ++c)
                dk[c] = forbidden ? 0.0F : d_keys_[j * key_columns_ + c];
            for (extent c = 0; c < layout_.value_width; ++c)
                dv[c] = forbidden ? 0.0F : d_values_[j * value_columns_ + c];
        }
    }

  private:
    /// Queries whose score gradients are kept until keys and values take their sums.
    static constexpr extent group = 64;

    /// Deals out the scratch memory.
    void arrange() {
        const extent sizes[] = {group * key_columns_,  group * value_columns_,
                                group * reach_,        group * reach_,
                                reach_ * key_columns_, layout_.value_width * value_stride_,
                                reach_ * key_columns_, reach_ * value_columns_,
                                band_rows * reach_,    reach_};
        float** const blocks[] = {&queries_, &d_rows_, &d_scores_, &weights_, &keys_,
                                  &values_,  &d_keys_, &d_values_, &raw_,     &row_};
        extent total = 0;
        for (const extent size : sizes)
            total += round_up(size, pack_width);
        float* next = scratch(total);
        for (std::size_t i = 0; i < std::size(sizes); ++i) {
            *blocks[i] = next;
            next += round_up(sizes[i], pack_width);
        }
    }

    /// Queries i .. i + band_rows - 1: gradients of their scores, and of themselves.
    void row_block(extent b, extent h, extent i, extent begin, extent end) {
        const extent rows = std::min<extent>(band_rows, end - i);
        const extent seen = visible_keys(layout_, i + rows - 1);
        const extent width = round_up(seen, pack_width);
        product<true>(layout_.value_width, d_rows_ + (i - begin) * value_columns_, value_columns_,
                      values_, value_stride_, raw_, reach_, width / lanes);
        float* const ds = d_scores_ + (i - begin) * reach_;
        float* const w = weights_ + (i - begin) * reach_;
        for (extent r = 0; r < band_rows; ++r) {
            // Columns beyond a row's last visible key must be zero: the group sums over them.
            std::fill_n(ds + r * reach_, reach_, 0.0F);
            std::fill_n(w + r * reach_, reach_, 0.0F);
            if (r >= rows) continue;
            const extent row = ((i + r) * layout_.batch + b) * layout_.heads + h;
            score_gradients(points_, row, &probabilities_(row, 0), raw_ + r * reach_,
                            visible_keys(layout_, i + r), static_cast<float>(layout_.factor()),
                            ds + r * reach_, w + r * reach_, row_);
        }
        for (extent c = 0; c < layout_.key_width; c += tile_vectors * lanes)
            with_vectors(layout_.key_width - c, [&](auto vectors) {
                weighted_keys<vectors>(
                    layout_, ds, reach_, i, keys_ + c, key_columns_, nullptr,
                    &gradients_.queries(i * layout_.batch + b, h * layout_.key_width + c),
                    gradients_.queries.stride * layout_.batch, rows, layout_.key_width - c);
            });
    }

    const attention_layout& layout_;
    const attention_inputs<float>& in_;
    matrix_view<const float> probabilities_;
    matrix_view<const float> d_out_;
    const attention_gradients<float>& gradients_;
    const Points& points_;
    extent key_columns_;
    extent value_columns_;
    extent reach_;  ///< keys, and room for the rows of a block to end one after the other
    extent value_stride_;
    float* queries_ = nullptr;
    float* d_rows_ = nullptr;
    float* d_scores_ = nullptr;
    float* weights_ = nullptr;
    float* keys_ = nullptr;
    float* values_ = nullptr;  ///< transposed
    float* d_keys_ = nullptr;
    float* d_values_ = nullptr;
    float* raw_ = nullptr;
    float* row_ = nullptr;
};

}  // namespace detail

/// Gradients of multi-head attention from the saved probabilities.
///
/// **Shapes** probabilities (Tq*B*H, Tk) as the forward call wrote them; d_out (Tq*B, H*nv).
/// Forbidden keys get gradients of zero.
/// **Rounding/NaN** float with fused multiply-adds in an order fixed by the sizes.
/// **Throws** tare::error on shapes that do not fit and on overlap.
/// **Complexity/threads** one unit of work per stream and head; the same bits for any number of
/// threads. A policy sees the keys visible to a query, not those behind them.
template <class Points = no_attention_points>
    requires(attention_points<Points, float>)
void attention_backward(const attention_layout& layout, const attention_inputs<float>& in,
                        matrix_view<const float> probabilities, matrix_view<const float> d_out,
                        const attention_gradients<float>& gradients, const Points& points = {}) {
    detail::require_attention("attention_backward", layout, in);
    detail::require_attention_gradients("attention_backward", layout, in, probabilities, d_out,
                                        gradients);
    const extent work =
        layout.queries * layout.keys * (2 * layout.key_width + 2 * layout.value_width) / 8;
    parallel_for(layout.batch * layout.heads, 1, work, [&](extent first, extent last) {
        detail::attention_gradient_rows<Points> rows(layout, in, probabilities, d_out, gradients,
                                                     points);
        for (extent r = first; r < last; ++r)
            rows.run(r / layout.heads, r % layout.heads);
    });
}

}  // namespace tare::kernels
