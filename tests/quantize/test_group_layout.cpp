// SPDX-License-Identifier: MIT
#include <algorithm>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/quantize/group_layout.hpp>

namespace {

/// Every element of [first, end) once, with the group that the definition gives it.
template <tare::extent Block>
void walks(tare::extent n, tare::extent size, tare::extent row, tare::extent first,
           tare::extent end) {
    const tare::detail::group_layout at(n, size, row);
    tare::extent next = first;
    at.walk<Block>(first, end, [&](tare::extent g, tare::extent from, auto count) {
        using counter = decltype(count);
        REQUIRE(from == next);
        REQUIRE(count > 0);
        const tare::extent stop = from + count;
        REQUIRE(g == from / row * at.per_row + from % row / size);
        REQUIRE(g == (stop - 1) / row * at.per_row + (stop - 1) % row / size);
        REQUIRE(at.group_of(from) == g);
        REQUIRE(at.begin(g) <= from);
        // As much of the group as lies in the range.
        const tare::extent whole_end =
            std::min(std::min(at.begin(g) + size, (from / row + 1) * row), end);
        REQUIRE(stop == whole_end);
        // A whole block comes as a constant.
        const bool constant = !std::is_same_v<counter, tare::extent>;
        REQUIRE(constant == (Block > 0 && count == Block));
        next = stop;
    });
    REQUIRE(next == std::max(first, end));
}

}  // namespace

TEST_CASE("a walk meets every element once, in its group, whole blocks as constants") {
    for (const tare::extent row : {1, 4, 5, 13})
        for (const tare::extent rows : {1, 3}) {
            const tare::extent n = row * rows;
            for (tare::extent first = 0; first <= n; ++first)
                for (tare::extent end = first; end <= n; ++end) {
                    walks<4>(n, 4, row, first, end);
                    walks<0>(n, 4, row, first, end);
                    walks<0>(n, 64, row, first, end);
                }
        }
}
