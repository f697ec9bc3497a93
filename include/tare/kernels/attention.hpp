#pragma once
// SPDX-License-Identifier: MIT
// Ordinary multi-head attention (formulas in attention_layout.hpp) in float, fused: per head and
// block of queries the scores, the softmax and the value product stay in cache; nothing of size
// Tq x Tk is written unless the probabilities are asked for.
//
// Forbidden keys never enter a result, not even as 0 times NaN: padded keys and values are laid out
// as zeros, and sums end at the last key that order lets a query see.

#include <tare/core/parallel.hpp>
#include <tare/kernels/attention_plain.hpp>
#include <tare/kernels/attention_rows.hpp>

namespace tare::kernels {

namespace detail {

/// Queries that share one laid-out copy of keys and values.
inline constexpr extent query_stretch = 512;

/// One stream's forbidden keys, and its operands laid out for a head.
class attention_operands {
  public:
    attention_operands(const attention_layout& layout, const attention_inputs<float>& in, extent b)
        : layout_(layout), in_(in), b_(b) {
        while (first_allowed_ < layout.keys && forbidden(first_allowed_))
            ++first_allowed_;
    }
    [[nodiscard]] bool forbidden(extent key) const {
        return in_.padding.data != nullptr && in_.padding(b_, key) != 0;
    }
    /// Whether query i may see any key at all.
    [[nodiscard]] bool sees_any(extent i) const {
        return first_allowed_ < visible_keys(layout_, i);
    }
    /// The rows of head h of an operand with `width` columns a head.
    [[nodiscard]] const float* head(matrix_view<const float> m, extent t, extent h,
                                    extent width) const {
        return &m(t * layout_.batch + b_, h * width);
    }
    /// (width, ld): keys along rows; forbidden ones and those past the end are zero.
    void transposed(matrix_view<const float> m, extent h, extent width, float* to,
                    extent ld) const {
        pack_transposed(head(m, 0, h, width), m.stride * layout_.batch, layout_.keys, width, to,
                        ld);
        for (extent c = 0; c < width; ++c)
            std::fill(to + c * ld + layout_.keys, to + (c + 1) * ld, 0.0F);
        for (extent j = first_forbidden(); j < layout_.keys; ++j)
            for (extent c = 0; c < width && forbidden(j); ++c)
                to[c * ld + j] = 0.0F;
    }
    /// (rows, ld): a key a row; forbidden ones and those past the end are zero.
    void padded(matrix_view<const float> m, extent h, extent width, float* to, extent ld,
                extent rows) const {
        pack_padded(head(m, 0, h, width), m.stride * layout_.batch, layout_.keys, width, to, ld);
        std::fill(to + layout_.keys * ld, to + rows * ld, 0.0F);
        for (extent j = first_forbidden(); j < layout_.keys; ++j)
            if (forbidden(j)) std::fill_n(to + j * ld, ld, 0.0F);
    }

  private:
    [[nodiscard]] extent first_forbidden() const {
        return in_.padding.data == nullptr ? layout_.keys : 0;
    }

    const attention_layout& layout_;
    const attention_inputs<float>& in_;
    extent b_;
    extent first_allowed_ = 0;
};

/// Weighted sums over the keys that queries i .. i + band_rows - 1 may see; zero weights never meet
/// a key behind those.
template <int Vectors>
inline void weighted_keys(const attention_layout& layout, const float* w, extent ldw, extent i,
                          const float* x, extent ldx, const float* factors, float* to,
                          extent stride, extent rows, extent columns) {
    if (layout.causal)
        weighted_rows<band::causal, Vectors>(w, ldw, visible_keys(layout, i), x, ldx, factors, to,
                                             stride, rows, columns);
    else
        weighted_rows<band::straight, Vectors>(w, ldw, layout.keys, x, ldx, factors, to, stride,
                                               rows, columns);
}

/// Queries [begin, end) of one head.
template <class Points>
class attention_rows {
  public:
    attention_rows(const attention_layout& layout, const attention_inputs<float>& in,
                   matrix_view<float> out, matrix_view<float> probabilities,
                   matrix_view<float> mean_weights, const Points& points)
        : layout_(layout),
          in_(in),
          out_(out),
          probabilities_(probabilities),
          mean_weights_(mean_weights),
          points_(points),
          reach_(round_up(layout.keys + band_rows, pack_width)),
          key_stride_(spread_stride(reach_)),
          value_columns_(padded_width(layout.value_width)) {}

