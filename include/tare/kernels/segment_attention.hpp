#pragma once
// SPDX-License-Identifier: MIT
// Attention with memory and trained relative positions (formulas in segment_layout.hpp): one chunk
// in float, fused. Per head and block of rows the scores, the softmax and the value product stay in
// cache; nothing of size T x T or T x S is written unless the probabilities are asked for.
//
// Per head: keys are laid out transposed (positions contiguous) so that scores are vectors along
// positions; q . P is a second product, read at the window's own offset when both meet in the
// softmax; values are padded to whole registers.

#include <tare/core/parallel.hpp>
#include <tare/kernels/attention_rows.hpp>
#include <tare/kernels/segment_attention_plain.hpp>

namespace tare::kernels {

namespace detail {

/// Rows that share one laid-out stretch of keys and values; their history is laid out again for
/// the next stretch, so it must be long beside the window and still fit the second-level cache.
inline constexpr extent stretch_rows = 512;

/// The position table padded to whole registers, rows as they come.
inline aligned_vector<float> padded_positions(matrix_view<const float> positions) {
    const extent ld = round_up(positions.columns, pack_width);
    aligned_vector<float> out(static_cast<std::size_t>(positions.rows * ld));
    pack_padded(positions.data, positions.stride, positions.rows, positions.columns, out.data(),
                ld);
    return out;
}

/// Lays out keys (or values) of positions [begin, end) of one head by `lay_out(from, stride, count,
/// first)`, first counting from `begin`; positions without data are left out.
template <class LayOut>
void pack_history(const segment_layout& layout, const segment_inputs<float>& in, extent b, extent h,
                  extent offset, extent begin, extent end, LayOut&& lay_out) {
    const extent chunk = std::max<extent>(begin, 0);
    const extent known = remembered(layout, in.memory);
    const extent old = std::max(begin, -known);
    if (old < std::min<extent>(end, 0))
        lay_out(&in.memory((old + known) * layout.batch + b, h * layout.memory_width() + offset),
                in.memory.stride * layout.batch, std::min<extent>(end, 0) - old, old - begin);
    if (end > chunk)
        lay_out(
            &in.qkv(chunk * layout.batch + b, h * layout.head_width() + layout.key_width + offset),
            in.qkv.stride * layout.batch, end - chunk, chunk - begin);
}

/// One head's rows [begin, end) of a chunk.
template <class Points>
class segment_forward {
  public:
    segment_forward(const segment_layout& layout, const segment_inputs<float>& in,
                    const float* positions, matrix_view<float> out,
                    matrix_view<float> probabilities, const Points& points)
        : layout_(layout),
          in_(in),
          positions_(positions),
          out_(out),
          probabilities_(probabilities),
          points_(points),
          factor_(static_cast<float>(layout.factor())),
          entry_vectors_(round_up(layout.entries(), pack_width) / lanes),
          band_vectors_((layout.window + band_rows + lanes - 1) / lanes),
          value_vectors_(round_up(layout.value_width, lanes) / lanes) {}

