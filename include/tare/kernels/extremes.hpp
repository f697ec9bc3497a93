#pragma once
// SPDX-License-Identifier: MIT
// Smallest, largest and absolutely largest value of an array, and the position of the largest, of
// an array or of each row. NaN wins every one of them. Extremes are exact, so neither the order nor
// the number of threads matters.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

#include <tare/core/prefetch.hpp>
#include <tare/core/simd_masks.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/reduce_tree.hpp>

namespace tare::kernels {

/// Smallest and largest value.
template <class Scalar = float>
struct value_range {
    Scalar minimum;
    Scalar maximum;
};

/// The formulas one value at a time, for any scalar.
namespace plain {

/// At least one value.
template <class Scalar>
value_range<Scalar> min_max(std::span<const Scalar> x) {
    value_range<Scalar> out{x[0], x[0]};
    for (const Scalar& v : x) {
        if (v < out.minimum || !(v == v)) out.minimum = v;
        if (out.maximum < v || !(v == v)) out.maximum = v;
        if (!(v == v)) break;
    }
    return out;
}
template <class Scalar>
Scalar abs_max(std::span<const Scalar> x) {
    Scalar largest = Scalar(0);
    for (const Scalar& v : x) {
        const Scalar size = v < Scalar(0) ? Scalar(0) - v : v;
        if (largest < size || !(size == size)) largest = size;
        if (!(size == size)) break;
    }
    return largest;
}
/// First position of the maximum, of the first NaN if there is one. At least one value.
template <class Scalar>
extent arg_max(std::span<const Scalar> x) {
    std::size_t best = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        if (!(x[i] == x[i])) return static_cast<extent>(i);
        if (x[best] < x[i]) best = i;
    }
    return static_cast<extent>(best);
}

}  // namespace plain

namespace detail {

inline constexpr float quiet_nan = std::numeric_limits<float>::quiet_NaN();

/// Extremes of a block; `has_nan` is set if it holds a NaN, and the extremes then ignore it.
struct block_range {
    float minimum = std::numeric_limits<float>::infinity();
    float maximum = -std::numeric_limits<float>::infinity();
    bool has_nan = false;
};

/// Extremes by lane of values that come 64 at a time.
template <bool Absolute, bool Minimum>
struct lane_range {
    simd::pack largest[4];
    simd::pack smallest[4];
    /// Lanes that met no NaN. Two of them, for a comparison waits for the one before.
    simd::mask_pack ordered[2];

