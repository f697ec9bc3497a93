// SPDX-License-Identifier: MIT
#include <array>
#include <cstdint>
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

TEST_CASE("Philox gives the published known answers") {
    // The known-answer tests of the authors' distribution (Random123): zeros, ones, digits of pi.
    using words = std::array<std::uint32_t, 4>;
    struct answer {
        words counter;
        std::uint32_t key0, key1;
        words after_7, after_10;
    };
    constexpr std::uint32_t ones = 0xFFFFFFFFU;
    constexpr answer answers[] = {{{0, 0, 0, 0},
                                   0,
                                   0,
                                   {0x5F6FB709U, 0x0D893F64U, 0x4F121F81U, 0x4F730A48U},
                                   {0x6627E8D5U, 0xE169C58DU, 0xBC57AC4CU, 0x9B00DBD8U}},
                                  {{ones, ones, ones, ones},
                                   ones,
                                   ones,
                                   {0x5207DDC2U, 0x45165E59U, 0x4D8EE751U, 0x8C52F662U},
                                   {0x408F276DU, 0x41C83B0EU, 0xA20BC7C6U, 0x6D5451FDU}},
                                  {{0x243F6A88U, 0x85A308D3U, 0x13198A2EU, 0x03707344U},
                                   0xA4093822U,
                                   0x299F31D0U,
                                   {0x4DFCCABAU, 0x190A87F0U, 0xC47362BAU, 0xB6B5242AU},
                                   {0xD16CFE09U, 0x94FDCCEBU, 0x5001E420U, 0x24126EA1U}}};
    for (const answer& a : answers) {
        CHECK(tare::philox<7>(a.counter, a.key0, a.key1) == a.after_7);
        CHECK(tare::philox(a.counter, a.key0, a.key1) == a.after_10);
    }
    static_assert(tare::philox_rounds == 10 && tare::rounding_rounds == 7);
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
