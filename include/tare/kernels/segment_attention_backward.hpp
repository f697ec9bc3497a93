#pragma once
// SPDX-License-Identifier: MIT
// Gradients of attention with memory and relative positions (formulas in
// segment_attention_plain.hpp), in float, from the probabilities that the forward call saved.
// Reading them back is cheaper than a second q . (k + P) and softmax: 0.4 KiB a row beside 9 kflop.
//
// Per head the chunk is walked in groups of rows. Block by block the gradients of the scores are
// kept in a band, zeros around it; then, for positions whose last reader has been seen, dk and dv
// are sums down the skewed columns of that band, and dP a sum down its straight ones. Every sum has
// one fixed order. A head's share of dP is kept apart and the heads are added in their order.

#include <tare/kernels/segment_attention.hpp>

namespace tare::kernels {

namespace detail {

/// dq = sum over the window of ds (k + P) for a block, up to Vectors registers of columns.
template <int Vectors>
inline void query_gradients(const float* ds, extent lds, extent entries, const float* keys,
                            const float* positions, extent ld, float* to, extent stride,
                            extent rows, extent columns) {
    simd::floats sum[band_rows][Vectors];
    clear(sum);
    band_sum<band::skewed>(ds, lds - 1, entries, keys, ld, sum);
    band_sum<band::straight>(ds, lds, entries, positions, ld, sum);
    store_rows(to, stride, sum, nullptr, rows, columns);
}

/// One head of a chunk, all rows.
template <class Points>
class segment_backward {
  public:
    segment_backward(const segment_layout& layout, const segment_inputs<float>& in,
                     matrix_view<const float> probabilities, matrix_view<const float> d_out,
                     const segment_gradients<float>& gradients, const float* positions,
                     const Points& points)
        : layout_(layout),
          in_(in),
          probabilities_(probabilities),
          d_out_(d_out),
          gradients_(gradients),
          positions_(positions),
          points_(points),
          key_columns_(padded_width(layout.key_width)),
          value_columns_(padded_width(layout.value_width)),
          band_vectors_((layout.window + band_rows + lanes - 1) / lanes),
          band_stride_(round_up(layout.entries() + band_rows - 1, pack_width)),
          history_(round_up(layout.window, band_rows)),
          group_(round_up(std::max<extent>(2 * layout.window, 128), band_rows)) {}

    /// Gradients of head h of stream b; its share of dP goes to `d_positions`, (padded nk, padded
    /// S+1) with rows of `position_stride`.
    void run(extent b, extent h, float* d_positions, extent position_stride) {
        b_ = b;
        h_ = h;
        arrange();
        for (extent begin = 0; begin < layout_.tokens; begin += group_) {
            const extent end = std::min(begin + group_, layout_.tokens);
            load_group(begin, end);
            for (extent t = begin; t < end; t += band_rows)
                row_block(t, begin, end);
            for (extent c = 0; c < layout_.key_width; c += band_rows)
                product<false>(end - begin, queries_ + history_ * key_columns_ + c, key_columns_,
                               d_scores_ + history_ * band_stride_, band_stride_,
                               d_positions + c * position_stride, position_stride,
                               round_up(layout_.entries(), pack_width) / lanes, begin > 0);
            // Positions whose last reader, S rows later, lies before `end`.
            const extent done = end == layout_.tokens ? end : end - history_;
            for (extent p = begin - history_; p < done; p += band_rows)
                if (p >= 0 || gradients_.memory.data != nullptr) key_block(p, begin);
        }
    }

  private:
    /// Deals out the scratch memory.
    void arrange() {
        const extent rows = history_ + group_;
        const extent reach = layout_.window + group_ + pack_width;
        value_stride_ = spread_stride(reach);
        const extent content_stride = band_vectors_ * lanes + pack_width;
        const extent sizes[] = {rows * key_columns_,
                                rows * value_columns_,
                                rows * band_stride_,
                                rows * band_stride_,
                                reach * key_columns_,
                                layout_.value_width * value_stride_,
                                band_rows * content_stride,
                                band_rows * std::max(key_columns_, value_columns_),
                                band_stride_};
        float** const blocks[] = {&queries_, &d_rows_,  &d_scores_, &weights_, &keys_,
                                  &values_,  &content_, &sums_,     &row_};
        extent total = 0;
        for (const extent size : sizes)
            total += round_up(size, pack_width);
        float* next = scratch(total);
        for (std::size_t i = 0; i < std::size(sizes); ++i) {
            *blocks[i] = next;
            next += round_up(sizes[i], pack_width);
        }
        content_stride_ = content_stride;
        // Rows before the chunk read nothing and so give nothing.
        std::fill_n(queries_, history_ * key_columns_, 0.0F);
        std::fill_n(d_rows_, history_ * value_columns_, 0.0F);
        std::fill_n(d_scores_, rows * band_stride_, 0.0F);
        std::fill_n(weights_, rows * band_stride_, 0.0F);
    }

