// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/lossless/byte_extremes.hpp>
#include <tare/lossless/byte_lanes.hpp>

namespace {

using tare::four_of;

// The bytes of a block, in order.
std::vector<std::uint8_t> bytes_of(const tare::byte_block& block) {
    std::vector<std::uint8_t> out(64);
    block.compress(~std::uint64_t{0}, out.data());
    return out;
}

}  // namespace

TEST_CASE("every operation on 64 bytes does to each what its definition says") {
    const tare::random_stream draws(5, 5);
    for (std::uint64_t round = 0; round < 300; ++round) {
        const auto draw = [&](std::uint64_t i) { return draws.bits(256 * round + i); };
        // Narrow and wide spreads, at the ends and in the middle.
        const std::uint32_t spread = 1 + draw(200) % 256;
        std::uint8_t a[64];
        std::uint8_t b[64];
        for (std::uint64_t i = 0; i < 64; ++i) {
            a[i] = static_cast<std::uint8_t>(draw(201) + draw(i) % spread);
            b[i] = static_cast<std::uint8_t>(draw(64 + i));
        }
        const tare::byte_block block(a);
        const auto first = static_cast<std::uint8_t>(draw(202));
        const auto span = static_cast<std::uint8_t>(draw(203));
        std::uint64_t within = 0;
        for (int i = 0; i < 64; ++i)
            within |= std::uint64_t{static_cast<std::uint8_t>(a[i] - first) <= span} << i;
        REQUIRE(block.within(four_of(first), four_of(span)) == within);

        const std::uint64_t mask = std::uint64_t{draw(207)} << 32 | draw(208);
        const auto low = static_cast<std::uint8_t>((1U << draw(209) % 9) - 1);
        tare::byte_block blended = block;
        blended.blend(mask, four_of(first));
        const auto mixed = bytes_of(blended);
        const auto less = bytes_of(block.minus(tare::byte_block(b), four_of(low)));
        std::vector<std::uint8_t> dense;
        for (std::size_t i = 0; i < 64; ++i) {
            const bool marked = (mask >> i & 1) != 0;
            REQUIRE(mixed[i] == (marked ? first : a[i]));
            REQUIRE(less[i] == static_cast<std::uint8_t>((a[i] - b[i]) & low));
            if (marked) dense.push_back(a[i]);
        }
        const int bits = static_cast<int>(1 + draw(210) % 8);
        const tare::byte_block narrow = block.minus(
            tare::byte_block(four_of(0)), four_of(static_cast<std::uint8_t>((1U << bits) - 1)));
        std::uint8_t packed[64];
        narrow.pack(mask, bits, packed);
        for (std::size_t i = 0; i < dense.size() * static_cast<std::size_t>(bits); ++i) {
            const auto width = static_cast<std::size_t>(bits);
            REQUIRE((packed[i / 8] >> (i % 8) & 1) == (dense[i / width] >> (i % width) & 1));
        }
        dense.resize(64);
        std::vector<std::uint8_t> compressed(64, 99);
        block.compress(mask, compressed.data());
        REQUIRE(compressed == dense);
        REQUIRE(bytes_of(tare::byte_block(four_of(first))) == std::vector<std::uint8_t>(64, first));
    }
}

TEST_CASE("values are narrowed to bytes, and it is known when they do not fit") {
    const tare::random_stream draws(6, 6);
    const auto check = [&](auto zero) {
        using value = decltype(zero);
        for (std::uint64_t round = 0; round < 200; ++round) {
            const int shift =
                static_cast<int>(draws.bits(128 * round + 100) % (round % 2 == 0 ? 32 : 20));
            // An origin that values can have behind the shift: else nothing ever fits.
            const auto origin = static_cast<std::uint32_t>(
                static_cast<value>(draws.bits(128 * round + 101)) >> shift);
            // Every fourth round one value lies just outside, below or above.
            std::vector<value> values(65);
            bool fits = true;
            for (std::uint64_t i = 0; i < 65; ++i) {
                std::uint32_t offset = draws.bits(128 * round + i) % 256;
                if (round % 4 == 3 && i == 1 + round % 64) offset = round % 8 == 3 ? 256 : ~0U;
                values[i] = static_cast<value>((origin + offset) << shift);
            }
            std::vector<std::uint8_t> expected(64), bytes(64);
            for (std::size_t i = 0; i < 64; ++i) {
                const auto shifted = static_cast<std::uint32_t>(values[i + 1] >> shift);
                expected[i] = static_cast<std::uint8_t>(shifted - origin);
                fits = fits && shifted - origin < 256;
            }
            bool hold = !fits;
            tare::byte_block::narrowed(values.data() + 1, shift, origin, hold).store(bytes.data());
            REQUIRE(hold == fits);
            REQUIRE(bytes == expected);
        }
    };
    check(std::uint32_t{0});
    check(std::int32_t{0});
}

TEST_CASE("the extremes of eight blocks of bytes are those of each") {
    const tare::random_stream draws(7, 6);
    for (std::uint64_t round = 0; round < 300; ++round) {
        std::vector<std::uint8_t> bytes(1 + 8 * 64);
        // Narrow around the middle, where one byte far off anywhere must be seen.
        for (std::size_t i = 0; i < bytes.size(); ++i)
            bytes[i] = static_cast<std::uint8_t>(100 + draws.bits(1000 * round + i) % 40);
        bytes[1 + draws.bits(1000 * round + 999) % 512] = round % 2 == 0 ? 255 : 0;
        tare::stored_row least, most;
        tare::byte_extremes(bytes.data() + 1, least, most);
        for (std::size_t l = 0; l < tare::row_lanes; ++l) {
            const auto block = std::span(bytes).subspan(1 + 64 * l, 64);
            REQUIRE(least.at[l] == std::ranges::min(block));
            REQUIRE(most.at[l] == std::ranges::max(block));
        }
    }
}
