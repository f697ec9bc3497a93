// SPDX-License-Identifier: MIT
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/lossless/bit_pack.hpp>

namespace {

template <class Code>
std::vector<Code> random_codes(std::size_t count, int width, std::uint64_t seed) {
    const tare::random_stream draws(seed, static_cast<std::uint64_t>(width));
    std::vector<Code> codes(count);
    for (std::size_t i = 0; i < count; ++i)
        codes[i] = static_cast<Code>(draws.bits(i) & tare::low_mask(width));
    return codes;
}

template <class Code>
std::vector<std::byte> packed(const std::vector<Code>& codes, int width) {
    std::vector<std::byte> out(tare::packed_bytes(codes.size(), width), std::byte{0xA5});
    tare::pack_bits<Code>(codes, width, out);
    return out;
}

template <class Code>
void check_every_width_and_length() {
    for (int width = 1; width <= 8 * static_cast<int>(sizeof(Code)); ++width) {
        for (std::size_t count = 0; count <= 200; ++count) {
            const auto codes = random_codes<Code>(count, width, count);
            const auto stream = packed(codes, width);
            REQUIRE(tare::packed_bits(count, width) == static_cast<std::int64_t>(count) * width);
            REQUIRE(stream.size() == (count * static_cast<std::size_t>(width) + 7) / 8);

            std::vector<std::byte> plain(stream.size());
            tare::pack_bits_plain<Code>(codes, width, plain);
            REQUIRE(stream == plain);

            std::vector<Code> back(count, Code{1});
            tare::unpack_bits<Code>(stream, width, back);
            REQUIRE(back == codes);
            std::vector<Code> plain_back(count);
            tare::unpack_bits_plain<Code>(stream, width, plain_back);
            REQUIRE(plain_back == codes);
        }
    }
}

/// One code with one bit too many, at every place of a block and of the rest behind it.
template <class Code>
void check_every_wide_code() {
    constexpr int most = 8 * static_cast<int>(sizeof(Code));
    constexpr std::size_t count = 70;
    for (int width = 1; width < most; ++width) {
        for (const int bit : {width, most - 1}) {
            for (std::size_t bad = 0; bad < count; ++bad) {
                std::vector<Code> codes(count);
                codes[bad] = static_cast<Code>(Code{1} << bit);
                std::vector<std::byte> out(tare::packed_bytes(count, width));
                REQUIRE_THROWS_AS(tare::pack_bits<Code>(codes, width, out), tare::error);
            }
        }
    }
}

}  // namespace

TEST_CASE("a code that is too wide is found wherever it stands") {
    check_every_wide_code<std::uint8_t>();
    check_every_wide_code<std::uint16_t>();
    check_every_wide_code<std::uint32_t>();
}

TEST_CASE("packing 64 codes touches nothing behind its words") {
    for (int width = 1; width <= 8; ++width) {
        const auto codes = random_codes<std::uint8_t>(64, width, 3);
        std::vector<std::byte> out(64 + 8, std::byte{0x5A});
        tare::detail::bit_pack_kernels<std::uint8_t>::pack(width)(codes.data(), out.data());
        for (std::size_t i = 8 * static_cast<std::size_t>(width); i < out.size(); ++i)
            REQUIRE(out[i] == std::byte{0x5A});
    }
}

TEST_CASE("extract and deposit agree with their plain loops") {
    const tare::random_stream draws(7, 0);
    for (std::uint64_t i = 0; i < 400; i += 4) {
        const std::uint64_t word = std::uint64_t{draws.bits(i)} << 32 | draws.bits(i + 1);
        const std::uint64_t mask = std::uint64_t{draws.bits(i + 2)} << 32 | draws.bits(i + 3);
        REQUIRE(tare::extract_bits(word, mask) == tare::extract_bits_plain(word, mask));
        REQUIRE(tare::deposit_bits(word, mask) == tare::deposit_bits_plain(word, mask));
        REQUIRE(tare::deposit_bits(tare::extract_bits(word, mask), mask) == (word & mask));
    }
}

TEST_CASE("the layout is least significant bit first in little-endian bytes") {
    const std::vector<std::uint8_t> codes{1, 2, 3, 4, 5};
    // 001 | 010 | 011 | 100 | 101 from the low end: bits 1 2 3 4 5 in groups of three.
    const std::vector<std::byte> expected{std::byte{0b11010001}, std::byte{0b01011000}};
    CHECK(packed(codes, 3) == expected);
    const std::vector<std::uint16_t> wide{0xABC, 0x123};
    CHECK(packed(wide, 12) ==
          std::vector<std::byte>{std::byte{0xBC}, std::byte{0x3A}, std::byte{0x12}});
}