    /// Moves the last rows of the group before to the front and lays out the operands of this one.
    void load_group(extent begin, extent end) {
        if (begin > 0)
            for (const auto& [rows, width] :
                 {std::pair(queries_, key_columns_), std::pair(d_rows_, value_columns_),
                  std::pair(d_scores_, band_stride_), std::pair(weights_, band_stride_)})
                std::copy_n(rows + group_ * width, history_ * width, rows);

        const extent count = end - begin;
        pack_padded(&in_.qkv(begin * layout_.batch + b_, h_ * layout_.head_width()),
                    in_.qkv.stride * layout_.batch, count, layout_.key_width,
                    queries_ + history_ * key_columns_, key_columns_);
        pack_padded(&d_out_(begin * layout_.batch + b_, h_ * layout_.value_width),
                    d_out_.stride * layout_.batch, count, layout_.value_width,
                    d_rows_ + history_ * value_columns_, value_columns_);
        // A last block with fewer rows is computed whole: its missing rows have no gradient.
        std::fill(d_rows_ + (history_ + count) * value_columns_,
                  d_rows_ + (history_ + round_up(count, band_rows)) * value_columns_, 0.0F);

        const extent first = begin - layout_.window;
        const extent filled = end - first;
        const extent reach = layout_.window + group_ + pack_width;
        const extent empty =
            std::clamp<extent>(-remembered(layout_, in_.memory) - first, 0, filled);
        for (extent c = 0; c < layout_.value_width; ++c) {
            std::fill_n(values_ + c * value_stride_, empty, 0.0F);
            std::fill(values_ + c * value_stride_ + filled, values_ + c * value_stride_ + reach,
                      0.0F);
        }
        std::fill_n(keys_, empty * key_columns_, 0.0F);
        std::fill(keys_ + filled * key_columns_, keys_ + reach * key_columns_, 0.0F);
        pack_history(layout_, in_, b_, h_, 0, first, end,
                     [&](const float* from, extent stride, extent n, extent to) {
                         pack_padded(from, stride, n, layout_.key_width, keys_ + to * key_columns_,
                                     key_columns_);
                     });
        pack_history(layout_, in_, b_, h_, layout_.key_width, first, end,
                     [&](const float* from, extent stride, extent n, extent to) {
                         pack_transposed(from, stride, n, layout_.value_width, values_ + to,
                                         value_stride_);
                     });
    }

    /// Rows t .. t + band_rows - 1: gradients of their scores, and of their queries.
    void row_block(extent t, extent begin, extent end) {
        const extent rows = std::min<extent>(band_rows, end - t);
        const extent at = history_ + t - begin;
        product<true>(layout_.value_width, d_rows_ + at * value_columns_, value_columns_,
                      values_ + (t - begin), value_stride_, content_, content_stride_,
                      band_vectors_);
        float* const ds = d_scores_ + at * band_stride_;
        for (extent i = 0; i < rows; ++i) {
            const extent row = ((t + i) * layout_.batch + b_) * layout_.heads + h_;
            score_gradients(points_, row, &probabilities_(row, 0),
                            content_ + i * (content_stride_ + 1), layout_.entries(),
                            static_cast<float>(layout_.factor()), ds + i * band_stride_,
                            weights_ + (at + i) * band_stride_, row_);
        }
        for (extent i = rows; i < band_rows; ++i) {
            std::fill_n(ds + i * band_stride_, band_stride_, 0.0F);
            std::fill_n(weights_ + (at + i) * band_stride_, band_stride_, 0.0F);
        }
        for (extent c = 0; c < layout_.key_width; c += tile_vectors * lanes)
            with_vectors(layout_.key_width - c, [&](auto vectors) {
                query_gradients<vectors>(
                    ds, band_stride_, layout_.entries(), keys_ + (t - begin) * key_columns_ + c,
                    positions_ + c, key_columns_,
                    &gradients_.qkv(t * layout_.batch + b_, h_ * layout_.head_width() + c),
                    gradients_.qkv.stride * layout_.batch, rows, layout_.key_width - c);
            });
    }

