#pragma once
// SPDX-License-Identifier: MIT
// What one-token attention keeps: the position table in the layout that steps read, and a rolling
// cache of keys and values.
//
// At one row everything is a stream of reads, so the cache is laid out for reading: keys transposed
// per head, positions contiguous, so that scores are vectors along positions and meet the columns
// of the position table at the same offset; values as rows of all heads. The window slides through
// a buffer that is `slack` positions longer and moves back when it reaches the end, which costs a
// copy of the window every `slack` steps and spares every step the seam of a ring.

#include <algorithm>

#include <tare/core/huge_pages.hpp>
#include <tare/kernels/attention_tile.hpp>
#include <tare/kernels/attention_values.hpp>
#include <tare/kernels/segment_layout.hpp>

namespace tare::kernels {

/// A position table (nk, S+1) in the layout that steps read: rows padded to whole packs. Belongs to
/// the weights of a layer; any number of caches may share it.
class position_table {
  public:
    explicit position_table(matrix_view<const float> positions)
        : key_width_(positions.rows),
          entries_(positions.columns),
          stride_(detail::round_up(positions.columns, detail::pack_width)) {
        detail::require_matrix("position_table", "positions", positions, positions.rows,
                               positions.columns);
        require(key_width_ >= 1 && entries_ >= 2, "position_table: positions is (", key_width_, ',',
                entries_, "); expected (key width, window + 1), both widths at least 1");
        table_.resize(static_cast<std::size_t>(key_width_ * stride_));
        detail::pack_padded(positions.data, positions.stride, key_width_, entries_, table_.data(),
                            stride_);
    }
    [[nodiscard]] extent key_width() const { return key_width_; }
    [[nodiscard]] extent entries() const { return entries_; }
    [[nodiscard]] extent stride() const { return stride_; }
    [[nodiscard]] const float* data() const { return table_.data(); }

  private:
    extent key_width_;
    extent entries_;
    extent stride_;
    aligned_vector<float> table_;
};

/// Keys and values of the last S positions of `batch` streams, for one layer. Values says how they
/// are held (attention_values.hpp); what comes back are the floats that were appended.
template <class Values>
class basic_attention_cache {
  public:
    using stored = typename Values::stored;

    /// An empty cache: nothing before the first token (masked, or zeros with `attend_to_empty`).
    /// `layout.tokens` plays no part. **Throws** tare::error on sizes below 1,
    /// and on sizes whose product no memory holds.
    explicit basic_attention_cache(const segment_layout& layout, const Values& how = {})
        : layout_(checked(layout)),
          how_(how),
          key_stride_(
              detail::spread_stride((capacity() + detail::pack_width + per_float - 1) / per_float) *
              per_float),
          value_stride_(layout.heads * layout.value_width) {
        layout_.tokens = 1;
        // The last vector of a head may read past its end.
        keys_.resize(static_cast<std::size_t>(layout.rows() * layout.key_width * key_stride_ +
                                              detail::pack_width));
        values_.resize(static_cast<std::size_t>(layout.batch * capacity() * value_stride_ +
                                                detail::pack_width));
        clear();
    }
    /// The positions of another cache, held otherwise: `how` must hold all their values.
    template <class Other>
    explicit basic_attention_cache(const basic_attention_cache<Other>& other,
                                   const Values& how = {})
        : basic_attention_cache(other.layout_, how) {
        const auto copy = [&](const auto* from, stored* to, extent count) {
            std::transform(from, from + count, to,
                           [&](auto v) { return how_.code(other.how_.value(v)); });
        };
        // The last S positions come to the front of the buffer, as from roll_back().
        const extent first = other.next_ - layout_.window;
        for (extent row = 0; row < layout_.rows() * layout_.key_width; ++row)
            copy(other.keys_.data() + row * other.key_stride_ + first,
                 keys_.data() + row * key_stride_, layout_.window);
        for (extent b = 0; b < layout_.batch; ++b)
            copy(other.values_.data() + (b * other.capacity() + first) * value_stride_,
                 values_.data() + b * capacity() * value_stride_, layout_.window * value_stride_);
        filled_ = other.filled_;
    }

    /// Forgets everything.
    void clear() {
        std::fill(keys_.begin(), keys_.end(), stored{});
        std::fill(values_.begin(), values_.end(), stored{});
        next_ = layout_.window;
        filled_ = 0;
    }

    /// Takes over the memory of a chunk (S*B, H*(nk+nv)) as segment_memory() wrote it.
    /// **Throws** tare::error on another shape.
    void assign(matrix_view<const float> memory) {
        detail::require_matrix("attention_cache::assign", "memory", memory,
                               layout_.window * layout_.batch,
                               layout_.heads * layout_.memory_width());
        next_ = 0;
        for (extent s = 0; s < layout_.window; ++s, ++next_)
            for (extent b = 0; b < layout_.batch; ++b) {
                const float* const row = &memory(s * layout_.batch + b, 0);
                put_keys(b, row, layout_.memory_width(), next_);
                put_values(b, row + layout_.key_width, layout_.memory_width());
            }
        filled_ = layout_.window;
    }