    void run(extent b, extent h, extent begin, extent end) {
        const attention_operands operands(layout_, in_, b);
        keys_ = scratch(layout_.key_width * key_stride_ + reach_ * value_columns_ +
                        (band_rows + 1) * reach_ + band_rows * layout_.key_width + pack_width);
        float* const values = keys_ + layout_.key_width * key_stride_;
        weights_ = values + reach_ * value_columns_;
        float* const allowed = weights_ + band_rows * reach_;
        float* const spare = allowed + reach_;
        operands.transposed(in_.keys, h, layout_.key_width, keys_, key_stride_);
        operands.padded(in_.values, h, layout_.value_width, values, value_columns_, reach_);
        for (extent j = 0; j < reach_; ++j)
            allowed[j] = j < layout_.keys && !operands.forbidden(j) ? 1.0F : 0.0F;

        for (extent i = begin; i < end; i += band_rows) {
            const extent rows = std::min<extent>(band_rows, end - i);
            const float* q = operands.head(in_.queries, i, h, layout_.key_width);
            extent q_stride = in_.queries.stride * layout_.batch;
            if (rows < band_rows) {
                // The last rows are computed in a full block; the missing ones are zero queries.
                std::fill_n(spare, band_rows * layout_.key_width, 0.0F);
                for (extent r = 0; r < rows; ++r)
                    std::copy_n(q + r * q_stride, layout_.key_width, spare + r * layout_.key_width);
                q = spare;
                q_stride = layout_.key_width;
            }
            const extent seen = visible_keys(layout_, i + rows - 1);
            const extent width = round_up(seen, pack_width);
            product<true>(layout_.key_width, q, q_stride, keys_, key_stride_, weights_, reach_,
                          width / lanes);
            row_scales scales = softmax_block(i, rows, width, allowed);
            for (extent r = 0; r < rows; ++r) {
                float* const p = weights_ + r * reach_;
                if (!operands.sees_any(i + r)) {
                    std::fill_n(p, width, 0.0F);
                    scales.inverse[r] = 1.0F;
                }
                finish_row(p, scales.inverse[r], (i + r) * layout_.batch + b, h, width);
            }
            const float* factors = Points::changes_probabilities ? nullptr : scales.inverse;
            for (extent c = 0; c < layout_.value_width; c += tile_vectors * lanes)
                with_vectors(layout_.value_width - c, [&](auto vectors) {
                    weighted_keys<vectors>(
                        layout_, weights_, reach_, i, values + c, value_columns_, factors,
                        &out_(i * layout_.batch + b, h * layout_.value_width + c),
                        out_.stride * layout_.batch, rows, layout_.value_width - c);
                });
            if constexpr (Points::changes_output)
                for (extent r = 0; r < rows; ++r) {
                    const extent query = (i + r) * layout_.batch + b;
                    points_.output(std::span<float>(&out_(query, h * layout_.value_width),
                                                    static_cast<std::size_t>(layout_.value_width)),
                                   query * layout_.heads + h);
                }
        }
    }

  private:
    /// Exponentials of the softmax of a block whose raw scores lie in the weights.
    row_scales softmax_block(extent i, extent rows, extent width, const float* allowed) const {
        const simd::pack factor = simd::pack_of(static_cast<float>(layout_.factor()));
        const simd::pack lowest = simd::pack_of(-std::numeric_limits<float>::infinity());
        const simd::pack zero = simd::pack_of(0.0F);
        simd::pack top[band_rows];
        for (int r = 0; r < band_rows; ++r) {
            float* const p = weights_ + r * reach_;
            const extent seen = visible_keys(layout_, i + std::min<extent>(r, rows - 1));
            const extent whole = seen / pack_width * pack_width;
            top[r] = lowest;
            for (extent j = 0; j < whole; j += pack_width) {
                const simd::pack s = select(zero < simd::load_pack(allowed + j),
                                            simd::load_pack(p + j) * factor, lowest);
                simd::store(p + j, s);
                top[r] = max(top[r], s);
            }
            if (whole == width) continue;
            const simd::pack s =
                select(first_lanes(seen - whole) & (zero < simd::load_pack(allowed + whole)),
                       simd::load_pack(p + whole) * factor, lowest);
            simd::store(p + whole, s);
            top[r] = max(top[r], s);
            for (extent j = whole + pack_width; j < width; j += pack_width)
                simd::store(p + j, lowest);
        }
        return exponentials(weights_, reach_, width, top);
    }

