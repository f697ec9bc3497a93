#pragma once
// SPDX-License-Identifier: MIT
// Where the groups of a tensor lie that share one set of parameters, and the walk over them: groups
// of `size` elements that start anew at every row, the last one of a row possibly shorter. The walk
// divides once, at its beginning; a block of 32 elements is done in less time than a division
// takes.

#include <algorithm>
#include <type_traits>

#include <tare/core/elementwise.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/core/shape.hpp>

namespace tare::detail {

/// Groups of `size` elements in rows of `row` elements, of a tensor of `n`.
struct group_layout {
    constexpr group_layout(extent elements, extent group_size, extent row_length)
        : n(elements),
          size(group_size),
          row(row_length),
          per_row((row + size - 1) / size),
          groups(n / row * per_row) {}

    [[nodiscard]] constexpr extent begin(extent g) const {
        return g / per_row * row + g % per_row * size;
    }
    [[nodiscard]] constexpr extent group_of(extent i) const {
        return i / row * per_row + i % row / size;
    }

    /// Calls one(g, from, count) for the part of every group that lies in [begin, end), in order.
    /// `Block` is the size of a group if it is known at compile time, else 0: then `count` is a
    /// constant for whole groups and the compiler lays out their loops without a rest.
    template <extent Block, class One>
    [[gnu::always_inline]] void walk(extent first, extent end, const One& one) const {
        if (first >= end) return;
        extent g = group_of(first);
        extent row_end = (first / row + 1) * row;
        // The rest of the first group, if the walk begins inside it.
        extent left = begin(g) + size - first;
        for (extent at = first; at < end; row_end += row) {
            const extent stop = std::min(row_end, end);
            while (at < stop) {
                if constexpr (Block > 0) {
                    if (left == Block)
                        for (; stop - at >= Block; at += Block, ++g)
                            one(g, at, std::integral_constant<extent, Block>{});
                    if (at == stop) break;
                }
                const extent count = std::min(left, stop - at);
                one(g, at, count);
                at += count;
                left = size;
                ++g;
            }
            left = size;
        }
    }

    extent n, size, row, per_row, groups;
};

/// Elements that are coded at a time: inside the first cache, and whole bytes at any width.
inline constexpr extent group_piece = map_chunk;

/// Asks for what the same place of the next piece will read: the machine's own prefetching falls
/// behind this much arithmetic, and rests while a piece is worked on twice.
[[gnu::always_inline]] inline void fetch_next_piece(const float* x, extent count) {
    constexpr extent line = 16;  // floats
    for (extent i = 0; i < count; i += line)
        simd::prefetch(x + i, group_piece);
}

/// Calls one(i, some) for the parts [i, i + some) of `count` elements from x on, each when the same
/// part of the next piece has been asked for. A constant `count` is one part.
template <class Count, class One>
[[gnu::always_inline]] inline void for_fetched_parts(const float* x, Count count, const One& one) {
    if constexpr (std::is_same_v<Count, extent>) {
        simd::for_parts_ahead<256, group_piece>(x, count, one);
    } else {
        fetch_next_piece(x, count);
        one(extent{0}, count);
    }
}

/// Asks for what a pass upward will read soon, half a piece ahead.
[[gnu::always_inline]] inline void fetch_ahead(const float* x, extent count) {
    constexpr extent line = 16;  // floats
    for (extent i = 0; i < count; i += line)
        simd::prefetch(x + i, group_piece / 2);
}

}  // namespace tare::detail
