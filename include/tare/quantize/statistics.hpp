#pragma once
// SPDX-License-Identifier: MIT
// What quantizers ask of a tensor before they code it: extremes, largest magnitude, mean and sum of
// squared deviations. Every reduction has a shape fixed by the size alone (blocks of
// `statistics_block`, sixteen partial sums inside one), so that the bits depend neither on the
// number of threads nor on the width of the vectors. Sums run in double.
//
// Elements that are NaN or infinite are left out, and `count` says how many were left in: one bad
// element must not spoil the codes of all others.

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include <tare/core/parallel.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/simd.hpp>

namespace tare {

inline constexpr extent statistics_block = 4096;  // elements

/// Smallest and largest finite element; both 0 where there is none.
struct extremes {
    float low = 0.0F;
    float high = 0.0F;

    /// max(|low|, |high|).
    [[nodiscard]] float magnitude() const noexcept { return -low > high ? -low : high; }
    friend bool operator==(const extremes&, const extremes&) = default;
};

/// Mean and spread of the finite elements.
struct moments {
    double mean = 0.0;
    double squares = 0.0;  ///< sum of (x - mean)^2
    extent count = 0;      ///< finite elements

    /// sqrt(squares / (count - 1)), 0 for fewer than two elements.
    [[nodiscard]] double unbiased_deviation() const noexcept {
        return count < 2 ? 0.0 : std::sqrt(squares / static_cast<double>(count - 1));
    }
    /// sqrt(squares / count), 0 for no element.
    [[nodiscard]] double biased_deviation() const noexcept {
        return count < 1 ? 0.0 : std::sqrt(squares / static_cast<double>(count));
    }
};

/// True for a number that is neither NaN nor infinite.
[[nodiscard]] constexpr bool is_finite(float x) noexcept {
    return (std::bit_cast<std::uint32_t>(x) & 0x7F800000U) != 0x7F800000U;
}

namespace detail {

// Sixteen virtual lanes as two vectors of the compilers' own type: they exist at every SIMD level,
// and the sums land in the same lanes everywhere.
using lanes8d = double __attribute__((vector_size(64)));

inline constexpr extent virtual_lanes = 16;

// Elements that a pass asks for ahead of itself: 16 KiB. The machine's own prefetching falls behind
// this much arithmetic (0.45 against 0.59 ns an element, 64 MiB) and begins anew in each page of 4
// KiB; beyond that page one core reads 53 GB/s in the place of 40.
inline constexpr extent statistics_ahead = 4096;
// How many at a time where the loop itself is left to the compiler.
inline constexpr extent statistics_part = 64;

// The integer reductions below carry no omp pragma: compilers vectorise them unasked, and asked,
// GCC 12 ends them through MMX registers where there is no AVX, which breaks later x87 arithmetic.

// Adds up lanes in the one order that every build keeps.
[[nodiscard]] inline double fold_lanes(double (&sum)[virtual_lanes]) noexcept {
    for (extent half = virtual_lanes / 2; half > 0; half /= 2)
        for (extent lane = 0; lane < half; ++lane)
            sum[lane] += sum[lane + half];
    return sum[0];
}

// Bits of infinity; those of a NaN without its sign are larger.
inline constexpr std::int32_t infinity_pattern = 0x7F800000;

// Magnitudes as integers: for non-negative floats the order of the patterns is that of the values.
inline std::int32_t finite_pattern(float x) noexcept {
    const auto pattern = static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(x) & 0x7FFFFFFFU);
    return pattern < infinity_pattern ? pattern : 0;
}

// Inlined, so that in a block of constant length the loop has no rest.
[[gnu::always_inline]] inline float block_magnitude(const float* x, extent count) noexcept {
    std::int32_t most = 0;
    for (extent i = 0; i < count; ++i) {
        const std::int32_t pattern = finite_pattern(x[i]);
        most = pattern > most ? pattern : most;
    }
    return std::bit_cast<float>(most);
}

// Patterns of negative numbers are flipped so that signed integers are ordered as the floats are.
inline std::int32_t ordered_pattern(float x) noexcept {
    const auto pattern = std::bit_cast<std::int32_t>(x);
    return pattern ^ static_cast<std::int32_t>(static_cast<std::uint32_t>(pattern >> 31) >> 1);
}
inline float from_ordered(std::int32_t ordered) noexcept {
    return std::bit_cast<float>(
        ordered ^ static_cast<std::int32_t>(static_cast<std::uint32_t>(ordered >> 31) >> 1));
}

struct ordered_range {
    std::int32_t low = std::numeric_limits<std::int32_t>::max();
    std::int32_t high = std::numeric_limits<std::int32_t>::min();
};

inline ordered_range joined(const ordered_range& a, const ordered_range& b) noexcept {
    return {a.low < b.low ? a.low : b.low, a.high > b.high ? a.high : b.high};
}

// The slow path of a block that holds NaN or infinity: the range of the others.
[[gnu::noinline]] inline ordered_range block_range_finite(const float* x, extent count) noexcept {
    ordered_range all;
    for (extent i = 0; i < count; ++i) {
        if (!is_finite(x[i])) continue;
        const std::int32_t ordered = ordered_pattern(x[i]);
        all.low = ordered < all.low ? ordered : all.low;
        all.high = ordered > all.high ? ordered : all.high;
    }
    return all;
}

// Of all patterns first: what is not finite lies beyond both ends of what is.
[[gnu::always_inline]] inline ordered_range block_range(const float* x, extent count) noexcept {
    std::int32_t low = std::numeric_limits<std::int32_t>::max();
    std::int32_t high = std::numeric_limits<std::int32_t>::min();
    for (extent i = 0; i < count; ++i) {
        const std::int32_t ordered = ordered_pattern(x[i]);
        low = ordered < low ? ordered : low;
        high = ordered > high ? ordered : high;
    }
    // The pattern of a negative infinity, ordered, is -1 - infinity.
    if (count > 0 && (low <= -1 - infinity_pattern || high >= infinity_pattern)) [[unlikely]]
        return block_range_finite(x, count);
    return {low, high};
}

struct shifted_sums {
    double sum = 0.0;
    double squares = 0.0;
};

// Sums of (x - shift) and its square over finite elements. The lanes are added in a fixed tree.
inline shifted_sums block_sums(const float* x, extent count, double shift) noexcept {
    double sum[virtual_lanes] = {};
    double squares[virtual_lanes] = {};
    lanes8d s0{}, s1{}, q0{}, q1{};
    extent i = 0;
    for (; i + virtual_lanes <= count; i += virtual_lanes) {
        simd::prefetch(x + i, statistics_ahead);
        double d[virtual_lanes];
#pragma omp simd
        for (extent lane = 0; lane < virtual_lanes; ++lane)
            d[lane] = static_cast<double>(x[i + lane]) - shift;
        lanes8d d0;
        lanes8d d1;
        std::memcpy(&d0, d, sizeof d0);
        std::memcpy(&d1, d + 8, sizeof d1);
        s0 += d0;
        s1 += d1;
        q0 += d0 * d0;
        q1 += d1 * d1;
    }
    std::memcpy(sum, &s0, sizeof s0);
    std::memcpy(sum + 8, &s1, sizeof s1);
    std::memcpy(squares, &q0, sizeof q0);
    std::memcpy(squares + 8, &q1, sizeof q1);
    for (extent lane = 0; i < count; ++i, ++lane) {
        const double d = static_cast<double>(x[i]) - shift;
        sum[lane] += d;
        squares[lane] += d * d;
    }
    return {fold_lanes(sum), fold_lanes(squares)};
}

// The slow path of a block that holds NaN or infinity: the same sums over the others.
inline extent block_sums_finite(const float* x, extent count, double shift, shifted_sums& out) {
    float kept[statistics_block];
    extent n = 0;
    for (extent i = 0; i < count; ++i)
        if (is_finite(x[i])) kept[n++] = x[i];
    out = block_sums(kept, n, shift);
    return n;
}

/// Calls `one(block, data, count)` for every block of the tensor, on all threads.
template <class OneBlock>
void for_each_block(std::span<const float> x, extent work, OneBlock&& one) {
    const extent count = static_cast<extent>(x.size());
    const extent blocks = (count + statistics_block - 1) / statistics_block;
    parallel_for(blocks, 1, statistics_block * work, [&](extent begin, extent end) {
        for (extent b = begin; b < end; ++b) {
            const extent start = b * statistics_block;
            const extent left = count - start;
            one(b, x.data() + start, left < statistics_block ? left : statistics_block);
        }
    });
}

inline std::size_t block_count(std::span<const float> x) noexcept {
    return (x.size() + static_cast<std::size_t>(statistics_block) - 1) /
           static_cast<std::size_t>(statistics_block);
}

// Of a tensor of several blocks; not inlined, because blocks of a format ask for theirs one by one.
[[gnu::noinline]] inline float largest_of_blocks(std::span<const float> x) {
    std::vector<float> most(block_count(x));
    for_each_block(x, 1, [&](extent block, const float* data, extent count) {
        float& largest = most[static_cast<std::size_t>(block)];
        simd::for_parts_ahead<statistics_part, statistics_ahead>(
            data, count, [&](extent i, auto some) {
                const float here = block_magnitude(data + i, some);
                largest = here > largest ? here : largest;
            });
    });
    return block_magnitude(most.data(), static_cast<extent>(most.size()));
}

[[gnu::noinline]] inline ordered_range range_of_blocks(std::span<const float> x) {
    std::vector<ordered_range> parts(block_count(x));
    for_each_block(x, 1, [&](extent block, const float* data, extent count) {
        ordered_range all;
        simd::for_parts_ahead<statistics_part, statistics_ahead>(
            data, count,
            [&](extent i, auto some) { all = joined(all, block_range(data + i, some)); });
        parts[static_cast<std::size_t>(block)] = all;
    });
    ordered_range all;
    for (const ordered_range& part : parts)
        all = joined(all, part);
    return all;
}

}  // namespace detail

