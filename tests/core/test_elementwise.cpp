// SPDX-License-Identifier: MIT
#include <algorithm>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/elementwise.hpp>

TEST_CASE("chunks cover a range: spans downward, chunks upward inside a span") {
    using tare::detail::map_chunk;
    using tare::detail::map_span;
    for (const tare::extent begin :
         {tare::extent{0}, tare::extent{1}, map_chunk, map_span - 1, map_span + 5})
        for (const tare::extent end :
             {tare::extent{0}, tare::extent{1}, map_chunk + 1, map_span, 3 * map_span + 7}) {
            CAPTURE(begin);
            CAPTURE(end);
            std::vector<tare::extent> from, to;
            tare::detail::for_chunks(begin, end, [&](tare::extent b, tare::extent e) {
                from.push_back(b);
                to.push_back(e);
            });
            REQUIRE(from.empty() == (begin >= end));
            // From the last span on: each of its chunks follows the one before it, and what ends
            // it is where the span above began.
            tare::extent stop = end;
            for (std::size_t i = 0; i < from.size();) {
                const tare::extent span = from[i] / map_span;
                const tare::extent start = from[i];
                CHECK(start == std::max(begin, span * map_span));
                for (tare::extent next = start; i < from.size() && from[i] / map_span == span;
                     ++i) {
                    CHECK(from[i] == next);
                    CHECK(from[i] < to[i]);
                    CHECK(from[i] / map_chunk == (to[i] - 1) / map_chunk);
                    next = to[i];
                }
                CHECK(to[i - 1] == stop);
                stop = start;
            }
            if (begin < end) CHECK(stop == begin);
        }
}
