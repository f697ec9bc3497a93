// SPDX-License-Identifier: MIT
#include <cstdint>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/lossless/nnw_bdi_prices.hpp>

TEST_CASE("the prices of eight chunks at once are those of each in turn") {
    const tare::random_stream draws(7, 2);
    std::uint64_t at = 0;
    const auto below = [&](std::uint32_t n) { return draws.below(at++, n); };
    for (int round = 0; round < 2000; ++round) {
        tare::detail::bdi_price_table table;
        table.delta_bits = 1 + below(32);
        for (std::uint64_t& front : table.front.at)
            front = below(3) == 0
                        ? tare::detail::bdi_no_price
                        : std::uint64_t{below(300)} << tare::detail::bdi_price_shift | below(64);
        tare::stored_row bases;
        tare::stored_row sources;
        tare::stored_row stored;
        for (std::size_t l = 0; l < tare::row_lanes; ++l) {
            sources.at[l] = below(8);
            bases.at[l] = below(static_cast<std::uint32_t>(sources.at[l]) + 1);
            stored.at[l] = below(65);
        }
        tare::stored_row price;
        tare::detail::bdi_price(table, bases, sources, stored).store(price);
        for (std::size_t l = 0; l < tare::row_lanes; ++l)
            REQUIRE(price.at[l] ==
                    tare::detail::bdi_price_plain(table, bases.at[l], sources.at[l], stored.at[l]));
    }
}

TEST_CASE("selectors cost the logarithm of the sources, rounded up") {
    tare::detail::bdi_price_table table;
    table.front.at[0] = std::uint64_t{10} << tare::detail::bdi_price_shift | 5;
    table.delta_bits = 4;
    const std::uint64_t planes[] = {0, 0, 1, 2, 2, 3, 3, 3};
    for (std::uint64_t sources = 0; sources < 8; ++sources) {
        const std::uint64_t bits = 10 + 60 * (4 + planes[sources]);
        CHECK(tare::detail::bdi_price_plain(table, 0, sources, 60) ==
              (bits << tare::detail::bdi_price_shift | 5));
    }
}
