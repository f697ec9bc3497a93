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
#include <utility>

#include <tare/core/aligned.hpp>
#include <tare/core/pack.hpp>
#include <tare/core/view.hpp>

namespace tare::kernels::detail {

inline constexpr extent lanes = static_cast<extent>(simd::lanes);
inline constexpr extent pack_width = static_cast<extent>(simd::pack_lanes);
/// Query rows in a block: with 32 registers 8 rows by 3 vectors of accumulators fit, with 16 half.
inline constexpr int tile_rows = simd::lanes == 16 ? 8 : 4;
inline constexpr int tile_vectors = 3;

constexpr extent round_up(extent n, extent step) {
    return (n + step - 1) / step * step;
}

/// Columns that a padded operand of `width` has: whole registers, and whole tiles of rows when the
/// same operand is read across.
constexpr extent padded_width(extent width) {
    return round_up(width, std::max<extent>(lanes, tile_rows));
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

/// Calls f(std::integral_constant<int, 0>) .. f(std::integral_constant<int, N - 1>): loops over
/// registers must be unrolled by the front end, and f always be inlined (the attribute on the
/// lambdas below), or the registers become memory: measured, half the speed.
template <int... I, class F>
[[gnu::always_inline]] inline void unrolled(std::integer_sequence<int, I...>, F&& f) {
    (f(std::integral_constant<int, I>{}), ...);
}
template <int N, class F>
[[gnu::always_inline]] inline void unrolled(F&& f) {
    unrolled(std::make_integer_sequence<int, N>{}, f);
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
        unrolled<Rows>([&](auto i) __attribute__((always_inline)) {
            const simd::floats left = simd::broadcast(ByRow ? a[i * lda + k] : a[k * lda + i]);
            for (int v = 0; v < Vectors; ++v)
                sum[i][v] = simd::fma(left, right[v], sum[i][v]);
        });
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

/// Which keys the rows of a block sum over, given `entries`: each row the same ones (straight), row
/// i those up to entries + i (causal), or row i those from i to entries + i (skewed).
enum class band { straight, causal, skewed };

/// sum[i] += sum over k of w[i * step + k] * x[k], over the keys that the band gives row i. x has
/// rows of Vectors registers.
template <band Shape, int Vectors>
[[gnu::always_inline]] inline void band_sum(const float* w, extent step, extent entries,
                                            const float* x, extent ldx,
                                            simd::floats (&sum)[tile_rows][Vectors]) {
    constexpr int before = Shape == band::skewed ? tile_rows - 1 : 0;
    constexpr int after = Shape == band::straight ? 0 : tile_rows - 1;
    const auto add = [&](int i, extent k, const simd::floats(&row)[Vectors])
        __attribute__((always_inline)) {
        const simd::floats weight = simd::broadcast(w[i * step + k]);
        for (int v = 0; v < Vectors; ++v)
            sum[i][v] = simd::fma(weight, row[v], sum[i][v]);
    };
    const auto load_row = [&](extent k, simd::floats(&row)[Vectors])
        __attribute__((always_inline)) {
        for (int v = 0; v < Vectors; ++v)
            row[v] = simd::load(x + k * ldx + v * lanes);
    };
    simd::floats row[Vectors];
    if (entries < before) {
        // Windows shorter than the block: no common part.
        unrolled<tile_rows>([&](auto i) __attribute__((always_inline)) {
            for (extent k = i; k < i + entries; ++k) {
                load_row(k, row);
                add(i, k, row);
            }
        });
        return;
    }
    unrolled<before>([&](auto k) __attribute__((always_inline)) {
        load_row(k, row);
        unrolled<k + 1>([&](auto i) __attribute__((always_inline)) { add(i, k, row); });
    });
    for (extent k = before; k < entries; ++k) {
        load_row(k, row);
        unrolled<tile_rows>([&](auto i) __attribute__((always_inline)) { add(i, k, row); });
    }
    unrolled<after>([&](auto past) __attribute__((always_inline)) {
        load_row(entries + past, row);
        unrolled<after - past>([&](auto i) __attribute__((always_inline)) {
            add(i + past + 1, entries + past, row);
        });
    });
}

/// Registers that start at zero.
template <int Vectors>
[[gnu::always_inline]] inline void clear(simd::floats (&sum)[tile_rows][Vectors]) {
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
                                              const simd::floats (&sum)[tile_rows][Vectors],
                                              const float* factors, extent rows, extent columns) {
    unrolled<tile_rows>([&](auto i) __attribute__((always_inline)) {
        if (i >= rows) return;
        const simd::floats factor = simd::broadcast(factors != nullptr ? factors[i] : 1.0F);
        for (int v = 0; v < Vectors; ++v) {
            float* const at = to + i * stride + v * lanes;
            const extent left = columns - v * lanes;
            if (left >= lanes)
                simd::store(at, sum[i][v] * factor);
            else if (left > 0)
                simd::store_partial(at, sum[i][v] * factor, static_cast<std::size_t>(left));
        }
    });
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