    /// Makes room for one position and writes its values: rows (B, H*(2nk+nv)) of the layer's
    /// projection. To be followed by append_keys() with the same rows.
    /// **Throws** tare::error on another shape.
    void append_values(matrix_view<const float> qkv) {
        detail::require_matrix("attention_cache::append_values", "qkv", qkv, layout_.batch,
                               layout_.heads * layout_.head_width());
        if (next_ == capacity()) roll_back();
        for (extent b = 0; b < layout_.batch; ++b)
            put_values(b, &qkv(b, 2 * layout_.key_width), layout_.head_width());
        ++next_;
        filled_ = std::min(filled_ + 1, layout_.entries());
    }
    /// Writes the keys of the newest position, as late as can be: they are one float in each of
    /// many cache lines, and a read of such a line soon after would wait for the write.
    /// **Throws** tare::error on another shape.
    void append_keys(matrix_view<const float> qkv) {
        detail::require_matrix("attention_cache::append_keys", "qkv", qkv, layout_.batch,
                               layout_.heads * layout_.head_width());
        for (extent b = 0; b < layout_.batch; ++b)
            put_keys(b, &qkv(b, layout_.key_width), layout_.head_width(), next_ - 1);
    }

    [[nodiscard]] const segment_layout& layout() const { return layout_; }
    [[nodiscard]] const Values& how() const { return how_; }
    /// First window entry that the newest position may use.
    [[nodiscard]] extent first() const {
        return layout_.attend_to_empty ? 0 : layout_.entries() - filled_;
    }
    /// Keys of one head over the newest position's window: element (c, j) at c * key_stride() + j;
    /// between append_values() and append_keys() without the newest, j = S.
    [[nodiscard]] const stored* keys(extent b, extent h) const {
        return keys_.data() + (b * layout_.heads + h) * layout_.key_width * key_stride_ + next_ -
               layout_.entries();
    }
    [[nodiscard]] extent key_stride() const { return key_stride_; }
    /// Values over the same window: element (j, h, c) at j * value_stride() + h * nv + c.
    [[nodiscard]] const stored* values(extent b) const {
        return values_.data() + (b * capacity() + next_ - layout_.entries()) * value_stride_;
    }
    [[nodiscard]] extent value_stride() const { return value_stride_; }

  private:
    template <class>
    friend class basic_attention_cache;

    static const segment_layout& checked(const segment_layout& layout) {
        extent room = extent{1} << 48;
        for (const extent size :
             {layout.batch, layout.heads, layout.key_width, layout.value_width, layout.window}) {
            require(size >= 1 && size <= room, "attention_cache: batch ", layout.batch, ", heads ",
                    layout.heads, ", key_width ", layout.key_width, ", value_width ",
                    layout.value_width, ", window ", layout.window,
                    "; each must be at least 1, their product at most 2^48");
            room /= size;
        }
        require(std::isfinite(layout.scale), "attention_cache: scale is ", layout.scale,
                "; it must be finite");
        return layout;
    }

    /// Stored values in a float, and positions that the window slides before it moves back.
    static constexpr extent per_float = sizeof(float) / sizeof(stored);
    static constexpr extent slack = 64 / per_float;
    [[nodiscard]] extent capacity() const { return layout_.entries() + slack; }

    /// Writes the keys of stream b to a position; each head's begin `width` after the last one's.
    void put_keys(extent b, const float* from, extent width, extent position) {
        stored* to = keys_.data() + b * layout_.heads * layout_.key_width * key_stride_ + position;
        for (extent h = 0; h < layout_.heads; ++h, from += width)
            for (extent c = 0; c < layout_.key_width; ++c, to += key_stride_)
                *to = how_.code(from[c]);
    }
    /// The same for values, to the next position.
    void put_values(extent b, const float* from, extent width) {
        stored* to = values_.data() + (b * capacity() + next_) * value_stride_;
        for (extent h = 0; h < layout_.heads; ++h, from += width)
            to = std::transform(from, from + layout_.value_width, to,
                                [this](float v) { return how_.code(v); });
    }

    /// Moves the last S positions to the front of the buffer.
    void roll_back() {
        const extent from = next_ - layout_.window;
        for (extent row = 0; row < layout_.rows() * layout_.key_width; ++row) {
            stored* const keys = keys_.data() + row * key_stride_;
            std::copy_n(keys + from, layout_.window, keys);
        }
        for (extent b = 0; b < layout_.batch; ++b) {
            stored* const values = values_.data() + b * capacity() * value_stride_;
            std::copy_n(values + from * value_stride_, layout_.window * value_stride_, values);
        }
        next_ = layout_.window;
    }

    segment_layout layout_;
    Values how_;
    extent key_stride_;
    extent value_stride_;
    extent next_ = 0;    ///< where the next position goes
    extent filled_ = 0;  ///< positions held, the newest included, at most S+1
    lasting_vector<stored> keys_;
    lasting_vector<stored> values_;
};

using attention_cache = basic_attention_cache<float_values>;
using coded_attention_cache = basic_attention_cache<code_values>;

}  // namespace tare::kernels
