#pragma once
// SPDX-License-Identifier: MIT
// The softmax of attention, a block of rows at a time, and the gradient of its scores. All sums run
// over sixteen virtual lanes, so their order depends on the length of a row alone.

#include <limits>
#include <span>

#include <tare/core/pack.hpp>
#include <tare/kernels/attention_points.hpp>
#include <tare/kernels/attention_tile.hpp>
#include <tare/kernels/vector_math.hpp>

namespace tare::kernels::detail {

/// Mask of the lanes below `count` of a pack.
inline simd::mask_pack first_lanes(extent count) {
    alignas(64) static constexpr float index[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                    8, 9, 10, 11, 12, 13, 14, 15};
    return simd::load_pack(index) < simd::pack_of(static_cast<float>(count));
}

/// What turns the exponentials of a row into its probabilities.
struct row_scales {
    float inverse[band_rows];  ///< 1 / sum of the row
};

/// Exponentials of the rows of a block whose scores lie in p already, `entries` each: p is
/// overwritten by e^(score - maximum), zeros fill the last pack. `top` holds the maxima by lane.
/// Scores of -inf give 0; a NaN or +inf makes the whole row NaN.
inline row_scales exponentials(float* p, extent stride, extent entries,
                               const simd::pack (&top)[band_rows]) {
    const extent whole = (entries - 1) / pack_width * pack_width;
    const simd::mask_pack valid = first_lanes(entries - whole);
    // Rows are done side by side: each fold is a chain of slow steps, and they overlap.
    float highest[band_rows];
    for (int i = 0; i < band_rows; ++i)
        highest[i] = simd::reduce_max(top[i]);
    simd::pack total[band_rows];
    for (int i = 0; i < band_rows; ++i) {
        float* const row = p + i * stride;
        const simd::pack high = simd::pack_of(highest[i]);
        const simd::pack last =
            simd::keep(valid, vector_math::exp_nonpositive(simd::load_pack(row + whole) - high));
        simd::store(row + whole, last);
        // A sum of its own: one in the array would go through memory in each step.
        simd::pack sum = last;
        for (extent j = 0; j < whole; j += pack_width) {
            const simd::pack e = vector_math::exp_nonpositive(simd::load_pack(row + j) - high);
            simd::store(row + j, e);
            sum = sum + e;
        }
        total[i] = sum;
    }
    row_scales scales;
    for (int i = 0; i < band_rows; ++i)
        scales.inverse[i] = 1.0F / simd::reduce_add(total[i]);
    return scales;
}

/// to[j] = p[j] * factor for `entries` values; `to` may be p.
inline void scale_row(const float* p, extent entries, float factor, float* to) {
    const simd::pack f = simd::pack_of(factor);
    extent j = 0;
    for (; j + pack_width <= entries; j += pack_width)
        simd::store(to + j, simd::load_pack(p + j) * f);
    if (j < entries)
        simd::store(to + j, simd::load_pack(p + j) * f, static_cast<std::size_t>(entries - j));
}

/// Gradients of one row of scores from those of its weights, dw, and its probabilities p:
/// ds = p (dp - sum p dp) * factor with dp = points'(dw). Also the weights w = points(p)
/// themselves. p holds `entries` values; dw, ds and w are padded to whole packs, ds and w get zeros
/// there. `spare` has room for a row.
template <class Points>
void score_gradients(const Points& points, extent row, const float* p, const float* dw,
                     extent entries, float factor, float* ds, float* w, float* spare) {
    const auto size = static_cast<std::size_t>(entries);
    const extent whole = (entries - 1) / pack_width * pack_width;
    const auto rest = static_cast<std::size_t>(entries - whole);
    const simd::pack last_p = simd::load_pack(p + whole, rest);
    simd::store(w + whole, last_p);
    if constexpr (Points::changes_probabilities) {
        std::copy_n(p, entries, w);
        points.probabilities(std::span<float>(w, size), row);
        std::copy_n(dw, entries, spare);
        points.d_probabilities(std::span<const float>(p, size), std::span<float>(spare, size), row);
        dw = spare;
    }
    const simd::mask_pack valid = first_lanes(entries - whole);
    const simd::pack last_dp = keep(valid, simd::load_pack(dw + whole));
    simd::pack total = last_p * last_dp;
    for (extent j = 0; j < whole; j += pack_width)
        total = fma(simd::load_pack(p + j), simd::load_pack(dw + j), total);
    const simd::pack mean = simd::pack_of(simd::reduce_add(total));
    const simd::pack scale = simd::pack_of(factor);
    for (extent j = 0; j < whole; j += pack_width) {
        const simd::pack one = simd::load_pack(p + j);
        simd::store(ds + j, one * (simd::load_pack(dw + j) - mean) * scale);
        if constexpr (!Points::changes_probabilities) simd::store(w + j, one);
    }
    simd::store(ds + whole, keep(valid, last_p * (last_dp - mean) * scale));
}

}  // namespace tare::kernels::detail