    void run(extent b, extent h, extent begin, extent end) {
        const extent first = begin - layout_.window;
        const extent reach = round_up(end - begin, band_rows) + layout_.window + pack_width;
        key_stride_ = spread_stride(reach);
        const extent value_stride = value_vectors_ * lanes;
        const extent content_stride = band_vectors_ * lanes + pack_width;
        const extent entry_stride = entry_vectors_ * lanes;
        float* next =
            scratch(layout_.key_width * key_stride_ + reach * value_stride +
                    band_rows * (content_stride + entry_stride + layout_.key_width) + pack_width);
        const auto take = [&next](extent count) {
            float* const block = next;
            next += count;
            return block;
        };
        float* const keys = take(layout_.key_width * key_stride_);
        float* const values = take(reach * value_stride);
        float* const content = take(band_rows * content_stride);
        // Position scores, which become scores and weights where they stand.
        float* const weights = take(band_rows * entry_stride);
        float* const spare = take(band_rows * layout_.key_width + pack_width);

        // Positions before an empty memory and after the stretch read as zeros.
        const extent empty = std::max<extent>(0, -remembered(layout_, in_.memory) - first);
        const extent filled = end - first;
        for (extent c = 0; c < layout_.key_width; ++c) {
            std::fill_n(keys + c * key_stride_, std::min(empty, filled), 0.0F);
            std::fill(keys + c * key_stride_ + filled, keys + c * key_stride_ + reach, 0.0F);
        }
        std::fill_n(values, std::min(empty, filled) * value_stride, 0.0F);
        std::fill(values + filled * value_stride, values + reach * value_stride, 0.0F);
        pack_history(layout_, in_, b, h, 0, first, end,
                     [&](const float* from, extent stride, extent count, extent to) {
                         pack_transposed(from, stride, count, layout_.key_width, keys + to,
                                         key_stride_);
                     });
        pack_history(layout_, in_, b, h, layout_.key_width, first, end,
                     [&](const float* from, extent stride, extent count, extent to) {
                         pack_padded(from, stride, count, layout_.value_width,
                                     values + to * value_stride, value_stride);
                     });

        for (extent t = begin; t < end; t += band_rows) {
            const extent rows = std::min<extent>(band_rows, end - t);
            const float* q = &in_.qkv(t * layout_.batch + b, h * layout_.head_width());
            extent q_stride = in_.qkv.stride * layout_.batch;
            for (int i = 0; i < band_rows; ++i)
                simd::prefetch<row_floats_ahead>(q, (band_rows + i) * q_stride);
            if (rows < band_rows) {
                // The last rows are computed in a full block; the missing ones are zero queries.
                std::fill_n(spare, band_rows * layout_.key_width, 0.0F);
                pack_padded(q, q_stride, rows, layout_.key_width, spare, layout_.key_width);
                q = spare;
                q_stride = layout_.key_width;
            }
            product<true>(layout_.key_width, q, q_stride, keys + (t - begin), key_stride_, content,
                          content_stride, band_vectors_);
            product<true>(layout_.key_width, q, q_stride, positions_, entry_stride, weights,
                          entry_stride, entry_vectors_);
            const row_scales scales = softmax_block(content, content_stride, weights, t);
            for (extent i = 0; i < rows; ++i)
                finish_row(weights + i * entry_stride, scales.inverse[i],
                           ((t + i) * layout_.batch + b) * layout_.heads + h);
            if (out_.data == nullptr) continue;
            // The division by the softmax's sum comes last, unless the weights had to be
            // probabilities before. A skewed band is a matrix whose rows begin one element early.
            const float* factors = Points::changes_probabilities ? nullptr : scales.inverse;
            for (extent c = 0; c < layout_.value_width; c += tile_vectors * lanes)
                with_vectors(layout_.value_width - c, [&](auto vectors) {
                    weighted_rows<band::skewed, vectors>(
                        weights, entry_stride - 1, layout_.entries(),
                        values + (t - begin) * value_stride + c, value_stride, factors,
                        &out_(t * layout_.batch + b, h * layout_.value_width + c),
                        out_.stride * layout_.batch, rows, layout_.value_width - c);
                });
            if constexpr (Points::changes_output)
                for (extent i = 0; i < rows; ++i)
                    points_.output(std::span<float>(
                                       &out_((t + i) * layout_.batch + b, h * layout_.value_width),
                                       static_cast<std::size_t>(layout_.value_width)),
                                   ((t + i) * layout_.batch + b) * layout_.heads + h);
        }
    }

