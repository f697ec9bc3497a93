// SPDX-License-Identifier: MIT
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/lossless/bit_mask.hpp>
#include <tare/lossless/block_mask.hpp>

namespace {

template <class T>
std::vector<T> sparse(std::size_t count, std::uint32_t percent, std::uint64_t seed) {
    const tare::random_stream draws(seed, 0);
    std::vector<T> values(count);
    for (std::size_t i = 0; i < count; ++i)
        if (draws.below(2 * i, 100) < percent)
            values[i] = static_cast<T>(1 + draws.below(2 * i + 1, 100));
    return values;
}

template <class T>
void check_round_trip(std::size_t count, std::uint32_t percent) {
    const auto values = sparse<T>(count, percent, count);
    const tare::bit_mask mask = tare::nonzero_mask<T>(values);
    std::vector<T> expected;
    for (std::size_t i = 0; i < count; ++i) {
        REQUIRE(mask[i] == (values[i] != T{}));
        if (values[i] != T{}) expected.push_back(values[i]);
    }
    REQUIRE(mask.count() == expected.size());
    std::vector<T> stored(mask.count());
    tare::compress<T>(values, mask, stored);
    REQUIRE(stored == expected);
    std::vector<T> back(count, T{1});
    tare::expand<T>(stored, mask, back);
    REQUIRE(back == values);

    std::vector<std::byte> bytes(tare::mask_bytes(count));
    tare::pack_mask(mask, bytes);
    REQUIRE(tare::unpack_mask(bytes, count) == mask);
    const tare::storage_cost cost = tare::mask_storage(mask, 5);
    REQUIRE(cost.value_bits == 5 * static_cast<std::int64_t>(expected.size()));
    REQUIRE(cost.mask_bits == static_cast<std::int64_t>(count));
}

}  // namespace

TEST_CASE("the fast blocks of 64 agree with their plain forms") {
    const tare::random_stream draws(3, 3);
    for (std::uint64_t round = 0; round < 200; ++round) {
        std::uint32_t words[64];
        std::uint8_t bytes[64];
        for (std::uint64_t i = 0; i < 64; ++i) {
            words[i] = draws.bits(128 * round + i) >> (round % 32);
            bytes[i] = static_cast<std::uint8_t>(draws.bits(128 * round + i));
        }
        const std::uint32_t origin = draws.bits(128 * round + 64) >> (round % 32);
        const std::uint32_t span = draws.bits(128 * round + 65) >> (round % 31);
        std::uint64_t mask =
            std::uint64_t{draws.bits(128 * round + 66)} << 32 | draws.bits(128 * round + 67);
        if (round < 2) mask = round - 1;  // all and none
        REQUIRE(tare::within_64(words, origin, span) == tare::within_64_plain(words, origin, span));
        const auto origin8 = static_cast<std::uint8_t>(origin);
        const auto span8 = static_cast<std::uint8_t>(span);
        REQUIRE(tare::within_64(bytes, origin8, span8) ==
                tare::within_64_plain(bytes, origin8, span8));

        // Zeros of both signs, NaN and denormals among the values.
        float floats[64];
        std::int32_t signs[64];
        for (std::size_t i = 0; i < 64; ++i) {
            const float some[] = {0.0F, -0.0F, std::numeric_limits<float>::quiet_NaN(), -1e-45F,
                                  static_cast<float>(words[i])};
            floats[i] = some[bytes[i] % 5];
            const std::int32_t whole[] = {0, std::numeric_limits<std::int32_t>::min(), 1, -1, 0};
            signs[i] = whole[bytes[i] % 5];
        }
        REQUIRE(tare::nonzero_64(floats) == tare::nonzero_64_plain(floats));
        REQUIRE(tare::nonzero_64(signs) == tare::nonzero_64_plain(signs));
        REQUIRE(tare::nonzero_64(words) == tare::nonzero_64_plain(words));
        REQUIRE(tare::nonzero_64(bytes) == tare::nonzero_64_plain(bytes));

        const auto check_moves = [&](const auto* values, auto zero) {
            using value = decltype(zero);
            value fast[64], plain[64], spread[64], plain_spread[64];
            const auto ones = static_cast<std::size_t>(std::popcount(mask));
            REQUIRE(tare::compress_64(values, mask, fast) == ones);
            REQUIRE(tare::compress_64_plain(values, mask, plain) == ones);
            for (std::size_t i = 0; i < ones; ++i)
                REQUIRE(fast[i] == plain[i]);
            tare::expand_64(values, mask, spread);
            tare::expand_64_plain(values, mask, plain_spread);
            value others[64], merged[64], plain_merged[64];
            std::reverse_copy(values, values + 64, others);
            tare::merge_64(others, values, mask, merged);
            tare::merge_64_plain(others, values, mask, plain_merged);
            tare::blend_64(fast, 0, zero);
            value blended[64];
            std::copy_n(values, 64, blended);
            tare::blend_64(blended, mask, value{77});
            for (std::size_t i = 0; i < 64; ++i) {
                REQUIRE(spread[i] == plain_spread[i]);
                REQUIRE(merged[i] == plain_merged[i]);
                if ((mask >> i & 1) != 0) REQUIRE(merged[i] == plain_spread[i]);
                REQUIRE(blended[i] == ((mask >> i & 1) != 0 ? value{77} : values[i]));
            }
        };
        check_moves(words, std::uint32_t{0});
        check_moves(bytes, std::uint8_t{0});

        const auto check_extremes = [&](const auto* values, auto zero) {
            using value = decltype(zero);
            value least = std::numeric_limits<value>::max(), plain_least = least;
            value most = std::numeric_limits<value>::min(), plain_most = most;
            tare::extremes_64(values, mask, least, most);
            tare::extremes_64_plain(values, mask, plain_least, plain_most);
            REQUIRE(least == plain_least);
            REQUIRE(most == plain_most);
        };
        check_extremes(words, std::uint32_t{0});
        check_extremes(reinterpret_cast<const std::int32_t*>(words), std::int32_t{0});
    }
}

