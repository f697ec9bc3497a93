// SPDX-License-Identifier: MIT
#include <cstdint>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/lossless/nnw_bdi_prices.hpp>

TEST_CASE("the least price of all families at once is that of each in turn") {
    const tare::random_stream draws(7, 2);
    std::uint64_t at = 0;
    const auto below = [&](std::uint32_t n) { return draws.below(at++, n); };
    std::size_t unpriced = 0;
    for (int round = 0; round < 2000; ++round) {
        tare::detail::bdi_price_table table;
        table.immediates = below(tare::detail::bdi_sources + 1);
        table.most_bases =
            below(static_cast<std::uint32_t>(tare::detail::bdi_sources - table.immediates) + 1);
        tare::detail::bdi_cover cover;
        for (std::size_t l = 0; l < tare::detail::bdi_lanes; ++l) {
            table.delta_bits.at[l] = std::uint64_t{1 + below(32)} << tare::detail::bdi_price_shift;
            table.base_bits.at[l] = std::uint64_t{1 + below(32)} << tare::detail::bdi_price_shift;
            for (std::size_t b = 0; b <= tare::detail::bdi_sources; ++b) {
                const std::uint64_t front = below(300) << tare::detail::bdi_price_shift;
                table.front[b].at[l] =
                    below(3) == 0 ? tare::detail::bdi_no_price : front | below(64);
                cover.left[b].at[l] = below(2) == 0 ? 0 : std::uint64_t{1} << below(64);
            }
            for (std::size_t s = 0; s < tare::detail::bdi_sources; ++s)
                cover.masks[s].at[l] = below(3) == 0 ? 0 : std::uint64_t{1} << below(64);
        }
        const std::uint64_t stored = below(65);
        const std::uint64_t plain = tare::detail::bdi_least_price_plain(table, cover, stored);
        REQUIRE(tare::detail::bdi_least_price(table, cover, stored) == plain);
        unpriced += plain == tare::detail::bdi_no_price;
    }
    CHECK(unpriced > 0);
    CHECK(unpriced < 1000);
}

TEST_CASE("selectors cost the logarithm of the sources, rounded up") {
    tare::detail::bdi_price_table table;
    table.immediates = tare::detail::bdi_sources;
    for (auto& row : table.front)
        for (std::uint64_t& price : row.at)
            price = tare::detail::bdi_no_price;
    table.front[0].at[3] = std::uint64_t{10} << tare::detail::bdi_price_shift | 5;
    table.delta_bits.at[3] = std::uint64_t{4} << tare::detail::bdi_price_shift;
    const std::uint64_t planes[] = {0, 0, 1, 2, 2, 3, 3, 3};
    tare::detail::bdi_cover cover;
    for (std::uint64_t sources = 0; sources < 8; ++sources) {
        if (sources != 0) cover.masks[sources - 1].at[3] = 1;
        const std::uint64_t bits = 10 + 60 * (4 + planes[sources]);
        CHECK(tare::detail::bdi_least_price(table, cover, 60) ==
              (bits << tare::detail::bdi_price_shift | 5));
    }
}
