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

namespace tare::kernels::detail {

using simd::load_pack;
using simd::pack;
using simd::pack_lanes;
using simd::pack_of;

/// Columns whose sums are closed before the next ones start.
inline constexpr std::size_t sum_block = 2048;

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

/// Largest value of a row, NaN ignored; -inf for an empty row.
inline float row_max(const float* x, std::size_t n) {
    const pack lowest = pack_of(-std::numeric_limits<float>::infinity());
    pack best[4] = {lowest, lowest, lowest, lowest};
    std::size_t i = 0;
    for (; i + 4 * pack_lanes <= n; i += 4 * pack_lanes) {
#pragma GCC unroll 4
        for (std::size_t u = 0; u < 4; ++u)
            best[u] = max(load_pack(x + i + u * pack_lanes), best[u]);
    }
    for (; i + pack_lanes <= n; i += pack_lanes)
        best[0] = max(load_pack(x + i), best[0]);
    if (i < n) {
        // Step back to a whole pack where there is one: seen twice does not change a maximum.
        if (n >= pack_lanes) {
            best[1] = max(load_pack(x + n - pack_lanes), best[1]);
        } else {
            float highest = x[0];
            for (; i < n; ++i)
                highest = highest < x[i] || std::isnan(highest) ? x[i] : highest;
            return highest;
        }
    }
    return reduce_max(max(max(best[0], best[1]), max(best[2], best[3])));
}

/// y = f(x...) along one row.
template <class F, class... In>
[[gnu::always_inline]] inline void row_map(F f, float* y, std::size_t n, In... in) {
    std::size_t i = 0;
    for (; i + pack_lanes <= n; i += pack_lanes)
        store(y + i, f(load_pack(in + i)...));
    if (i < n) store(y + i, f(load_pack(in + i, n - i)...), n - i);
}

/// Sum of f(x...) along one row, blocked as row_exp_sum. f of zeros must be zero.
template <class F, class... In>
[[gnu::always_inline]] inline float row_sum(F f, std::size_t n, In... in) {
    const pack zero = pack_of(0.0F);
    pack total = zero;
    for (std::size_t block = 0; block < n; block += sum_block) {
        const std::size_t end = std::min(n, block + sum_block);
        pack sum[4] = {zero, zero, zero, zero};
        std::size_t i = block;
        for (; i + 4 * pack_lanes <= end; i += 4 * pack_lanes) {
#pragma GCC unroll 4
            for (std::size_t u = 0; u < 4; ++u)
                sum[u] = sum[u] + f(load_pack(in + i + u * pack_lanes)...);
        }
        for (; i + pack_lanes <= end; i += pack_lanes)
            sum[0] = sum[0] + f(load_pack(in + i)...);
        if (i < end) sum[1] = sum[1] + f(load_pack(in + i, end - i)...);
        total = total + ((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
    return reduce_add(total);
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

/// Calls body(r) for every row, rows shared among threads.
template <class Body>
void each_row(extent rows, extent work, Body body) {
    parallel_for(rows, 1, work, [&](extent begin, extent end) {
        for (extent r = begin; r < end; ++r)
            body(r);
    });
}

}  // namespace tare::kernels::detail