    /// Gradients of keys and values of positions p .. p + band_rows - 1.
    void key_block(extent p, extent begin) {
        const extent first = std::max<extent>(p, 0);
        const extent last = std::min(p + band_rows + layout_.window, layout_.tokens);
        if (last <= first) return;
        const extent at = history_ + first - begin;
        const extent skew = at * band_stride_ + p - first + layout_.window;
        column_sums(d_scores_ + skew, last - first, queries_ + at * key_columns_, key_columns_,
                    layout_.key_width, p, 0);
        column_sums(weights_ + skew, last - first, d_rows_ + at * value_columns_, value_columns_,
                    layout_.value_width, p, layout_.key_width);
    }

    void column_sums(const float* band, extent depth, const float* rows, extent columns,
                     extent width, extent p, extent offset) {
        product<false>(depth, band, band_stride_ - 1, rows, columns, sums_, columns,
                       (width + lanes - 1) / lanes);
        const extent known = remembered(layout_, gradients_.memory);
        for (extent i = 0; i < band_rows; ++i) {
            const extent position = p + i;
            if (position < -known || position >= layout_.tokens) continue;
            float* const to =
                position >= 0
                    ? &gradients_.qkv(position * layout_.batch + b_,
                                      h_ * layout_.head_width() + layout_.key_width + offset)
                    : &gradients_.memory((position + known) * layout_.batch + b_,
                                         h_ * layout_.memory_width() + offset);
            if (position >= 0 || gradients_.memory.data != nullptr)
                std::copy_n(sums_ + i * columns, width, to);
        }
    }

    const segment_layout& layout_;
    const segment_inputs<float>& in_;
    matrix_view<const float> probabilities_;
    matrix_view<const float> d_out_;
    const segment_gradients<float>& gradients_;
    const float* positions_;  ///< transposed: (S+1, padded nk)
    const Points& points_;
    extent key_columns_;
    extent value_columns_;
    extent band_vectors_;
    extent band_stride_;  ///< S+1 entries and at least band_rows - 1 zeros
    extent history_;      ///< rows kept from the group before
    extent group_;        ///< rows of a group
    extent b_ = 0;
    extent h_ = 0;
    extent value_stride_ = 0;
    extent content_stride_ = 0;
    float* queries_ = nullptr;   ///< rows of q, history first
    float* d_rows_ = nullptr;    ///< rows of d_out, history first
    float* d_scores_ = nullptr;  ///< band of ds, history first
    float* weights_ = nullptr;   ///< band of weights, history first
    float* keys_ = nullptr;      ///< from S positions before the group
    float* values_ = nullptr;    ///< the same, transposed
    float* content_ = nullptr;
    float* sums_ = nullptr;
    float* row_ = nullptr;
};

}  // namespace detail

/// Gradients of attention from the saved probabilities.
///
/// **Shapes** probabilities (T*B*H, S+1) as the forward call wrote them; d_out (T*B, H*nv).
/// **Rounding/NaN** sums in float with fused multiply-adds, in an order fixed by the sizes.
/// **Throws** tare::error on shapes that do not fit and on overlap.
/// **Complexity/threads** one unit of work per head and stream; the same bits for any number.
template <class Points = no_attention_points>
    requires(attention_points<Points, float>)
void segment_attention_backward(const segment_layout& layout, const segment_inputs<float>& in,
                                matrix_view<const float> probabilities,
                                matrix_view<const float> d_out,
                                const segment_gradients<float>& gradients,
                                const Points& points = {}) {
    detail::require_segment("segment_attention_backward", layout, in);
    detail::require_segment_gradients("segment_attention_backward", layout, in, probabilities,
                                      d_out, gradients);
    const extent key_columns = detail::padded_width(layout.key_width);
    const extent entries = detail::round_up(layout.entries(), detail::pack_width);
    aligned_vector<float> transposed(static_cast<std::size_t>(layout.entries() * key_columns));
    detail::pack_transposed(in.positions.data, in.positions.stride, layout.key_width,
                            layout.entries(), transposed.data(), key_columns);
    const extent share = key_columns * entries;
    aligned_vector<float> shares(static_cast<std::size_t>(layout.rows() * share));
    const extent work =
        layout.tokens * layout.entries() * (4 * layout.key_width + 2 * layout.value_width) / 8;
    parallel_for(layout.rows(), 1, work, [&](extent first, extent last) {
        detail::segment_backward<Points> head(layout, in, probabilities, d_out, gradients,
                                              transposed.data(), points);
        for (extent r = first; r < last; ++r)
            head.run(r / layout.heads, r % layout.heads, shares.data() + r * share, entries);
    });
    for (extent c = 0; c < layout.key_width; ++c)
        for (extent j = 0; j < layout.entries(); ++j) {
            float sum = 0.0F;
            for (extent r = 0; r < layout.rows(); ++r)
                sum += shares[static_cast<std::size_t>(r * share + c * entries + j)];
            gradients.positions(c, j) = sum;
        }
}

}  // namespace tare::kernels
