// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <tare/lossless/entropy.hpp>

// Sums of a few hundred terms below 1 in double: 300 roundings of 2^-53 each, with room.
constexpr double sum_tolerance = 1e-12;

TEST_CASE("the entropy of known distributions") {
    CHECK(tare::entropy_bits<std::uint8_t>({}) == 0.0);
    CHECK(tare::entropy_bits<std::uint8_t>(std::vector<std::uint8_t>{7}) == 0.0);
    CHECK_FALSE(std::signbit(tare::entropy_bits<std::uint8_t>(std::vector<std::uint8_t>(9, 3))));
    CHECK(tare::entropy_bits<std::int8_t>(std::vector<std::int8_t>{-1, 1, -1, 1}) == 1.0);
    // 1/2, 1/4, 1/8, 1/8: 1.75 bits, exact in binary.
    const std::vector<std::int32_t> dyadic{-5, -5, -5, -5, 900, 900, 3, 70000};
    CHECK(tare::entropy_bits<std::int32_t>(dyadic) == 1.75);
    std::vector<std::uint8_t> all(256);
    for (std::size_t i = 0; i < all.size(); ++i)
        all[i] = static_cast<std::uint8_t>(i);
    CHECK(std::abs(tare::entropy_bits<std::uint8_t>(all) - 8.0) < sum_tolerance);
}

TEST_CASE("narrow and wide codes have the same entropy") {
    std::vector<std::uint8_t> narrow;
    for (std::uint32_t i = 0; i < 1009; ++i)
        narrow.push_back(static_cast<std::uint8_t>(i * i % 37));
    const std::vector<std::uint16_t> middle(narrow.begin(), narrow.end());
    const std::vector<std::uint32_t> wide(narrow.begin(), narrow.end());
    const double bits = tare::entropy_bits<std::uint8_t>(narrow);
    CHECK(bits == tare::entropy_bits<std::uint16_t>(middle));
    CHECK(bits == tare::entropy_bits<std::uint32_t>(wide));
    CHECK(bits < std::log2(37.0));
}

TEST_CASE("the gap is what a stream takes above the entropy") {
    const std::vector<std::uint8_t> codes{0, 1, 0, 1};
    CHECK(tare::entropy_gap<std::uint8_t>(codes, 12) == 2.0);
    CHECK(tare::entropy_gap<std::uint8_t>(codes, 0) == -1.0);
    CHECK_THROWS_AS((void)tare::entropy_gap<std::uint8_t>({}, 8), tare::error);
    CHECK_THROWS_AS((void)tare::entropy_gap<std::uint8_t>(codes, -1), tare::error);
}