TEST_CASE("every width and every length up to 200 round-trips in exactly the declared bits") {
    check_every_width_and_length<std::uint8_t>();
    check_every_width_and_length<std::uint16_t>();
    check_every_width_and_length<std::uint32_t>();
}

TEST_CASE("a single code is read without unpacking the others") {
    for (int width = 1; width <= tare::max_code_bits; ++width) {
        const auto codes = random_codes<std::uint32_t>(131, width, 3);
        const auto stream = packed(codes, width);
        for (std::size_t i = 0; i < codes.size(); ++i)
            REQUIRE(tare::packed_code(stream, width, i) == codes[i]);
        CHECK_THROWS_AS((void)tare::packed_code(stream, width, codes.size() + 8), tare::error);
    }
    CHECK_THROWS_AS((void)tare::packed_code({}, 4, 0), tare::error);
}

TEST_CASE("misaligned spans pack and unpack alike") {
    const auto codes = random_codes<std::uint32_t>(300, 13, 5);
    const auto whole = packed(std::vector<std::uint32_t>(codes.begin() + 3, codes.end()), 13);
    for (std::size_t offset = 0; offset < 8; ++offset) {
        std::vector<std::byte> room(whole.size() + offset);
        const auto out = std::span(room).subspan(offset);
        tare::pack_bits(std::span<const std::uint32_t>(codes).subspan(3), 13, out);
        REQUIRE(std::vector<std::byte>(out.begin(), out.end()) == whole);
        std::vector<std::uint32_t> back(codes.size() - 3);
        tare::unpack_bits(std::span<const std::byte>(out), 13, std::span(back));
        REQUIRE(back == std::vector<std::uint32_t>(codes.begin() + 3, codes.end()));
    }
}

TEST_CASE("the bytes do not depend on the number of threads") {
    const auto codes = random_codes<std::uint16_t>(400'003, 11, 9);
    const auto one = packed(codes, 11);
    for (const int threads : {2, 3, 4}) {
        tare::set_threads(threads);
        CHECK(packed(codes, 11) == one);
        std::vector<std::uint16_t> back(codes.size());
        tare::unpack_bits<std::uint16_t>(one, 11, back);
        CHECK(back == codes);
    }
    tare::set_threads(1);
}

TEST_CASE("signed codes survive both representations at every width") {
    for (int width = 1; width <= tare::max_code_bits; ++width) {
        const std::int64_t half = std::int64_t{1} << (width - 1);
        for (const std::int64_t value : {-half, -half / 2, std::int64_t{-1} * (half > 0),
                                         std::int64_t{0}, half / 3, half - 1}) {
            const auto v = static_cast<std::int32_t>(value);
            REQUIRE((tare::to_twos_complement(v, width) & ~tare::low_mask(width)) == 0);
            REQUIRE(tare::from_twos_complement(tare::to_twos_complement(v, width), width) == v);
            REQUIRE(std::int64_t{tare::to_offset(v, width)} == value + half);
            REQUIRE(tare::from_offset(tare::to_offset(v, width), width) == v);
        }
        if (width < 32) {
            const auto above = static_cast<std::int32_t>(half);
            CHECK_THROWS_AS((void)tare::to_twos_complement(above, width), tare::error);
            CHECK_THROWS_AS((void)tare::to_offset(-above - 1, width), tare::error);
        }
    }
}

TEST_CASE("misuse is an error that says what to do") {
    std::vector<std::uint8_t> codes{1, 2, 9};
    std::vector<std::byte> two(2);
    CHECK_THROWS_WITH_AS(tare::pack_bits<std::uint8_t>(codes, 3, two),
                         "pack_bits: code 2 is 9 and needs more than 3 bits; mask it or choose a "
                         "larger width",
                         tare::error);
    CHECK_THROWS_AS(tare::pack_bits<std::uint8_t>(codes, 0, two), tare::error);
    CHECK_THROWS_AS(tare::pack_bits<std::uint8_t>(codes, 9, two), tare::error);
    CHECK_THROWS_AS(tare::pack_bits<std::uint8_t>(codes, 8, two), tare::error);
    CHECK_THROWS_AS(tare::unpack_bits<std::uint8_t>(two, 8, codes), tare::error);
    two[1] = std::byte{0x80};
    CHECK_THROWS_WITH_AS(tare::unpack_bits<std::uint8_t>(two, 3, codes),
                         "unpack_bits: byte 1: padding bits behind the last code are not zero",
                         tare::error);
}
