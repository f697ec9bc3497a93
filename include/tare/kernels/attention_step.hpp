#pragma once
// SPDX-License-Identifier: MIT
// Attention with memory and relative positions (formulas in segment_layout.hpp) for one new token:
// what segment_attention_forward computes for its last row, bit for bit, from a cache of keys and
// values that rolls along. Heads are done band_rows at a time, so that the slow folds of one
// softmax and the chains of one value sum overlap with those of the others.

#include <tare/core/parallel.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/kernels/attention_cache.hpp>
#include <tare/kernels/attention_rows.hpp>

namespace tare::kernels {

namespace detail {

/// Scores of one query over `Vectors` registers of window entries.
template <int Vectors, class Values, class Stored = typename Values::stored>
[[gnu::always_inline]] inline void step_scores(const float* q, extent key_width, const Values& how,
                                               const Stored* keys, extent key_stride,
                                               const float* positions, extent position_stride,
                                               float factor, float* p) {
    simd::floats content[Vectors];
    simd::floats position[Vectors];
    for (int v = 0; v < Vectors; ++v)
        content[v] = position[v] = simd::broadcast(0.0F);
    for (extent c = 0; c < key_width; ++c) {
        const simd::floats x = simd::broadcast(q[c]);
        // Rows are too short for the processor to read ahead: so ask for the next head's.
        simd::prefetch<Vectors * simd::lanes>(keys, (c + key_width) * key_stride);
        for (int v = 0; v < Vectors; ++v) {
            content[v] = simd::fma(x, how.load(keys + c * key_stride + v * lanes), content[v]);
            position[v] =
                simd::fma(x, simd::load(positions + c * position_stride + v * lanes), position[v]);
        }
    }
    for (int v = 0; v < Vectors; ++v)
        simd::store(p + v * lanes, (content[v] + position[v]) * simd::broadcast(factor));
}

/// Positions whose values are asked for before they are added: of 4 to 16, 8 was fastest.
inline constexpr extent positions_ahead = 8;

/// Weighted sums of the values of band_rows heads that lie side by side.
template <int Vectors, class Values, class Stored = typename Values::stored>
inline void step_values(const float* p, extent stride, const float* factors, extent entries,
                        const Values& how, const Stored* values, extent value_stride,
                        extent head_width, float* out, extent heads, extent columns) {
    simd::floats sum[band_rows][Vectors];
    clear(sum);
    simd::floats row[Vectors];
    for (extent j = 0; j < entries; ++j) {
#pragma GCC unroll 16
        for (int h = 0; h < band_rows; ++h) {
            if (h >= heads) break;
            const Stored* const from = values + j * value_stride + h * head_width;
            simd::prefetch<Vectors * simd::lanes>(from, positions_ahead * value_stride);
            for (int v = 0; v < Vectors; ++v)
                row[v] = how.load(from + v * lanes);
            add_scaled(p[h * stride + j], row, sum[h]);
        }
    }
    store_rows(out, head_width, sum, factors, heads, columns);
}

/// Score of a query with its own position, distance 0.
inline float own_score(const float* q, extent key_width, const float* positions,
                       extent position_stride, float factor) {
    const float* const k = q + key_width;
    simd::floats content = simd::broadcast(0.0F);
    simd::floats position = content;
    for (extent c = 0; c < key_width; ++c) {
        const simd::floats x = simd::broadcast(q[c]);
        content = simd::fma(x, simd::broadcast(k[c]), content);
        position = simd::fma(x, simd::broadcast(positions[c * position_stride]), position);
    }
    alignas(64) float lane[lanes];
    simd::store(lane, (content + position) * simd::broadcast(factor));
    return lane[0];
}

/// One stream's new row. Its keys are not in the cache yet: their score comes from the row itself.
template <class Values, class Points>
void step_stream(const basic_attention_cache<Values>& cache, const position_table& positions,
                 extent b, const float* qkv, float* out, const Points& points) {
    const segment_layout& layout = cache.layout();
    const extent entries = layout.entries();
    const extent stride = positions.stride();
    const extent whole = (entries - 1) / pack_width * pack_width;
    const auto factor = static_cast<float>(layout.factor());
    const simd::pack lowest = simd::pack_of(-std::numeric_limits<float>::infinity());
    const simd::mask_pack valid = first_lanes(entries - whole);
    const simd::mask_pack older = first_lanes(entries - 1 - whole);
    float* const p = scratch(band_rows * stride);
    for (extent h0 = 0; h0 < layout.heads; h0 += band_rows) {
        const extent heads = std::min<extent>(band_rows, layout.heads - h0);
        simd::pack top[band_rows];
        for (int i = 0; i < band_rows; ++i) {
            float* const row = p + i * stride;
            top[i] = simd::pack_of(0.0F);
            if (i >= heads) {
                std::fill_n(row, stride, 0.0F);
                continue;
            }
            const float* q = qkv + (h0 + i) * layout.head_width();
            const auto* k = cache.keys(b, h0 + i);
            const auto scores = [&](extent j, auto vectors) {
                step_scores<vectors>(q, layout.key_width, cache.how(), k + j, cache.key_stride(),
                                     positions.data() + j, stride, factor, row + j);
            };
            extent j = 0;
            for (; j + 4 * lanes <= stride; j += 4 * lanes)
                scores(j, std::integral_constant<int, 4>{});
            if (j < stride) with_vectors(stride - j, [&](auto vectors) { scores(j, vectors); });
            const simd::pack own = simd::pack_of(
                own_score(q, layout.key_width, positions.data() + entries - 1, stride, factor));
            std::fill_n(row, cache.first(), -std::numeric_limits<float>::infinity());
            const simd::pack last =
                select(valid, select(older, simd::load_pack(row + whole), own), lowest);
            simd::store(row + whole, last);
            simd::pack highest = last;
            for (j = 0; j < whole; j += pack_width)
                highest = max(highest, simd::load_pack(row + j));
            top[i] = highest;
        }
        const row_scales scales = exponentials(p, stride, entries, top);
        if constexpr (Points::changes_probabilities)
            for (extent i = 0; i < heads; ++i) {
                scale_row(p + i * stride, entries, scales.inverse[i], p + i * stride);
                points.probabilities(
                    std::span<float>(p + i * stride, static_cast<std::size_t>(entries)),
                    b * layout.heads + h0 + i);
            }
        const float* divide = Points::changes_probabilities ? nullptr : scales.inverse;
        for (extent c = 0; c < layout.value_width; c += tile_vectors * lanes) {
            const auto* values = cache.values(b) + h0 * layout.value_width + c;
            float* o = out + h0 * layout.value_width + c;
            const extent columns = layout.value_width - c;
            with_vectors(columns, [&](auto vectors) {
                step_values<vectors>(p, stride, divide, entries, cache.how(), values,
                                     cache.value_stride(), layout.value_width, o, heads, columns);
            });
        }
        if constexpr (Points::changes_output)
            for (extent i = 0; i < heads; ++i)
                points.output(std::span<float>(out + (h0 + i) * layout.value_width,
                                               static_cast<std::size_t>(layout.value_width)),
                              b * layout.heads + h0 + i);
    }
}

}  // namespace detail

/// Attention of one new token per stream: appends its keys and values to the cache, then attends.
///
/// **Shapes** qkv (B, H*(2nk+nv)), one row of the layer's projection per stream; out (B, H*nv).
/// **Accuracy** the bits of segment_attention_forward for the same history.
/// A cache of codes must hold the rows' keys and values: see code_values::hold().
/// **Throws** tare::error on shapes that do not fit and on overlap; the cache is then unchanged.
/// **Complexity/threads** one pass over the window's keys and values; streams in parallel.
template <class Values, class Points = no_attention_points>
    requires(attention_points<Points, float>)
void attention_step(basic_attention_cache<Values>& cache, const position_table& positions,
                    matrix_view<const float> qkv, matrix_view<float> out,
                    const Points& points = {}) {
    const segment_layout& layout = cache.layout();
    require(positions.key_width() == layout.key_width && positions.entries() == layout.entries(),
            "attention_step: the position table is (", positions.key_width(), ',',
            positions.entries(), "), the cache expects (", layout.key_width, ',', layout.entries(),
            ")");
    detail::require_matrix("attention_step", "out", out, layout.batch,
                           layout.heads * layout.value_width);
    detail::require_apart("attention_step", "qkv", qkv, "out", out);
    cache.append_values(qkv);
    const extent work =
        layout.heads * layout.entries() * (2 * layout.key_width + layout.value_width) / 8;
    parallel_for(layout.batch, 1, work, [&](extent first, extent last) {
        for (extent b = first; b < last; ++b)
            detail::step_stream(cache, positions, b, &qkv(b, 0), &out(b, 0), points);
    });
    cache.append_keys(qkv);
}

}  // namespace tare::kernels