TEST_CASE("compress and expand are inverse for every length and density") {
    for (const std::size_t count :
         {0UL, 1UL, 2UL, 63UL, 64UL, 65UL, 127UL, 128UL, 129UL, 1000UL, 1009UL}) {
        for (const std::uint32_t percent : {0U, 1U, 10U, 50U, 100U}) {
            check_round_trip<std::uint8_t>(count, percent);
            check_round_trip<std::uint16_t>(count, percent);
            check_round_trip<std::uint32_t>(count, percent);
            check_round_trip<float>(count, percent);
        }
    }
}

TEST_CASE("NaN is stored, negative zero is not") {
    std::vector<float> values(70, 0.0F);
    values[3] = values[66] = std::nanf("");
    values[4] = values[67] = -0.0F;
    values[5] = std::numeric_limits<float>::denorm_min();
    const tare::bit_mask mask = tare::nonzero_mask<float>(values);
    CHECK(mask.count() == 3);
    CHECK((mask[3] && mask[66] && mask[5]));
}

TEST_CASE("misaligned values and any number of threads give the same mask and values") {
    const auto values = sparse<float>(300'007, 30, 9);
    const auto part = std::span<const float>(values).subspan(1);
    const tare::bit_mask one = tare::nonzero_mask(part);
    std::vector<float> stored(one.count());
    tare::compress(part, one, std::span(stored));
    for (const int threads : {2, 3, 4}) {
        tare::set_threads(threads);
        CHECK(tare::nonzero_mask(part) == one);
        std::vector<float> again(one.count()), back(part.size());
        tare::compress(part, one, std::span(again));
        CHECK(again == stored);
        tare::expand<float>(again, one, back);
        CHECK(std::equal(back.begin(), back.end(), part.begin()));
    }
    tare::set_threads(1);
}

TEST_CASE("a mask has the words it needs, and ones are counted between any two bits") {
    for (const std::size_t size : {0UL, 1UL, 63UL, 64UL, 65UL, 128UL})
        CHECK(tare::bit_mask(size).words().size() == (size + 63) / 64);
    const tare::random_stream draws(4, 4);
    tare::bit_mask mask(131);
    for (std::size_t i = 0; i < mask.size(); ++i)
        mask.set(i, i % 64 == 63 || draws.below(i, 4) != 0);  // ones at the ends of words
    for (std::size_t begin = 0; begin <= mask.size(); ++begin) {
        std::size_t ones = 0;
        for (std::size_t end = begin; end <= mask.size(); ++end) {
            REQUIRE(mask.count(begin, end) == ones);
            ones += end < mask.size() && mask[end];
        }
    }
}

TEST_CASE("rows are counted, the last one shorter") {
    tare::bit_mask mask(150);
    for (const std::size_t i : {0UL, 69UL, 70UL, 71UL, 139UL, 140UL, 149UL})
        mask.set(i);
    CHECK(tare::row_counts(mask, 70) == std::vector<std::size_t>{2, 3, 2});
    CHECK(tare::row_counts(mask, 1).size() == 150);
    mask.set(0, false);
    CHECK(mask.count(0, 70) == 1);
    CHECK(tare::row_counts(tare::bit_mask{}, 0).empty());
    CHECK_THROWS_AS((void)tare::row_counts(mask, 0), tare::error);
}

TEST_CASE("block masks store whole blocks, those at the edge with what exists") {
    for (const tare::extent rows : {0, 1, 5, 8, 9}) {
        for (const tare::extent columns : {1, 4, 7, 12}) {
            const tare::block_grid grid{rows, columns, 4, 3};
            auto values = sparse<float>(static_cast<std::size_t>(rows * (columns + 2)), 10, 77);
            const tare::matrix_view<const float> matrix(values.data(), rows, columns, columns + 2);
            const tare::bit_mask mask = tare::nonzero_blocks(matrix, grid);
            REQUIRE(mask.size() == static_cast<std::size_t>((rows + 3) / 4 * ((columns + 2) / 3)));
            std::size_t all = 0;
            for (std::size_t b = 0; b < grid.blocks(); ++b)
                all += grid.size(b);
            REQUIRE(all == static_cast<std::size_t>(rows * columns));

            std::vector<float> stored(tare::stored_elements(mask, grid));
            tare::compress_blocks(matrix, mask, grid, std::span(stored));
            REQUIRE(tare::block_storage(mask, grid, 8).total_bits() ==
                    static_cast<std::int64_t>(8 * stored.size() + mask.size()));
            std::vector<float> back(static_cast<std::size_t>(rows * columns), 1.0F);
            const tare::matrix_view<float> out(back.data(), rows, columns);
            tare::expand_blocks<float>(stored, mask, grid, out);
            for (tare::extent r = 0; r < rows; ++r)
                for (tare::extent c = 0; c < columns; ++c)
                    REQUIRE(out(r, c) == matrix(r, c));
        }
    }
}

TEST_CASE("sizes that do not match and damaged masks are errors") {
    const std::vector<float> values(10, 1.0F);
    const tare::bit_mask mask = tare::nonzero_mask<float>(values);
    std::vector<float> nine(9), ten(10);
    CHECK_THROWS_AS(tare::compress<float>(values, mask, nine), tare::error);
    CHECK_THROWS_AS(tare::compress<float>(nine, mask, ten), tare::error);
    CHECK_THROWS_AS(tare::expand<float>(nine, mask, ten), tare::error);
    CHECK_THROWS_AS(tare::expand<float>(ten, mask, nine), tare::error);
    std::vector<std::byte> bytes(2);
    tare::pack_mask(mask, bytes);
    CHECK_THROWS_AS((void)tare::unpack_mask(bytes, 17), tare::error);
    CHECK_THROWS_AS((void)tare::unpack_mask(bytes, 8), tare::error);
    CHECK_THROWS_AS((void)tare::unpack_mask({}, ~std::size_t{0}), tare::error);
    std::vector<std::byte> next = bytes;
    next[1] |= std::byte{0x04};  // the first bit behind the last
    CHECK_THROWS_AS((void)tare::unpack_mask(next, 10), tare::error);
    bytes[1] |= std::byte{0x40};
    CHECK_THROWS_WITH_AS((void)tare::unpack_mask(bytes, 10),
                         "unpack_mask: byte 1: padding bits behind the last one are not zero",
                         tare::error);
    CHECK_THROWS_AS(tare::pack_mask(mask, std::span(bytes).first(1)), tare::error);
    const tare::matrix_view<const float> matrix(values.data(), 2, 5);
    CHECK_THROWS_AS((void)tare::nonzero_blocks(matrix, {2, 5, 0, 1}), tare::error);
    CHECK_THROWS_AS((void)tare::nonzero_blocks(matrix, {2, 4, 1, 1}), tare::error);
    CHECK_THROWS_AS((void)tare::stored_elements(mask, {2, 4, 1, 1}), tare::error);
}
