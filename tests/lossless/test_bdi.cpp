// SPDX-License-Identifier: MIT
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/lossless/bdi.hpp>
#include <tare/lossless/bdi_typescript.hpp>

#include "golden.hpp"

namespace {

template <class Word>
std::vector<std::byte> line_of(const std::vector<Word>& words) {
    std::vector<std::byte> bytes(words.size() * sizeof(Word));
    std::memcpy(bytes.data(), words.data(), bytes.size());
    return bytes;
}

template <class Word>
int published(const std::vector<Word>& words) {
    const auto bytes = line_of(words);
    REQUIRE(bytes.size() == tare::bdi_line);
    return tare::bdi_line_bytes(std::span<const std::byte, tare::bdi_line>(bytes));
}

// Lines of every kind: words of `word` bytes near 0 and near a random base.
std::vector<std::byte> lines(std::size_t count, std::uint64_t seed) {
    const tare::random_stream draws(seed, 0);
    std::vector<std::byte> bytes(count * tare::bdi_line);
    for (std::size_t l = 0; l < count; ++l) {
        const std::size_t word = std::size_t{2} << draws.below(8000 + l, 3);
        const int spread = 4 + static_cast<int>(draws.below(9000 + l, 40));
        const std::uint64_t base = std::uint64_t{draws.bits(7000 + l)} << 20;
        for (std::size_t i = 0; i < tare::bdi_line / word; ++i) {
            std::uint64_t v = draws.below(64 * l + 2 * i, 3) == 0 ? 0 : base;
            v += (std::uint64_t{draws.bits(64 * l + 2 * i + 1)} << 12) & tare::low_mask(spread);
            if (l % 7 == 0) v = base;
            if (l % 11 == 0) v = 0;
            std::memcpy(bytes.data() + l * tare::bdi_line + i * word, &v, word);
        }
    }
    return bytes;
}

}  // namespace

TEST_CASE("the TypeScript encoder's blocks are reproduced") {
    const auto archive = tare::testing::golden("smaq/bdi_ts.npz");
    const auto get = [&](const char* name) {
        return tare::testing::values<std::int64_t>(archive, name);
    };
    const auto values = get("values"), ok = get("ok"), config = get("config"), size = get("size");
    const auto original = get("original_size"), n_bases = get("n_bases"), base1 = get("base1");
    const auto base_index = get("base_index"), delta = get("delta");
    const std::size_t block = values.size() / ok.size();
    for (std::size_t b = 0; b < ok.size(); ++b) {
        CAPTURE(b);
        const std::span<const std::int64_t> part(values.data() + block * b, block);
        if (ok[b] == 0) {
            CHECK_THROWS_AS((void)tare::bdi_typescript(part), tare::error);
            continue;
        }
        const tare::bdi_typescript_block out = tare::bdi_typescript(part);
        CHECK(static_cast<std::int64_t>(out.config) == config[b]);
        CHECK(out.bits == size[b]);
        CHECK(out.original_bits == original[b]);
        CHECK(out.bases == n_bases[b]);
        CHECK(out.base == base1[b]);
        for (std::size_t i = 0; i < block; ++i) {
            CHECK(out.base_index[i] == base_index[block * b + i]);
            CHECK(out.delta[i] == delta[block * b + i]);
        }
    }
}

TEST_CASE("the TypeScript limits are those of the published code") {
    static_assert(tare::bdi_typescript_limit(8) == 1018);
    static_assert(tare::bdi_typescript_limit(16) == 523258);
    static_assert(tare::bdi_typescript_limit(32) == 68719475706);
    const std::int64_t low = std::numeric_limits<std::int64_t>::min();
    const std::int64_t high = std::numeric_limits<std::int64_t>::max();
    CHECK(tare::bdi_typescript(std::vector<std::int64_t>{high, low}).bits == 64 + 2 * 8);
}