    [[gnu::always_inline]] lane_range() {
        const simd::pack high = simd::pack_of(std::numeric_limits<float>::infinity());
        const simd::pack low = simd::pack_of(-std::numeric_limits<float>::infinity());
        for (int u = 0; u < 4; ++u) {
            largest[u] = low;
            smallest[u] = high;
        }
        ordered[0] = ordered[1] = low <= low;
    }
    [[gnu::always_inline]] void feed(int u, simd::pack v) {
        if constexpr (Absolute) v = abs(v);
        // The second argument is returned on NaN: the accumulators stay numbers.
        largest[u] = max(v, largest[u]);
        if constexpr (Minimum) smallest[u] = min(v, smallest[u]);
    }
    template <bool Ahead>
    [[gnu::always_inline]] void feed64(const float* p) {
        simd::pack v[4];
#pragma GCC unroll 4
        for (int u = 0; u < 4; ++u) {
            v[u] = held(simd::load_pack(p + 16 * u));
            // A page further on, where the hardware's own look-ahead starts anew.
            if constexpr (Ahead) simd::prefetch(p, 16 * u + 1024);
            feed(u, v[u]);
        }
        // One instruction looks for a NaN in two packs.
        ordered[0] = keep_ordered(ordered[0], v[0], v[1]);
        ordered[1] = keep_ordered(ordered[1], v[2], v[3]);
    }
    [[gnu::always_inline]] void feed16(const float* p) {
        const simd::pack v = simd::load_pack(p);
        feed(0, v);
        ordered[0] = keep_ordered(ordered[0], v, v);
    }
    [[gnu::always_inline]] simd::pack highest() const {
        return max(max(largest[0], largest[1]), max(largest[2], largest[3]));
    }
    [[gnu::always_inline]] simd::pack lowest() const {
        return min(min(smallest[0], smallest[1]), min(smallest[2], smallest[3]));
    }
    [[gnu::always_inline]] bool has_nan() const {
        return (mask_bits(ordered[0]) & mask_bits(ordered[1])) != 0xFFFFU;
    }
};

template <bool Absolute, bool Minimum, bool Ahead>
block_range range_of(const float* x, extent n) {
    lane_range<Absolute, Minimum> running;
    extent i = 0;
    for (; i + 64 <= n; i += 64)
        running.template feed64<Ahead>(x + i);
    for (; i + 16 <= n; i += 16)
        running.feed16(x + i);
    block_range out;
    for (; i < n; ++i) {
        const float v = Absolute ? std::fabs(x[i]) : x[i];
        out.has_nan = out.has_nan || std::isnan(v);
        out.minimum = v < out.minimum ? v : out.minimum;
        out.maximum = out.maximum < v ? v : out.maximum;
    }
    out.has_nan = out.has_nan || running.has_nan();
    out.maximum = std::max(out.maximum, reduce_max(running.highest()));
    if constexpr (Minimum) out.minimum = std::min(out.minimum, reduce_min(running.lowest()));
    return out;
}
inline block_range join_ranges(const block_range& a, const block_range& b) {
    return {std::min(a.minimum, b.minimum), std::max(a.maximum, b.maximum), a.has_nan || b.has_nan};
}

/// Extremes of an array.
template <bool Absolute, bool Minimum>
block_range range_of_all(std::span<const float> x) {
    const auto reduce = [&](auto ahead) {
        return reduce_blocks(
            static_cast<extent>(x.size()), reduce_block,
            [p = x.data()](extent begin, extent end) {
                return range_of<Absolute, Minimum, decltype(ahead)::value>(p + begin, end - begin);
            },
            join_ranges);
    };
    return x.size_bytes() < ahead_bytes ? reduce(std::false_type()) : reduce(std::true_type());
}

/// The largest value and the start of the first stretch that holds it, or of the first with a NaN.
struct leading_stretch {
    float maximum = -std::numeric_limits<float>::infinity();
    bool has_nan = false;
    extent begin = 0;
};
/// Values that are searched for the place of the largest.
inline constexpr extent stretch_values = 1024;

/// The leader of [begin, end).
template <bool Ahead>
leading_stretch leader_of(const float* x, extent begin, extent end) {
    leading_stretch out{.begin = begin};
    extent i = begin;
    for (; i + stretch_values <= end; i += stretch_values) {
        lane_range<false, false> running;
        for (extent j = i; j < i + stretch_values; j += 64)
            running.template feed64<Ahead>(x + j);
        if (running.has_nan()) return {quiet_nan, true, i};
        // Folding lanes takes long and is seldom needed.
        const simd::pack highest = running.highest();
        if (mask_bits(simd::pack_of(out.maximum) < highest) != 0)
            out = {reduce_max(highest), false, i};
    }
    if (i < end) {
        const block_range rest = range_of<false, false, false>(x + i, end - i);
        if (rest.has_nan) return {quiet_nan, true, i};
        if (out.maximum < rest.maximum) out = {rest.maximum, false, i};
    }
    return out;
}
inline leading_stretch join_leaders(const leading_stretch& a, const leading_stretch& b) {
    return a.has_nan || (!b.has_nan && a.maximum >= b.maximum) ? a : b;
}

/// First position of the maximum, or of the first NaN, of at least one value.
template <bool Ahead>
extent place_of_maximum(std::span<const float> x) {
    const auto count = static_cast<extent>(x.size());
    const leading_stretch best = reduce_blocks(
        count, reduce_block,
        [p = x.data()](extent begin, extent end) { return leader_of<Ahead>(p, begin, end); },
        join_leaders);
    // Only the leading stretch is searched for the place.
    extent i = best.begin;
    const simd::pack wanted = simd::pack_of(best.maximum);
    for (; i + 16 <= count; i += 16) {
        const simd::pack v = simd::load_pack(x.data() + i);
        const auto hit = best.has_nan ? unordered(v, v) : v == wanted;
        if (mask_bits(hit) != 0) break;
    }
    const auto is_it = [&](float v) { return best.has_nan ? std::isnan(v) : v == best.maximum; };
    while (i + 1 < count && !is_it(x[static_cast<std::size_t>(i)]))
        ++i;
    return i;
}

}  // namespace detail

/// Smallest and largest value; (inf, -inf) for an empty array, NaN for both if there is a NaN.
[[nodiscard]] inline value_range<> min_max(std::span<const float> x) {
    detail::require_memory("min_max", "x", x);
    const auto out = detail::range_of_all<false, true>(x);
    if (out.has_nan) return {detail::quiet_nan, detail::quiet_nan};
    return {out.minimum, out.maximum};
}

/// Largest absolute value; 0 for an empty array, NaN if there is a NaN.
[[nodiscard]] inline float abs_max(std::span<const float> x) {
    detail::require_memory("abs_max", "x", x);
    const auto out = detail::range_of_all<true, false>(x);
    return out.has_nan ? detail::quiet_nan : std::max(0.0F, out.maximum);
}

/// First position of the maximum, or of the first NaN. Throws on an empty array.
[[nodiscard]] inline extent arg_max(std::span<const float> x) {
    detail::require_memory("arg_max", "x", x);
    require(!x.empty(), "arg_max: the array is empty; there is no position to return");
    return x.size_bytes() < detail::ahead_bytes ? detail::place_of_maximum<false>(x)
                                                : detail::place_of_maximum<true>(x);
}

/// out[r] = arg_max of row r. Shapes x (R, C), C >= 1, out (R).
inline void arg_max_rows(matrix_view<const float> x, std::span<std::int32_t> out) {
    detail::require_view("arg_max_rows", "x", x);
    detail::require_size("arg_max_rows", "out", out, x.rows, "one per row of x");
    detail::require_apart("arg_max_rows", "x", x, "out", out);
    require(x.rows == 0 || x.columns > 0, "arg_max_rows: x is (", x.rows,
            ",0); a row needs at least one column");
    const bool ahead =
        static_cast<std::size_t>(x.rows * x.columns) * sizeof(float) >= detail::ahead_bytes;
    detail::each_row(x.rows, x.columns, [&](extent r) {
        const extent place = ahead ? detail::place_of_maximum<true>(x.row(r))
                                   : detail::place_of_maximum<false>(x.row(r));
        out[static_cast<std::size_t>(r)] = static_cast<std::int32_t>(place);
    });
}

}  // namespace tare::kernels
