#pragma once
// SPDX-License-Identifier: MIT
// The small products that attention is made of, on blocks that fit the registers.
//
// A block is `band_rows` query rows of one head. Their windows are shifted by one position each, so
// that scores and weights form a skewed band: row i of the block covers positions i .. i+S of it. A
// skewed band is a matrix whose leading dimension is one less than that of its storage, so the
// ordinary product serves it; sums over a band walk the common part with all rows in registers and
// the two triangles at its ends row by row, so that no row ever touches a position outside its
// window (a NaN there must not leak).
//
// Every element is one chain of fused multiply-adds in rising order of the summed index, wherever
// its block begins: results depend on neither blocks nor threads.

#include <algorithm>
#include <type_traits>

#include <tare/core/aligned.hpp>
#include <tare/core/pack.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/core/simd_transpose.hpp>
#include <tare/core/view.hpp>

namespace tare::kernels::detail {

inline constexpr extent lanes = static_cast<extent>(simd::lanes);
inline constexpr extent pack_width = static_cast<extent>(simd::pack_lanes);
/// Query rows in a block: with 32 registers 8 rows by 3 vectors of accumulators fit, with 16 half.
inline constexpr int band_rows = simd::lanes == 16 ? 8 : 4;
inline constexpr int tile_vectors = 3;

constexpr extent round_up(extent n, extent step) {
    return (n + step - 1) / step * step;
}

/// Columns that a padded operand of `width` has: whole registers, and whole tiles of rows when the
/// same operand is read across.
constexpr extent padded_width(extent width) {
    return round_up(width, std::max<extent>(lanes, band_rows));
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
#pragma GCC unroll 16
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

/// The same for band_rows rows and any number of vectors.
template <bool ByRow>
inline void product(extent depth, const float* a, extent lda, const float* b, extent ldb, float* c,
                    extent ldc, extent vectors, bool accumulate = false) {
    for (; vectors >= 3 && vectors != 4; vectors -= 3, b += 3 * lanes, c += 3 * lanes)
        product_tile<band_rows, 3, ByRow>(depth, a, lda, b, ldb, c, ldc, accumulate);
    for (; vectors >= 2; vectors -= 2, b += 2 * lanes, c += 2 * lanes)
        product_tile<band_rows, 2, ByRow>(depth, a, lda, b, ldb, c, ldc, accumulate);
    if (vectors == 1) product_tile<band_rows, 1, ByRow>(depth, a, lda, b, ldb, c, ldc, accumulate);
}

/// Which keys the rows of a block sum over, given `entries`: each row the same ones (straight), row
/// i those up to entries + i (causal), or row i those from i to entries + i (skewed).
enum class band { straight, causal, skewed };

/// sum += weight * x for Vectors registers.
template <int Vectors>
[[gnu::always_inline]] inline void add_scaled(float weight, const simd::floats (&x)[Vectors],
                                              simd::floats (&sum)[Vectors]) {
    const simd::floats w = simd::broadcast(weight);
    for (int v = 0; v < Vectors; ++v)
        sum[v] = simd::fma(w, x[v], sum[v]);
}

template <int Vectors>
[[gnu::always_inline]] inline void load_registers(const float* from, simd::floats (&x)[Vectors]) {
    for (int v = 0; v < Vectors; ++v)
        x[v] = simd::load(from + v * lanes);
}

/// sum[i] += sum over k of w[i * step + k] * x[k], over the keys that the band gives row i. x has
/// rows of Vectors registers.
template <band Shape, int Vectors>
[[gnu::always_inline]] inline void band_sum(const float* w, extent step, extent entries,
                                            const float* x, extent ldx,
                                            simd::floats (&sum)[band_rows][Vectors]) {
    // Rows are unrolled by the pragma everywhere: a row number known only at run time
    // would put the sums into memory; unrolled over keys as well, the triangles have no branches.
    constexpr int before = Shape == band::skewed ? band_rows - 1 : 0;
    constexpr int after = Shape == band::straight ? 0 : band_rows - 1;
    simd::floats row[Vectors];
    if (entries < before) {
        // Windows shorter than the block: no common part.
#pragma GCC unroll 16
        for (int i = 0; i < band_rows; ++i)
            for (extent k = i; k < i + entries; ++k) {
                load_registers(x + k * ldx, row);
                add_scaled(w[i * step + k], row, sum[i]);
            }
        return;
    }
#pragma GCC unroll 8
    for (int k = 0; k < before; ++k) {
        load_registers(x + k * ldx, row);
#pragma GCC unroll 16
        for (int i = 0; i < band_rows; ++i)
            if (i <= k) add_scaled(w[i * step + k], row, sum[i]);
    }
    // A pointer for every third row: x86 addresses base, base + step and base + 2 step. One for
    // each row would not fit the registers, and loading it costs as much as the weight.
    constexpr int bases = (band_rows + 2) / 3;
    const float* base[bases];
    for (int i = 0; i < bases; ++i)
        base[i] = w + 3 * i * step + before;
#pragma GCC unroll 4
    for (extent k = before; k < entries; ++k) {
        load_registers(x + k * ldx, row);
#pragma GCC unroll 16
        for (int i = 0; i < band_rows; ++i)
            add_scaled(base[i / 3][i % 3 * step], row, sum[i]);
#pragma GCC unroll 4
        for (int i = 0; i < bases; ++i)
            ++base[i];
    }
    x += entries * ldx;
    w += entries;
#pragma GCC unroll 8
    for (int k = 0; k < after; ++k) {
        load_registers(x + k * ldx, row);
#pragma GCC unroll 16
        for (int i = 0; i < band_rows; ++i)
            if (i > k) add_scaled(w[i * step + k], row, sum[i]);
    }
}

/// Registers that start at zero.
template <int Vectors>
[[gnu::always_inline]] inline void clear(simd::floats (&sum)[band_rows][Vectors]) {
    for (auto& row : sum)
        for (auto& s : row)
            s = simd::broadcast(0.0F);
}

/// Calls f(std::integral_constant<int, n>) for the number of registers, at most tile_vectors, that
/// `columns` floats take.
template <class F>
void with_vectors(extent columns, F&& f) {
    const extent vectors = (columns + lanes - 1) / lanes;
    if (vectors == 1)
        f(std::integral_constant<int, 1>{});
    else if (vectors == 2)
        f(std::integral_constant<int, 2>{});
    else
        f(std::integral_constant<int, tile_vectors>{});
}

/// Stores the first `columns` floats of the first `rows` rows, `stride` apart, each times its
/// factor if there are any.
template <int Vectors>
[[gnu::always_inline]] inline void store_rows(float* to, extent stride,
                                              const simd::floats (&sum)[band_rows][Vectors],
                                              const float* factors, extent rows, extent columns) {
#pragma GCC unroll 16
    for (int i = 0; i < band_rows; ++i) {
        if (i >= rows) break;
        const simd::floats factor = simd::broadcast(factors != nullptr ? factors[i] : 1.0F);
        for (int v = 0; v < Vectors; ++v) {
            float* const at = to + i * stride + v * lanes;
            const extent left = columns - v * lanes;
            if (left >= lanes)
                simd::store(at, sum[i][v] * factor);
            else if (left > 0)
                simd::store_partial(at, sum[i][v] * factor, static_cast<std::size_t>(left));
        }
    }
}

/// Weighted sums of the rows of x, stored: band_sum and store_rows in one.
template <band Shape, int Vectors>
inline void weighted_rows(const float* w, extent step, extent entries, const float* x, extent ldx,
                          const float* factors, float* to, extent stride, extent rows,
                          extent columns) {
    simd::floats sum[band_rows][Vectors];
    clear(sum);
    band_sum<Shape>(w, step, entries, x, ldx, sum);
    store_rows(to, stride, sum, factors, rows, columns);
}

/// A head's rows lie a token apart, too far for the hardware to look ahead: this many rows before
/// their turn, the first two lines of each are asked for.
inline constexpr extent rows_ahead = 16;
inline constexpr std::size_t row_floats_ahead = 32;

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
    for (extent n = 0; n < count; n += lanes) {
        const extent n0 = std::min(n, count - lanes);
        for (extent i = 0; i < lanes; ++i)
            simd::prefetch<row_floats_ahead>(from, (n0 + i + rows_ahead) * stride);
        for (extent c = 0; c < width; c += lanes) {
            const extent c0 = std::min(c, width - lanes);
            simd::transpose_block(from + n0 * stride + c0, stride, to + c0 * ld + n0, ld);
        }
    }
}

/// Rows of `width` floats to rows of `ld` floats (a multiple of the register), zeros behind.
inline void pack_padded(const float* from, extent stride, extent count, extent width, float* to,
                        extent ld) {
    const extent whole = width / lanes * lanes;
    for (extent n = 0; n < count; ++n, from += stride, to += ld) {
        simd::prefetch<row_floats_ahead>(from, rows_ahead * stride);
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
