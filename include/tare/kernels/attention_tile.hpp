#pragma once
// SPDX-License-Identifier: MIT
// The small products that attention is made of, on blocks that fit the registers.
//
// A block is `tile_rows` query rows of one head. Their windows are shifted by one position each, so
// that scores and weights form a skewed band: row i of the block covers positions i .. i+S of it. A
// skewed band is a matrix whose leading dimension is one less than that of its storage, so the
// ordinary product serves it; sums over a band walk the common part with all rows in registers and
// the two triangles at its ends row by row, so that no row ever touches a position outside its
// window (a NaN there must not leak).
//
// Every element is one chain of fused multiply-adds in rising order of the summed index, wherever
// its block begins: results depend on neither blocks nor threads.

#include <algorithm>
#include <limits>
#include <utility>

#include <tare/core/aligned.hpp>
#include <tare/core/pack.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/vector_math.hpp>

namespace tare::kernels::detail {

inline constexpr extent lanes = static_cast<extent>(simd::lanes);
inline constexpr extent pack_width = static_cast<extent>(simd::pack_lanes);
/// Query rows in a block: with 32 registers 8 rows by 3 vectors of accumulators fit, with 16 half.
inline constexpr int tile_rows = simd::lanes == 16 ? 8 : 4;
inline constexpr int tile_vectors = 3;

constexpr extent round_up(extent n, extent step) {
    return (n + step - 1) / step * step;
}

/// A leading dimension of at least n whose rows do not all fall into the same cache sets.
constexpr extent spread_stride(extent n) {
    const extent lines = round_up(n, 16) / 16;
    return (lines | 1) * 16;
}

/// Memory of the calling thread, kept from call to call: a fresh block would cost page faults.
inline float* scratch(extent count) {
    thread_local aligned_vector<float> block;
    if (static_cast<extent>(block.size()) < count) block.resize(static_cast<std::size_t>(count));
    return block.data();
}

/// c[i][n] (+)= sum over k of a(i, k) * b[k][n] for Rows x Vectors registers. a(i, k) is a[i*lda+k]
/// with ByRow, else a[k*lda+i].
template <int Rows, int Vectors, bool ByRow>
inline void product_tile(extent depth, const float* a, extent lda, const float* b, extent ldb,
                         float* c, extent ldc, bool accumulate) {
    simd::floats sum[Rows][Vectors];
    for (int i = 0; i < Rows; ++i)
        for (int v = 0; v < Vectors; ++v)
            sum[i][v] = accumulate ? simd::load(c + i * ldc + v * lanes) : simd::broadcast(0.0F);
    for (extent k = 0; k < depth; ++k, b += ldb) {
        simd::floats right[Vectors];
        for (int v = 0; v < Vectors; ++v)
            right[v] = simd::load(b + v * lanes);
        for (int i = 0; i < Rows; ++i) {
            const simd::floats left = simd::broadcast(ByRow ? a[i * lda + k] : a[k * lda + i]);
            for (int v = 0; v < Vectors; ++v)
                sum[i][v] = simd::fma(left, right[v], sum[i][v]);
        }
    }
    for (int i = 0; i < Rows; ++i)
        for (int v = 0; v < Vectors; ++v)
            simd::store(c + i * ldc + v * lanes, sum[i][v]);
}

/// The same for tile_rows rows and any number of vectors.
template <bool ByRow>
inline void product(extent depth, const float* a, extent lda, const float* b, extent ldb, float* c,
                    extent ldc, extent vectors, bool accumulate = false) {
    for (; vectors >= 3 && vectors != 4; vectors -= 3, b += 3 * lanes, c += 3 * lanes)
        product_tile<tile_rows, 3, ByRow>(depth, a, lda, b, ldb, c, ldc, accumulate);
    for (; vectors >= 2; vectors -= 2, b += 2 * lanes, c += 2 * lanes)
        product_tile<tile_rows, 2, ByRow>(depth, a, lda, b, ldb, c, ldc, accumulate);
    if (vectors == 1) product_tile<tile_rows, 1, ByRow>(depth, a, lda, b, ldb, c, ldc, accumulate);
}

/// Calls f(std::integral_constant<int, 0>) .. f(std::integral_constant<int, N - 1>): loops over
/// registers must be unrolled by the front end, or the registers become memory.
template <int N, class F>
[[gnu::always_inline]] inline void unrolled(F&& f) {
    [&]<int... I>(std::integer_sequence<int, I...>) {
        (f(std::integral_constant<int, I>{}), ...);
    }
    (std::make_integer_sequence<int, N>{});
}

/// sum[i] += sum over k of w(i, k) * x[k] with w(i, k) = w[i*ldw + k - i*Skew], each row over its
/// own `entries` values of k: from i (Skew 1) or 0 (Skew 0). x has rows of Vectors registers.
template <int Skew, int Vectors>
[[gnu::always_inline]] inline void band_sum(const float* w, extent ldw, extent entries,
                                            const float* x, extent ldx,
                                            simd::floats (&sum)[tile_rows][Vectors]) {
    constexpr int edge = Skew == 0 ? 0 : tile_rows - 1;
    const extent step = ldw - Skew;
    const auto add = [&](int i, extent k, const simd::floats(&row)[Vectors]) {
        const simd::floats weight = simd::broadcast(w[i * step + k]);
        for (int v = 0; v < Vectors; ++v)
            sum[i][v] = simd::fma(weight, row[v], sum[i][v]);
    };
    const auto load_row = [&](extent k, simd::floats(&row)[Vectors]) {
        for (int v = 0; v < Vectors; ++v)
            row[v] = simd::load(x + k * ldx + v * lanes);
    };
    simd::floats row[Vectors];
    if (Skew == 1 && entries < edge) {
        // Windows shorter than the block: no common part.
        unrolled<tile_rows>([&](auto i) {
            for (extent k = i; k < i + entries; ++k) {
                load_row(k, row);
                add(i, k, row);
            }
        });
        return;
    }
    unrolled<edge>([&](auto k) {
        load_row(k, row);
        unrolled<k + 1>([&](auto i) { add(i, k, row); });
    });
    for (extent k = edge; k < entries; ++k) {
        load_row(k, row);
        unrolled<tile_rows>([&](auto i) { add(i, k, row); });
    }
    unrolled<edge>([&](auto past) {
        load_row(entries + past, row);
        unrolled<edge - past>([&](auto i) { add(i + past + 1, entries + past, row); });
    });
}

/// Stores the first `columns` floats of Vectors registers.
template <int Vectors>
[[gnu::always_inline]] inline void store_columns(float* to, const simd::floats (&x)[Vectors],
                                                 extent columns) {
    for (int v = 0; v < Vectors; ++v) {
        const extent left = columns - v * lanes;
        if (left >= lanes)
            simd::store(to + v * lanes, x[v]);
        else if (left > 0)
            simd::store_partial(to + v * lanes, x[v], static_cast<std::size_t>(left));
    }
}

/// Mask of the lanes below `count` of a pack.
inline simd::mask_pack first_lanes(extent count) {
    alignas(64) static constexpr float index[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                    8, 9, 10, 11, 12, 13, 14, 15};
    return simd::load_pack(index) < simd::pack_of(static_cast<float>(count));
}

/// What turns the exponentials of a row into its probabilities.
struct row_scales {
    float inverse[tile_rows];  ///< 1 / sum of the row
};

/// Exponentials of the rows of a block whose scores lie in p already, `entries` each: p is
/// overwritten by e^(score - maximum), zeros fill the last pack. `top` holds the maxima by lane.
/// Scores of -inf give 0; a NaN or +inf makes the whole row NaN.
inline row_scales exponentials(float* p, extent stride, extent entries,
                               const simd::pack (&top)[tile_rows]) {
    const extent whole = (entries - 1) / pack_width * pack_width;
    const simd::mask_pack valid = first_lanes(entries - whole);
    // Rows are done side by side: each fold is a chain of slow steps, and they overlap.
    float highest[tile_rows];
    for (int i = 0; i < tile_rows; ++i)
        highest[i] = simd::reduce_max(top[i]);
    simd::pack total[tile_rows];
    for (int i = 0; i < tile_rows; ++i) {
        float* const row = p + i * stride;
        const simd::pack high = simd::pack_of(highest[i]);
        const simd::pack last =
            simd::keep(valid, vector_math::exp_nonpositive(simd::load_pack(row + whole) - high));
        simd::store(row + whole, last);
        total[i] = last;
        for (extent j = 0; j < whole; j += pack_width) {
            const simd::pack e = vector_math::exp_nonpositive(simd::load_pack(row + j) - high);
            simd::store(row + j, e);
            total[i] = total[i] + e;
        }
    }
    row_scales scales;
    for (int i = 0; i < tile_rows; ++i)
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

/// to[c * ld + n] = from[n * stride + c] for n < count, c < width.
inline void pack_transposed(const float* from, extent stride, extent count, extent width, float* to,
                            extent ld) {
    if (count < lanes || width < lanes) {
        for (extent n = 0; n < count; ++n)
            for (extent c = 0; c < width; ++c)
                to[c * ld + n] = from[n * stride + c];
        return;
    }
    // The last block of a row or column is moved back until it fits: it repeats some work, but
    // reads and writes nothing outside.
    for (extent n = 0; n < count; n += lanes)
        for (extent c = 0; c < width; c += lanes) {
            const extent n0 = std::min(n, count - lanes);
            const extent c0 = std::min(c, width - lanes);
            simd::transpose_block(from + n0 * stride + c0, stride, to + c0 * ld + n0, ld);
        }
}

/// Rows of `width` floats to rows of `ld` floats (a multiple of the register), zeros behind.
inline void pack_padded(const float* from, extent stride, extent count, extent width, float* to,
                        extent ld) {
    const extent whole = width / lanes * lanes;
    for (extent n = 0; n < count; ++n, from += stride, to += ld) {
        for (extent c = 0; c < whole; c += lanes)
            simd::store(to + c, simd::load(from + c));
        extent c = whole;
        if (c < width) {
            simd::store(to + c, simd::load_partial(from + c, static_cast<std::size_t>(width - c)));
            c += lanes;
        }
        for (; c < ld; c += lanes)
            simd::store(to + c, simd::broadcast(0.0F));
    }
}

}  // namespace tare::kernels::detail