  private:
    /// Joins content scores of a block to the position scores in p and takes the exponentials of
    /// its softmax.
    row_scales softmax_block(const float* content, extent content_stride, float* p,
                             extent t) const {
        const simd::pack factor = simd::pack_of(factor_);
        const simd::pack lowest = simd::pack_of(-std::numeric_limits<float>::infinity());
        const extent entries = layout_.entries();
        const extent stride = entry_vectors_ * lanes;
        const extent whole = (entries - 1) / pack_width * pack_width;
        const simd::mask_pack valid = first_lanes(entries - whole);
        simd::pack top[band_rows];
        for (int i = 0; i < band_rows; ++i) {
            // Row i's window starts i positions into the block's band.
            const float* const c = content + i * (content_stride + 1);
            float* const row = p + i * stride;
            const simd::pack last =
                (simd::load_pack(c + whole) + simd::load_pack(row + whole)) * factor;
            // A maximum of its own: one in the array would go through memory in each step.
            simd::pack highest = select(valid, last, lowest);
            simd::store(row + whole, last);
            for (extent j = 0; j < whole; j += pack_width) {
                const simd::pack s = (simd::load_pack(c + j) + simd::load_pack(row + j)) * factor;
                simd::store(row + j, s);
                highest = max(highest, s);
            }
            top[i] = highest;
        }
        for (int i = 0; i < band_rows; ++i) {
            const extent first = first_entry(layout_, remembered(layout_, in_.memory), t + i);
            if (first == 0) continue;
            float* const row = p + i * stride;
            std::fill_n(row, first, -std::numeric_limits<float>::infinity());
            top[i] = select(valid, simd::load_pack(row + whole), lowest);
            for (extent j = 0; j < whole; j += pack_width)
                top[i] = max(top[i], simd::load_pack(row + j));
        }
        return exponentials(p, stride, entries, top);
    }

    /// Stores the probabilities of a row and makes them weights, as far as either is asked for.
    void finish_row(float* p, float inverse, extent row) const {
        if (probabilities_.data != nullptr)
            scale_row(p, layout_.entries(), inverse, &probabilities_(row, 0));
        if constexpr (Points::changes_probabilities) {
            scale_row(p, layout_.entries(), inverse, p);
            points_.probabilities(std::span<float>(p, static_cast<std::size_t>(layout_.entries())),
                                  row);
        }
    }

    const segment_layout& layout_;
    const segment_inputs<float>& in_;
    const float* positions_;
    matrix_view<float> out_;
    matrix_view<float> probabilities_;
    const Points& points_;
    float factor_;
    extent entry_vectors_;
    extent band_vectors_;
    extent value_vectors_;
    extent key_stride_ = 0;
};

}  // namespace detail

/// Attention of a chunk.
///
/// **Shapes** out (T*B, H*nv); probabilities (T*B*H, S+1), the softmax before `points`, row
/// (t*B+b)*H+h, or no data. With `out` empty only the probabilities are computed.
/// **Throws** tare::error on shapes that do not fit and on overlap.
template <class Points = no_attention_points>
    requires(attention_points<Points, float>)
void segment_attention_forward(const segment_layout& layout, const segment_inputs<float>& in,
                               matrix_view<float> out, matrix_view<float> probabilities = {},
                               const Points& points = {}) {
    detail::require_segment("segment_attention_forward", layout, in);
    detail::require_segment_results("segment_attention_forward", layout, in, out, probabilities);
    const auto positions = detail::padded_positions(in.positions);
    const extent stretches = (layout.tokens + detail::stretch_rows - 1) / detail::stretch_rows;
    const extent work = std::min(layout.tokens, detail::stretch_rows) * layout.entries() *
                        (2 * layout.key_width + layout.value_width) / 8;
    parallel_for(layout.rows() * stretches, 1, work, [&](extent first, extent last) {
        detail::segment_forward<Points> head(layout, in, positions.data(), out, probabilities,
                                             points);
        for (extent unit = first; unit < last; ++unit) {
            const extent r = unit / stretches;
            const extent begin = unit % stretches * detail::stretch_rows;
            head.run(r / layout.heads, r % layout.heads, begin,
                     std::min(begin + detail::stretch_rows, layout.tokens));
        }
    });
}

}  // namespace tare::kernels
