#pragma once
// SPDX-License-Identifier: MIT
// What the row kernels share: a loop over rows, a map and a sum along one row, its maximum, and the
// checks of their arguments. Sums run over 64 virtual lanes and are closed every 2048 columns, an
// order fixed by the length of the row alone.

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/map.hpp>

namespace tare::kernels::detail {

using simd::load_pack;
using simd::pack;
using simd::pack_lanes;
using simd::pack_of;

/// Columns whose sums are closed before the next ones start.
inline constexpr std::size_t sum_block = 2048;

/// Bytes from which on an array is asked for ahead of its use: below, the second cache may hold it,
/// and asking costs a tenth of the speed of reading.
inline constexpr std::size_t ahead_bytes = std::size_t{2} << 20;

/// The first `count` <= 16 floats at p, zeros behind them; a whole load where count is 16.
[[gnu::always_inline]] inline pack load_up_to(const float* p, std::size_t count) {
    return count == pack_lanes ? load_pack(p) : load_pack(p, count);
}
/// Writes the first `count` <= 16 floats of v to p.
[[gnu::always_inline]] inline void store_up_to(float* p, const pack& v, std::size_t count) {
    if (count == pack_lanes)
        store(p, v);
    else
        store(p, v, count);
}
/// The first `count` lanes of a, the rest of b.
[[gnu::always_inline]] inline pack first_lanes(const pack& a, std::size_t count, const pack& b) {
    alignas(64) static constexpr float index[pack_lanes] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                            8, 9, 10, 11, 12, 13, 14, 15};
    return select(load_pack(index) < pack_of(static_cast<float>(count)), a, b);
}

/// Sixty-four lanes that take values of a row in turn, held as the wide packs of the machine.
struct row_lanes {
    static constexpr std::size_t width = 64;
    static constexpr std::size_t wides = width / simd::wide_lanes;
    simd::wide_pack part[wides];

    [[gnu::always_inline]] explicit row_lanes(float v) {
        for (simd::wide_pack& p : part)
            p = like(p, v);
    }
    /// The sixteen-lane quarters, joined in pairs.
    template <class Join>
    [[gnu::always_inline]] pack quarter_fold(Join join) const {
        constexpr std::size_t registers = sizeof(simd::wide_pack) / sizeof(simd::floats);
        pack quarter[4];
#pragma GCC unroll 64
        for (std::size_t g = 0; g < 4 * simd::pack_registers; ++g)
            quarter[g / simd::pack_registers].part[g % simd::pack_registers] =
                part[g / registers].part[g % registers];
        return join(join(quarter[0], quarter[1]), join(quarter[2], quarter[3]));
    }
};

/// Calls body(acc, at, values...) for the wide packs of [begin, end), acc being the lanes they
/// belong to; places past the end read as `fill`.
template <class Body, class... In>
[[gnu::always_inline]] inline void feed_row(std::size_t begin, std::size_t end, float fill,
                                            row_lanes& acc, Body body, In... in) {
    using simd::wide_lanes;
    using simd::wide_pack;
    std::size_t i = begin;
    for (; i + row_lanes::width <= end; i += row_lanes::width) {
#pragma GCC unroll 4
        for (std::size_t w = 0; w < row_lanes::wides; ++w) {
            const std::size_t at = i + w * wide_lanes;
            body(acc.part[w], at, wide_lanes, held(load_pack<wide_pack>(in + at))...);
        }
    }
#pragma GCC unroll 4
    for (std::size_t w = 0; w < row_lanes::wides; ++w) {
        const std::size_t at = i + w * wide_lanes;
        if (at >= end) break;
        const std::size_t count = std::min(wide_lanes, end - at);
        body(acc.part[w], at, count, load_pack<wide_pack>(in + at, count, fill)...);
    }
}

/// Largest value of a row, NaN ignored; -inf for an empty row.
inline float row_max(const float* x, std::size_t n) {
    const float lowest = -std::numeric_limits<float>::infinity();
    row_lanes best(lowest);
    // The second argument is returned on NaN: the accumulators stay numbers.
    feed_row(
        0, n, lowest, best,
        [](auto& acc, std::size_t, std::size_t, const auto& v)
            __attribute__((always_inline)) { acc = max(v, acc); },
        x);
    return reduce_max(best.quarter_fold([](const pack& a, const pack& b) { return max(a, b); }));
}

/// Sum of f(offset, count, x...) along one row, closed every 2048 columns. Places past the end read
/// as `fill`, of which f must make zero.
template <class F, class... In>
[[gnu::always_inline]] inline float row_sum_at(F f, std::size_t n, float fill, In... in) {
    const auto add = [](const pack& a, const pack& b) { return a + b; };
    pack total = pack_of(0.0F);
    for (std::size_t block = 0; block < n; block += sum_block) {
        row_lanes sum(0.0F);
        feed_row(
            block, std::min(n, block + sum_block), fill, sum,
            [&f](auto& acc, std::size_t at, std::size_t count, const auto&... v)
                __attribute__((always_inline)) { acc = acc + f(at, count, v...); },
            in...);
        total = total + sum.quarter_fold(add);
    }
    return reduce_add(total);
}
/// Sum of f(x...) along one row; f of zeros must be zero.
template <class F, class... In>
[[gnu::always_inline]] inline float row_sum(F f, std::size_t n, In... in) {
    return row_sum_at([&f](std::size_t, std::size_t, const auto&... v) { return f(v...); }, n, 0.0F,
                      in...);
}

/// y = f(x...) along one row.
template <class F, class... In>
[[gnu::always_inline]] inline void row_map(F f, float* y, std::size_t n, In... in) {
    map_values(f, y, n, false, in...);
}

inline void require_rows(std::string_view function, matrix_view<const float> x,
                         matrix_view<float> y) {
    require_view(function, "x", x);
    require_view(function, "y", y);
    require_same_shape(function, "x", x, "y", y);
    require_same_or_apart(function, "x", x, "y", y);
}
inline void require_gradient(std::string_view function, matrix_view<const float> y,
                             matrix_view<const float> dy, matrix_view<float> dx) {
    require_view(function, "y", y);
    require_view(function, "dy", dy);
    require_view(function, "dx", dx);
    require_same_shape(function, "y", y, "dy", dy);
    require_same_shape(function, "y", y, "dx", dx);
    require_same_or_apart(function, "y", y, "dx", dx);
    require_same_or_apart(function, "dy", dy, "dx", dx);
}

inline void require_row_of(std::string_view function, std::string_view name,
                           std::span<const float> v, extent columns) {
    if (!v.empty()) require_size(function, name, v, columns, "one per column of x, or empty");
}

/// Whether y, made from x row by row, is better written past the caches: large, not x itself, and
/// of rows long enough that the lines they share with their neighbours do not count.
inline bool rows_worth_streaming(matrix_view<const float> x, matrix_view<float> y) {
    const auto bytes = static_cast<std::size_t>(y.rows * y.columns) * sizeof(float);
    return x.data != y.data && y.columns >= 256 && worth_streaming(bytes);
}

/// Calls body(r) for every row, rows shared among threads.
template <class Body>
void each_row(extent rows, extent work, Body body) {
    parallel_for(rows, 1, work, [&](extent begin, extent end) {
        for (extent r = begin; r < end; ++r)
            body(r);
    });
}

}  // namespace tare::kernels::detail