TEST_CASE("the published size of a line follows its rules") {
    using u64 = std::uint64_t;
    using u32 = std::uint32_t;
    using u16 = std::uint16_t;
    CHECK(published(std::vector<u64>(8, 0)) == 1);
    CHECK(published(std::vector<u64>(8, 0x123456789ABCDEF0)) == 8);
    CHECK(published(std::vector<u32>(16, 0x12345678)) == 4);
    const u64 base = 0x7000000000000000;
    CHECK(published(std::vector<u64>{base, base + 255, base - 255, 0, 255, base, 1, base}) ==
          8 * 1 + 16);
    CHECK(published(std::vector<u64>{base, base + 256, base - 255, 0, 255, base, 1, base}) ==
          8 * 2 + 16);
    // Also near one base as words of 2 bytes, 0x7000 beside 0, 1 and 255: the minimum wins.
    CHECK(published(std::vector<u64>{base, base + 65536, base, 0, 255, base, 1, base}) ==
          32 * 1 + 4);
    const u64 mixed = 0x7123456789ABCDEF;
    CHECK(published(std::vector<u64>{mixed, mixed + 65536, mixed, 0, 255, mixed, 1, mixed}) ==
          8 * 4 + 16);
    std::vector<u32> words(16, 0x40000000);
    words[3] = 0x400000FF;
    CHECK(published(words) == 16 * 1 + 8);
    words[3] = 0x4000FFFF;
    CHECK(published(words) == 16 * 2 + 8);
    std::vector<u16> shorts(32, 0x4000);
    shorts[1] = 0x40FF;
    shorts[2] = 3;
    CHECK(published(shorts) == 32 * 1 + 4);
    shorts[1] = 0x4100;
    shorts[5] = 0x8000;
    CHECK(published(shorts) == 64);
}

TEST_CASE("the classic stream decodes to what was encoded, for every kind of line and length") {
    const auto all = lines(120, 5);
    CHECK(tare::bdi_decode(tare::bdi_encode(all)) == all);
    CHECK(tare::bdi_encode(all).size() < all.size());
    for (std::size_t length = 0; length <= 200; ++length) {
        const std::span<const std::byte> part(all.data() + 1, length);
        REQUIRE(tare::bdi_decode(tare::bdi_encode(part)) ==
                std::vector<std::byte>(part.begin(), part.end()));
    }
    // One line of each form, with the bits that the form declares: 64 of count, 4 of tag.
    const auto stream_bytes = [](const std::vector<std::byte>& line) {
        const auto stream = tare::bdi_encode(line);
        CHECK(tare::bdi_decode(stream) == line);
        return stream.size();
    };
    const std::uint64_t base = 0x7000000000000000;
    CHECK(stream_bytes(line_of(std::vector<std::uint64_t>(8, 0))) == 8 + 1);
    CHECK(stream_bytes(line_of(std::vector<std::uint64_t>(8, base))) == 8 + 8 + 1);
    CHECK(stream_bytes(line_of(std::vector<std::uint32_t>(16, 77777))) == 8 + 4 + 1);
    CHECK(stream_bytes(line_of(
              std::vector<std::uint64_t>{base, base + 127, base - 128, 0, 127, base, 1, base})) ==
          8 + (4 + 64 + 8 + 64 + 7) / 8);
    CHECK(stream_bytes(line_of(std::vector<std::uint64_t>{base, 1U << 30, ~base, 3 * base, 5 * base,
                                                          base, 1, ~0ULL})) == 8 + 64 + 1);
}

TEST_CASE("every truncation and every flipped bit of a classic stream is an error or other bytes") {
    const auto bytes = lines(12, 9);
    const auto stream = tare::bdi_encode(std::span(bytes).first(12 * 64 - 5));
    for (std::size_t length = 0; length < stream.size(); ++length) {
        std::string what;
        try {
            (void)tare::bdi_decode(std::span(stream).first(length));
        } catch (const tare::error& e) {
            what = e.what();
        }
        REQUIRE(what.find("byte") != std::string::npos);
    }
    std::size_t refused = 0;
    for (std::size_t bit = 0; bit < 8 * stream.size(); ++bit) {
        auto damaged = stream;
        damaged[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
        try {
            const auto other = tare::bdi_decode(damaged);
            CHECK(other != bytes);
        } catch (const tare::error&) {
            ++refused;
        }
    }
    CHECK(refused > 0);
}
