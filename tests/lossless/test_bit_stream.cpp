// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/lossless/bit_stream.hpp>

namespace {

// The definition: bit k of the stream is bit k % 8 of byte k / 8.
class bits_one_by_one {
  public:
    void put(std::uint64_t field, int bits) {
        for (int b = 0; b < bits; ++b, ++count_) {
            if (count_ % 8 == 0) bytes_.push_back(std::byte{0});
            bytes_.back() |= static_cast<std::byte>((field >> b & 1) << (count_ % 8));
        }
    }
    [[nodiscard]] std::int64_t count() const { return count_; }
    [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

  private:
    std::vector<std::byte> bytes_;
    std::int64_t count_ = 0;
};

}  // namespace

TEST_CASE("every way to write fields gives the bits one by one") {
    const tare::random_stream draws(8, 1);
    std::uint64_t at = 0;
    const auto below = [&](std::uint32_t n) { return draws.below(at++, n); };
    const auto word = [&] {
        at += 2;
        return std::uint64_t{draws.bits(at)} << 32 | draws.bits(at + 1);
    };
    for (int round = 0; round < 200; ++round) {
        std::vector<std::byte> memory(40 * 320 + tare::bit_writer::room, std::byte{0xA5});
        tare::bit_writer fast(memory.data());
        bits_one_by_one plain;
        for (int step = 0; step < 40; ++step) {
            const std::uint32_t way = below(5);
            if (way == 0) {
                const int bits = static_cast<int>(below(57));
                const std::uint64_t field = word() & tare::low_mask(bits);
                fast.put(field, bits);
                plain.put(field, bits);
            } else if (way == 1) {
                const int bits = static_cast<int>(below(65));
                const std::uint64_t field = word() & tare::low_mask(bits);
                fast.put_wide(field, bits);
                plain.put(field, bits);
            } else if (way == 2) {
                const std::uint64_t field = word();
                fast.put_64(field);
                plain.put(field, 64);
            } else if (way == 3) {
                const std::uint64_t words[4] = {word(), word(), word(), word()};
                const auto bits = below(257);
                fast.put(words, bits);
                for (std::uint32_t b = 0; b < bits; ++b)
                    plain.put(words[b / 64] >> (b % 64), 1);
            } else {
                const auto bits = below(249);
                std::uint64_t words[4] = {word(), word(), word(), word()};
                for (std::uint32_t w = 0; w < 4; ++w)
                    words[w] &= tare::low_mask(
                        static_cast<int>(bits > 64 * w ? std::min(bits - 64 * w, 64U) : 0));
                fast.put_four(words, static_cast<int>(bits));
                for (std::uint32_t b = 0; b < bits; ++b)
                    plain.put(words[b / 64] >> (b % 64), 1);
            }
            REQUIRE(fast.bits() == plain.count());
        }
        const std::size_t bytes = fast.finish();
        REQUIRE(std::vector<std::byte>(memory.begin(),
                                       memory.begin() + static_cast<std::ptrdiff_t>(bytes)) ==
                plain.bytes());
    }
}

TEST_CASE("what is read is what was written, and nothing behind the end") {
    std::vector<std::byte> memory(64);
    tare::bit_writer out(memory.data());
    out.put(5, 3);
    out.put_wide(0x0123456789ABCDEFU, 64);
    out.put_64(0xFEDCBA9876543210U);
    out.put(1, 1);
    const std::size_t bytes = out.finish();
    CHECK(bytes == 17);
    tare::bit_reader in(std::span<const std::byte>(memory).first(bytes), "test", 100);
    CHECK(in.take(3) == 5);
    CHECK(in.take(64) == 0x0123456789ABCDEFU);
    std::uint64_t word[1];
    in.take(word, 64);
    CHECK(word[0] == 0xFEDCBA9876543210U);
    CHECK(in.byte() == 116);
    in.skip(1);
    CHECK_NOTHROW(in.finish());
    std::string what;
    try {
        tare::bit_reader again(std::span<const std::byte>(memory).first(bytes), "test", 100);
        again.skip(130);
        (void)again.take(7);
    } catch (const tare::error& e) {
        what = e.what();
    }
    CHECK(what.find("test: byte 116: the stream ends at byte 117 where 7 more") == 0);
}

TEST_CASE("fields of every length are read from every bit of a byte") {
    const tare::random_stream draws(8, 2);
    std::vector<std::byte> stream(200);
    for (std::size_t i = 0; i < stream.size(); ++i)
        stream[i] = static_cast<std::byte>(draws.bits(i));
    const std::span<const std::byte> bytes(stream);
    const auto expected = [&](std::size_t at, std::size_t bits) {
        std::uint64_t field = 0;
        for (std::size_t b = 0; b < bits; ++b, ++at)
            field |= std::uint64_t{std::to_integer<unsigned>(stream[at / 8]) >> (at % 8) & 1U} << b;
        return field;
    };
    for (std::size_t begin = 0; begin < 8; ++begin)
        for (std::size_t bits = 0; bits <= 64; ++bits) {
            tare::bit_reader in(bytes, "test", 0);
            in.skip(begin);
            REQUIRE(in.take(static_cast<int>(bits)) == expected(begin, bits));
            // The same across words, and what follows is what lies behind.
            std::uint64_t words[3] = {};
            in.take(words, 64 + bits);
            REQUIRE(words[0] == expected(begin + bits, 64));
            if (bits != 0) REQUIRE(words[1] == expected(begin + bits + 64, bits));
            REQUIRE(in.take(9) == expected(begin + 2 * bits + 64, 9));
        }
    // The last field of a stream, whose word reaches beyond its end.
    for (std::size_t size = 1; size <= 17; ++size)
        for (std::size_t bits = 0; bits <= std::min<std::size_t>(64, 8 * size); ++bits) {
            const std::vector<std::byte> whole(stream.begin(),
                                               stream.begin() + static_cast<std::ptrdiff_t>(size));
            tare::bit_reader in(whole, "test", 0);
            in.skip(8 * size - bits);
            REQUIRE(in.take(static_cast<int>(bits)) == expected(8 * size - bits, bits));
            CHECK_NOTHROW(in.finish());
        }
}

TEST_CASE("nothing behind the end is skipped, and only zero bits of the last byte are left") {
    const std::byte bytes[] = {std::byte{0xFF}, std::byte{0x10}, std::byte{0x00}};
    const auto reader = [&](std::size_t skipped) {
        tare::bit_reader in(bytes, "test", 40);
        in.skip(skipped);
        return in;
    };
    CHECK_NOTHROW((void)reader(24));
    CHECK_THROWS_WITH_AS((void)reader(25),
                         "test: byte 40: the stream ends at byte 43 where 25 more bits are needed",
                         tare::error);
    CHECK_NOTHROW(reader(17).finish());
    CHECK_THROWS_WITH_AS(reader(16).finish(), "test: byte 42: 1 bytes behind the last chunk",
                         tare::error);
    tare::bit_reader padded(std::span<const std::byte>(bytes, 2), "test", 0);
    padded.skip(12);
    CHECK_THROWS_WITH_AS(padded.finish(), "test: byte 1: padding bits are not zero", tare::error);
}
