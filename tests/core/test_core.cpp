// SPDX-License-Identifier: MIT
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/simd.hpp>

TEST_CASE("a message joins text, numbers and shapes") {
    CHECK(tare::message("a is ", tare::shape{4, 256}, ", ", 3, ' ', 0.5) == "a is (4,256), 3 0.5");
}

TEST_CASE("a shape knows rows, columns and size") {
    constexpr tare::shape s{2, 3, 5};
    static_assert(s.size() == 30 && s.rows() == 6 && s.columns() == 5);
    CHECK(tare::shape{7}.to_string() == "(7,)");
    CHECK(tare::shape{}.size() == 1);
    CHECK_THROWS_AS((tare::shape{2, -1}), tare::error);
    CHECK_THROWS_AS((tare::shape{1LL << 40, 1LL << 40}), tare::error);
}

TEST_CASE("Philox gives the published known answer") {
    // Known-answer test of the authors' distribution: counter and key all ones.
    constexpr auto r = tare::philox({0xFFFFFFFFU, 0xFFFFFFFFU, 0xFFFFFFFFU, 0xFFFFFFFFU},
                                    0xFFFFFFFFU, 0xFFFFFFFFU);
    CHECK(r[0] == 0x408F276DU);
    CHECK(r[1] == 0x41C83B0EU);
    CHECK(r[2] == 0xA20BC7C6U);
    CHECK(r[3] == 0x6D5451FDU);
}

TEST_CASE("parallel_for covers each index once, for any number of threads") {
    for (const int threads : {1, 2, 3, 4}) {
        tare::set_threads(threads);
        for (const tare::extent n : {0, 1, 63, 64, 65, 1000}) {
            std::vector<int> hits(static_cast<std::size_t>(n));
            tare::parallel_for(n, 8, 1'000'000, [&](tare::extent b, tare::extent e) {
                for (tare::extent i = b; i < e; ++i)
                    ++hits[static_cast<std::size_t>(i)];
            });
            for (const int h : hits)
                REQUIRE(h == 1);
        }
    }
    tare::set_threads(1);
    CHECK_THROWS_AS(tare::set_threads(0), tare::error);
}