    /// Stores the probabilities of a row, adds them to the mean over the heads, and makes them
    /// weights, as far as each is asked for.
    void finish_row(float* p, float inverse, extent query, extent h, extent width) const {
        const extent seen = std::min(width, layout_.keys);
        const extent row = query * layout_.heads + h;
        if (probabilities_.data != nullptr) {
            float* const to = &probabilities_(row, 0);
            scale_row(p, seen, inverse, to);
            std::fill(to + seen, to + layout_.keys, 0.0F);
        }
        if (mean_weights_.data != nullptr) {
            float* const mean = &mean_weights_(query, 0);
            if (h == 0) std::fill_n(mean, layout_.keys, 0.0F);
            for (extent j = 0; j < seen; ++j)
                mean[j] += p[j] * inverse;
            if (h + 1 == layout_.heads)
                for (extent j = 0; j < layout_.keys; ++j)
                    mean[j] /= static_cast<float>(layout_.heads);
        }
        if constexpr (Points::changes_probabilities) {
            scale_row(p, seen, inverse, p);
            std::fill(p + seen, p + reach_, 0.0F);
            points_.probabilities(std::span<float>(p, static_cast<std::size_t>(layout_.keys)), row);
        }
    }

    const attention_layout& layout_;
    const attention_inputs<float>& in_;
    matrix_view<float> out_;
    matrix_view<float> probabilities_;
    matrix_view<float> mean_weights_;
    const Points& points_;
    extent reach_;  ///< keys, and room for the rows of a block to end one after the other
    extent key_stride_;
    extent value_columns_;
    float* keys_ = nullptr;
    float* weights_ = nullptr;
};

}  // namespace detail

/// Multi-head attention.
///
/// **Shapes** out (Tq*B, H*nv); probabilities (Tq*B*H, Tk), the softmax before `points`, row
/// (i*B+b)*H+h, or no data; mean_weights (Tq*B, Tk), the mean of the probabilities over the heads,
/// or no data.
/// **Rounding/NaN** float with fused multiply-adds in an order fixed by the sizes; a NaN or +inf
/// among a row's scores makes that row NaN; forbidden keys and values may hold anything.
/// **Throws** tare::error on shapes that do not fit and on overlap.
/// **Complexity/threads** one unit of work per stream, head and 512 queries (per stream with
/// mean_weights); the same bits for any number of threads.
template <class Points = no_attention_points>
    requires(attention_points<Points, float>)
void attention_forward(const attention_layout& layout, const attention_inputs<float>& in,
                       matrix_view<float> out, matrix_view<float> probabilities = {},
                       matrix_view<float> mean_weights = {}, const Points& points = {}) {
    detail::require_attention("attention_forward", layout, in);
    detail::require_attention_results("attention_forward", layout, in, out, probabilities,
                                      mean_weights);
    const extent stretches = (layout.queries + detail::query_stretch - 1) / detail::query_stretch;
    // The mean over the heads is summed head after head, so its heads stay together.
    const extent together = mean_weights.data != nullptr ? layout.heads : 1;
    const extent groups = layout.heads / together;
    const extent work = std::min(layout.queries, detail::query_stretch) * layout.keys * together *
                        (layout.key_width + layout.value_width) / 8;
    parallel_for(layout.batch * groups * stretches, 1, work, [&](extent first, extent last) {
        detail::attention_rows<Points> rows(layout, in, out, probabilities, mean_weights, points);
        for (extent unit = first; unit < last; ++unit) {
            const extent begin = unit % stretches * detail::query_stretch;
            const extent end = std::min(begin + detail::query_stretch, layout.queries);
            const extent group = unit / stretches;
            for (extent h = 0; h < together; ++h)
                rows.run(group / groups, group % groups * together + h, begin, end);
        }
    });
}

}  // namespace tare::kernels
