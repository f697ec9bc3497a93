// SPDX-License-Identifier: MIT
#include <cstddef>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/prefetch.hpp>

TEST_CASE("parts that are asked for ahead cover every element once, in order") {
    for (const std::ptrdiff_t count : {0, 1, 63, 64, 65, 128, 200}) {
        const std::vector<float> x(static_cast<std::size_t>(count));
        std::ptrdiff_t next = 0;
        tare::simd::for_parts_ahead<64, 4096>(x.data(), count, [&](std::ptrdiff_t i, auto some) {
            const bool whole = !std::is_same_v<decltype(some), std::ptrdiff_t>;
            CHECK(i == next);
            CHECK(some > 0);
            CHECK(whole == (count - i >= 64));
            next = i + some;
        });
        CHECK(next == count);
    }
}
