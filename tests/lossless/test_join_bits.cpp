// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/lossless/join_bits.hpp>

namespace {

/// Strings of these lengths, each in memory of exactly its bytes, beside the same bit by bit.
void joins(const std::vector<std::int64_t>& lengths) {
    const tare::random_stream random(9, 1);
    std::vector<std::vector<std::byte>> memory;
    std::vector<tare::bit_string> strings;
    std::vector<std::byte> expected;
    std::int64_t bits = 0;
    for (const std::int64_t length : lengths) {
        std::vector<std::byte>& bytes =
            memory.emplace_back(static_cast<std::size_t>((length + 7) / 8));
        for (std::size_t i = 0; i < bytes.size(); ++i)
            bytes[i] = static_cast<std::byte>(random.bits(1000 * memory.size() + i) & 0xFFU);
        for (std::int64_t i = 0; i < length; ++i, ++bits) {
            if (bits % 8 == 0) expected.push_back(std::byte{0});
            const std::byte from = bytes[static_cast<std::size_t>(i / 8)];
            expected.back() |= (from >> (i % 8) & std::byte{1}) << (bits % 8);
        }
    }
    for (std::size_t k = 0; k < lengths.size(); ++k)
        strings.push_back({memory[k].data(), lengths[k]});
    for (const int threads : {1, 3}) {
        CAPTURE(threads);
        tare::set_threads(threads);
        // Not zero, as memory that is used again.
        std::vector<std::byte> out(expected.size(), std::byte{0xFF});
        CHECK(tare::join_bits(strings, out.data()) == bits);
        CHECK(out == expected);
        tare::set_threads(1);
    }
}

}  // namespace

TEST_CASE("strings of bits follow each other without a gap") {
    joins({});
    joins({0});
    joins({1});
    joins({8, 16, 64});
    joins({3, 0, 1, 2, 1, 1, 0, 7, 9, 64, 65, 63, 5, 128, 71, 8, 1});
    joins({5, 1000, 2001, 13, 64 * 64 + 3, 7});
}

TEST_CASE("threads share many long strings of bits") {
    std::vector<std::int64_t> lengths;
    for (std::int64_t i = 0; i < 40; ++i)
        lengths.push_back(600'000 + 37 * i);
    joins(lengths);
}
