// SPDX-License-Identifier: MIT
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/lossless/byte_lanes.hpp>
#include <tare/lossless/word_row.hpp>

TEST_CASE("every operation on eight words does to each what its definition says") {
    const tare::random_stream draws(9, 4);
    std::vector<std::uint8_t> bytes(300);
    for (std::size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<std::uint8_t>(draws.bits(i));
    std::uint64_t at = 1000;
    // All bits, few of them, none: each has a case of its own somewhere.
    const auto word = [&] {
        at += 3;
        const std::uint64_t all = std::uint64_t{draws.bits(at)} << 32 | draws.bits(at + 1);
        const std::uint64_t single = std::uint64_t{1} << draws.bits(at + 1) % 64;
        switch (draws.bits(at + 2) % 4) {
        case 0:
            return std::uint64_t{0};
        case 1:
            return single;
        case 2:
            return all & (0 - single);
        default:
            return all;
        }
    };
    for (int round = 0; round < 500; ++round) {
        tare::stored_row a;
        tare::stored_row b;
        tare::stored_row counts;
        tare::stored_row offsets;
        for (std::size_t l = 0; l < tare::row_lanes; ++l) {
            a.at[l] = word();
            b.at[l] = l == 5 ? a.at[l] : word();
            counts.at[l] = draws.bits(at + l) % 5 == 0 ? word() : draws.bits(at + l) % 67;
            offsets.at[l] = draws.bits(at + l) % (bytes.size() - 8);
        }
        const std::uint64_t same = word();
        const tare::word_row x = a;
        const tare::word_row y = b;
        const auto check = [&](const char* what, tare::word_row got, auto expected) {
            CAPTURE(what);
            tare::stored_row out;
            got.store(out);
            for (std::size_t l = 0; l < tare::row_lanes; ++l)
                REQUIRE(out.at[l] == expected(l));
        };
        check("fours_of", fours_of(x),
              [&](std::size_t l) { return tare::four_of(static_cast<std::uint8_t>(a.at[l])); });
        for (const std::uint64_t place : {0UL, 63UL, 64UL, 65UL, 127UL, 128UL})
            check("string_word", string_word(x, tare::word_row(place), 1), [&](std::size_t l) {
                if (place >= 128) return std::uint64_t{0};
                if (place >= 64) return a.at[l] << (place - 64);
                return place == 0 ? 0 : a.at[l] >> (64 - place);
            });
        std::uint64_t columns[4 * tare::row_lanes];
        tare::word_row::store_columns({x, y, tare::word_row(counts), tare::word_row(same)},
                                      columns);
        for (std::size_t l = 0; l < tare::row_lanes; ++l) {
            REQUIRE(columns[4 * l] == a.at[l]);
            REQUIRE(columns[4 * l + 1] == b.at[l]);
            REQUIRE(columns[4 * l + 2] == counts.at[l]);
            REQUIRE(columns[4 * l + 3] == same);
        }
        check("word_row(word)", tare::word_row(same), [&](std::size_t) { return same; });
        check("&", x & y, [&](std::size_t l) { return a.at[l] & b.at[l]; });
        check("|", x | y, [&](std::size_t l) { return a.at[l] | b.at[l]; });
        check("+", x + y, [&](std::size_t l) { return a.at[l] + b.at[l]; });
        check("-", x - y, [&](std::size_t l) { return a.at[l] - b.at[l]; });
        check("<<", x << counts, [&](std::size_t l) {
            return counts.at[l] < 64 ? a.at[l] << counts.at[l] : std::uint64_t{0};
        });
        check(">>", x >> counts, [&](std::size_t l) {
            return counts.at[l] < 64 ? a.at[l] >> counts.at[l] : std::uint64_t{0};
        });
        tare::stored_row by;
        for (std::size_t l = 0; l < tare::row_lanes; ++l)
            by.at[l] = counts.at[l] % 64;
        check("joined", joined(x, y, by), [&](std::size_t l) {
            const std::uint64_t low = by.at[l] == 0 ? 0 : b.at[l] >> (64 - by.at[l]);
            return a.at[l] << by.at[l] | low;
        });
        check("without", without(x, y), [&](std::size_t l) { return a.at[l] & ~b.at[l]; });
        check("min", min(x, y), [&](std::size_t l) { return std::min(a.at[l], b.at[l]); });
        check("product", product(x, y),
              [&](std::size_t l) { return (a.at[l] & 0xFFFFFFFFU) * (b.at[l] & 0xFFFFFFFFU); });
        check("popcount", popcount(x),
              [&](std::size_t l) { return std::uint64_t(std::popcount(a.at[l])); });
        check("lowest_place", lowest_place(x), [&](std::size_t l) {
            return a.at[l] == 0 ? ~std::uint64_t{0} : std::uint64_t(std::countr_zero(a.at[l]));
        });
        check("looked_up", looked_up(x, y),
              [&](std::size_t l) { return a.at[b.at[l] % tare::row_lanes]; });
        check("bytes_at", tare::word_row::bytes_at(bytes.data(), offsets),
              [&](std::size_t l) { return std::uint64_t{bytes[offsets.at[l]]}; });
        check("words_at", tare::word_row::words_at(bytes.data(), offsets), [&](std::size_t l) {
            std::uint64_t out;
            std::memcpy(&out, bytes.data() + offsets.at[l], sizeof out);
            return out;
        });
        check("moved_up", moved_up(x, same),
              [&](std::size_t l) { return l == 0 ? same : a.at[l - 1]; });
        std::uint64_t running = 0;
        check("running_sums", running_sums(x), [&](std::size_t l) { return running += a.at[l]; });
        REQUIRE(sum(x) == running);
        const auto condition = static_cast<std::uint8_t>(same);
        tare::stored_row some = b;
        x.store_where(condition, some);
        check("store_where", some,
              [&](std::size_t l) { return (condition >> l & 1) != 0 ? a.at[l] : b.at[l]; });
        check("select", select(condition, x, y),
              [&](std::size_t l) { return (condition >> l & 1) != 0 ? a.at[l] : b.at[l]; });
        for (std::size_t l = 0; l < tare::row_lanes; ++l) {
            REQUIRE((nonzero(x) >> l & 1) == int{a.at[l] != 0});
            REQUIRE((less(x, y) >> l & 1) == int{a.at[l] < b.at[l]});
        }
    }
}