/// Largest |x| over the finite elements, 0 where there is none.
/// Threads: blocks; the result does not depend on their number.
[[nodiscard]] inline float largest_magnitude(std::span<const float> x) {
    if (x.size() <= static_cast<std::size_t>(statistics_block))
        return detail::block_magnitude(x.data(), static_cast<extent>(x.size()));
    return detail::largest_of_blocks(x);
}

/// Smallest and largest finite element; -0 counts below +0.
[[nodiscard]] inline extremes range_of(std::span<const float> x) {
    const detail::ordered_range all =
        x.size() <= static_cast<std::size_t>(statistics_block)
            ? detail::block_range(x.data(), static_cast<extent>(x.size()))
            : detail::range_of_blocks(x);
    if (all.low > all.high) return {};
    return {detail::from_ordered(all.low), detail::from_ordered(all.high)};
}

/// Mean and sum of squared deviations of the finite elements.
/// Formula: with K the first finite element and d = x - K in double, mean = K + sum(d)/n and
/// squares = sum(d^2) - sum(d)^2/n. K belongs to the data, hence (mean - K)^2 <= squares, and the
/// subtraction loses at most a factor n of the precision of double.
/// Accuracy: relative error of `squares` below n * 2^-48 (6e-8 for 2^24 elements); exactly 0 for a
/// constant tensor.
/// Threads: blocks; the result does not depend on their number.
[[nodiscard]] inline moments moments_of(std::span<const float> x) {
    std::size_t first = 0;
    while (first < x.size() && !is_finite(x[first]))
        ++first;
    if (first == x.size()) return {};
    const double shift = static_cast<double>(x[first]);

    struct part {
        detail::shifted_sums sums;
        extent count = 0;
    };
    std::vector<part> parts(detail::block_count(x));
    detail::for_each_block(x, 2, [&](extent block, const float* data, extent count) {
        part& out = parts[static_cast<std::size_t>(block)];
        out.sums = detail::block_sums(data, count, shift);
        out.count = count;
        // Finite floats cannot overflow these sums: anything else came from the input.
        if (!std::isfinite(out.sums.squares))
            out.count = detail::block_sums_finite(data, count, shift, out.sums);
    });
    detail::shifted_sums all;
    moments out;
    for (const part& p : parts) {
        all.sum += p.sums.sum;
        all.squares += p.sums.squares;
        out.count += p.count;
    }
    const double n = static_cast<double>(out.count);
    out.mean = shift + all.sum / n;
    const double squares = all.squares - all.sum * all.sum / n;
    out.squares = squares > 0.0 ? squares : 0.0;
    return out;
}

}  // namespace tare
