#pragma once
// SPDX-License-Identifier: MIT
// One number from an array: sum, dot product, extremes, mean and variance in one pass over memory,
// position of the maximum.
// The tree of every sum is fixed by the length alone: blocks of 16384 values, 128 virtual lanes in
// a block (value i goes to lane i mod 128), lanes folded in the order of core/pack.hpp, blocks
// added in order in double. So the bits depend neither on threads nor on the register width (dot:
// on fma). NaN goes through every function: it wins minimum, maximum and position.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/row.hpp>

namespace tare::kernels {

/// Smallest and largest value.
template <class Scalar = float>
struct value_range {
    Scalar minimum;
    Scalar maximum;
};

/// Mean and biased variance.
template <class Scalar = float>
struct moments {
    Scalar mean;
    Scalar variance;
};

/// The formulas one value at a time, for any scalar.
namespace plain {

template <class Scalar>
Scalar sum(std::span<const Scalar> x) {
    Scalar total = Scalar(0);
    for (const Scalar& v : x)
        total = total + v;
    return total;
}
template <class Scalar>
Scalar dot(std::span<const Scalar> a, std::span<const Scalar> b) {
    Scalar total = Scalar(0);
    for (std::size_t i = 0; i < a.size(); ++i)
        total = total + a[i] * b[i];
    return total;
}
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
/// At least one value.
template <class Scalar>
moments<Scalar> mean_and_variance(std::span<const Scalar> x) {
    const Scalar count = Scalar(static_cast<float>(x.size()));
    const Scalar mean = plain::sum(x) / count;
    Scalar squares = Scalar(0);
    for (const Scalar& v : x)
        squares = squares + (v - mean) * (v - mean);
    return {mean, squares / count};
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

/// Values whose partial result is one leaf of the tree.
inline constexpr extent reduce_block = 16384;
/// The same where a block is read twice and should stay in the first cache (16 KiB).
inline constexpr extent moments_block = 4096;

/// Joins leaf(begin, end) of all blocks in order: join(join(leaf 0, leaf 1), leaf 2) and so on.
template <class Leaf, class Join>
auto reduce_blocks(extent count, extent block, Leaf leaf, Join join) {
    using part = decltype(leaf(extent{0}, extent{0}));
    const extent blocks = (count + block - 1) / block;
    if (blocks <= 1 || threads() == 1) {
        part total = leaf(0, std::min(count, block));
        for (extent b = 1; b < blocks; ++b)
            total = join(total, leaf(b * block, std::min(count, (b + 1) * block)));
        return total;
    }
    std::vector<part> parts(static_cast<std::size_t>(blocks));
    parallel_for(blocks, 1, block / 2, [&](extent begin, extent end) {
        for (extent b = begin; b < end; ++b)
            parts[static_cast<std::size_t>(b)] = leaf(b * block, std::min(count, (b + 1) * block));
    });
    part total = parts[0];
    for (std::size_t b = 1; b < parts.size(); ++b)
        total = join(total, parts[b]);
    return total;
}

/// Feeds [begin, end) to eight accumulators: acc[u] = f(acc[u], packs at the same place...).
/// Places past the end read as zeros and must leave an accumulator as it is. `Ahead` floats further
/// on are asked for, if any: what the hardware cannot guess from a block that is read twice.
template <extent Ahead = 0, class F, class... In>
[[gnu::always_inline]] inline void accumulate(extent begin, extent end, F f, pack (&acc)[8],
                                              In... in) {
    extent i = begin;
    for (; i + 128 <= end; i += 128) {
#pragma GCC unroll 8
        for (extent u = 0; u < 8; ++u) {
            if constexpr (Ahead > 0) (__builtin_prefetch(in + i + 16 * u + Ahead), ...);
            acc[u] = f(acc[u], load_pack(in + i + 16 * u)...);
        }
    }
    for (extent u = 0; i < end; i += 16, ++u) {
        const auto count = static_cast<std::size_t>(std::min<extent>(16, end - i));
        acc[u] = f(acc[u], load_up_to(in + i, count)...);
    }
}

inline float fold_sum(const pack (&acc)[8]) {
    return reduce_add(((acc[0] + acc[1]) + (acc[2] + acc[3])) +
                      ((acc[4] + acc[5]) + (acc[6] + acc[7])));
}

/// Extremes of a block; `has_nan` is set if it holds a NaN, and the extremes then ignore it.
struct block_range {
    float minimum = std::numeric_limits<float>::infinity();
    float maximum = -std::numeric_limits<float>::infinity();
    bool has_nan = false;
};
template <bool Absolute, bool Minimum>
block_range range_of(const float* x, extent n) {
    const pack high = pack_of(std::numeric_limits<float>::infinity());
    const pack low = pack_of(-std::numeric_limits<float>::infinity());
    pack largest[4] = {low, low, low, low};
    pack smallest[4] = {high, high, high, high};
    simd::mask_pack nan = unordered(low, low);
    const auto feed = [&](std::size_t u, pack v) {
        if constexpr (Absolute) v = abs(v);
        // The second argument is returned on NaN: the accumulators stay numbers.
        largest[u] = max(v, largest[u]);
        if constexpr (Minimum) smallest[u] = min(v, smallest[u]);
    };
    extent i = 0;
    for (; i + 64 <= n; i += 64) {
        pack v[4];
#pragma GCC unroll 4
        for (std::size_t u = 0; u < 4; ++u) {
            v[u] = load_pack(x + i + 16 * static_cast<extent>(u));
            // A page further on, where the hardware's own look-ahead starts anew.
            __builtin_prefetch(x + i + 16 * static_cast<extent>(u) + 1024);
            feed(u, v[u]);
        }
        // One instruction looks for a NaN in two packs.
        nan = nan | unordered(v[0], v[1]) | unordered(v[2], v[3]);
    }
    block_range out;
    for (; i + 16 <= n; i += 16) {
        const pack v = load_pack(x + i);
        feed(0, v);
        nan = nan | unordered(v, v);
    }
    for (; i < n; ++i) {
        const float v = Absolute ? std::fabs(x[i]) : x[i];
        out.has_nan = out.has_nan || std::isnan(v);
        out.minimum = v < out.minimum ? v : out.minimum;
        out.maximum = out.maximum < v ? v : out.maximum;
    }
    out.has_nan = out.has_nan || mask_bits(nan) != 0;
    out.maximum = std::max(
        out.maximum, reduce_max(max(max(largest[0], largest[1]), max(largest[2], largest[3]))));
    if constexpr (Minimum)
        out.minimum =
            std::min(out.minimum,
                     reduce_min(min(min(smallest[0], smallest[1]), min(smallest[2], smallest[3]))));
    return out;
}
inline block_range join_ranges(const block_range& a, const block_range& b) {
    return {std::min(a.minimum, b.minimum), std::max(a.maximum, b.maximum), a.has_nan || b.has_nan};
}

/// Count, mean and sum of squared deviations of a part, in double.
struct partial_moments {
    double count = 0;
    double mean = 0;
    double squares = 0;
};
/// Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance", equation 2.1.
inline partial_moments join_moments(const partial_moments& a, const partial_moments& b) {
    const double count = a.count + b.count;
    const double gap = b.mean - a.mean;
    return {count, a.mean + gap * (b.count / count),
            a.squares + b.squares + gap * gap * (a.count * b.count / count)};
}

inline float quiet_nan() {
    return std::numeric_limits<float>::quiet_NaN();
}

}  // namespace detail

/// Sum; 0 for an empty array. Accuracy: relative to the sum of absolute values at most
/// 136 * 2^-24 + n 2^-67.
[[nodiscard]] inline float sum(std::span<const float> x) {
    const float* p = x.data();
    return static_cast<float>(detail::reduce_blocks(
        static_cast<extent>(x.size()), detail::reduce_block,
        [p](extent begin, extent end) {
            const simd::pack zero = simd::pack_of(0.0F);
            simd::pack acc[8] = {zero, zero, zero, zero, zero, zero, zero, zero};
            detail::accumulate(
                begin, end, [](auto a, auto v) { return a + v; }, acc, p);
            return static_cast<double>(detail::fold_sum(acc));
        },
        [](double a, double b) { return a + b; }));
}

/// Sum of products; sizes equal. Accuracy: as sum(), of the products' absolute values.
[[nodiscard]] inline float dot(std::span<const float> a, std::span<const float> b) {
    detail::require_size("dot", "b", b, static_cast<extent>(a.size()), "the size of a");
    const float* p = a.data();
    const float* q = b.data();
    return static_cast<float>(detail::reduce_blocks(
        static_cast<extent>(a.size()), detail::reduce_block,
        [p, q](extent begin, extent end) {
            const simd::pack zero = simd::pack_of(0.0F);
            simd::pack acc[8] = {zero, zero, zero, zero, zero, zero, zero, zero};
            detail::accumulate(
                begin, end, [](auto s, auto u, auto v) { return simd::fma(u, v, s); }, acc, p, q);
            return static_cast<double>(detail::fold_sum(acc));
        },
        [](double s, double t) { return s + t; }));
}

/// Smallest and largest value; (inf, -inf) for an empty array, NaN for both if there is a NaN.
[[nodiscard]] inline value_range<> min_max(std::span<const float> x) {
    const auto out = detail::reduce_blocks(
        static_cast<extent>(x.size()), detail::reduce_block,
        [p = x.data()](extent begin, extent end) {
            return detail::range_of<false, true>(p + begin, end - begin);
        },
        detail::join_ranges);
    if (out.has_nan) return {detail::quiet_nan(), detail::quiet_nan()};
    return {out.minimum, out.maximum};
}

/// Largest absolute value; 0 for an empty array, NaN if there is a NaN.
[[nodiscard]] inline float abs_max(std::span<const float> x) {
    const auto out = detail::reduce_blocks(
        static_cast<extent>(x.size()), detail::reduce_block,
        [p = x.data()](extent begin, extent end) {
            return detail::range_of<true, false>(p + begin, end - begin);
        },
        detail::join_ranges);
    return out.has_nan ? detail::quiet_nan() : std::max(0.0F, out.maximum);
}

/// Mean and biased variance, in one pass over memory: each block of 4096 values gives its mean and
/// its squared deviations from that mean while it is in the first cache. NaN for an empty array.
/// Accuracy: mean as sum(); variance within 300 * 2^-24 relative plus the square of the mean's
/// error.
[[nodiscard]] inline moments<> mean_and_variance(std::span<const float> x) {
    if (x.empty()) return {detail::quiet_nan(), detail::quiet_nan()};
    const float* p = x.data();
    const auto out = detail::reduce_blocks(
        static_cast<extent>(x.size()), detail::moments_block,
        [p](extent begin, extent end) {
            const simd::pack zero = simd::pack_of(0.0F);
            simd::pack acc[8] = {zero, zero, zero, zero, zero, zero, zero, zero};
            detail::accumulate(
                begin, end, [](auto a, auto v) { return a + v; }, acc, p);
            const auto count = static_cast<double>(end - begin);
            const float center = detail::fold_sum(acc) / static_cast<float>(end - begin);
            const simd::pack shift = simd::pack_of(center);
            simd::pack squares[8] = {zero, zero, zero, zero, zero, zero, zero, zero};
            const extent whole = begin + (end - begin) / 16 * 16;
            detail::accumulate<detail::moments_block>(
                begin, whole,
                [shift](auto a, auto v) {
                    const auto d = v - shift;
                    return simd::fma(d, d, a);
                },
                squares, p);
            double tail = 0;
            for (extent i = whole; i < end; ++i) {
                const double d = static_cast<double>(p[i] - center);
                tail += d * d;
            }
            return detail::partial_moments{count, static_cast<double>(center),
                                           static_cast<double>(detail::fold_sum(squares)) + tail};
        },
        detail::join_moments);
    return {static_cast<float>(out.mean), static_cast<float>(out.squares / out.count)};
}

/// First position of the maximum, or of the first NaN. Throws on an empty array.
[[nodiscard]] inline extent arg_max(std::span<const float> x) {
    require(!x.empty(), "arg_max: the array is empty; there is no position to return");
    struct leader {
        detail::block_range range;
        extent begin;
    };
    const auto count = static_cast<extent>(x.size());
    const auto best = detail::reduce_blocks(
        count, detail::reduce_block,
        [p = x.data()](extent begin, extent end) {
            return leader{detail::range_of<false, false>(p + begin, end - begin), begin};
        },
        [](const leader& a, const leader& b) {
            if (a.range.has_nan || (!b.range.has_nan && a.range.maximum >= b.range.maximum))
                return a;
            return b;
        });
    // Only the winning block is searched for the place.
    extent i = best.begin;
    const simd::pack wanted = simd::pack_of(best.range.maximum);
    for (; i + 16 <= count; i += 16) {
        const simd::pack v = simd::load_pack(x.data() + i);
        const auto hit = best.range.has_nan ? unordered(v, v) : v == wanted;
        if (mask_bits(hit) != 0) break;
    }
    const auto is_it = [&](float v) {
        return best.range.has_nan ? std::isnan(v) : v == best.range.maximum;
    };
    while (i + 1 < count && !is_it(x[static_cast<std::size_t>(i)]))
        ++i;
    return i;
}

/// out[r] = arg_max of row r. Shapes x (R, C), C >= 1, out (R).
inline void arg_max_rows(matrix_view<const float> x, std::span<std::int32_t> out) {
    detail::require_view("arg_max_rows", "x", x);
    detail::require_size("arg_max_rows", "out", out, x.rows, "one per row of x");
    detail::require_apart("arg_max_rows", "x", x, "out", out);
    require(x.rows == 0 || x.columns > 0, "arg_max_rows: x is (", x.rows,
            ",0); a row needs at least one column");
    detail::each_row(x.rows, x.columns, [&](extent r) {
        out[static_cast<std::size_t>(r)] = static_cast<std::int32_t>(arg_max(x.row(r)));
    });
}

}  // namespace tare::kernels
