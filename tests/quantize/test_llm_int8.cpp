// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/quantize/llm_int8.hpp>

#include "conformance.hpp"

TEST_CASE("row-wise int8 with outlier columns conforms") {
    tare::testing::conforms(tare::llm_int8(1), {.multiple_of = 1});
    tare::testing::conforms(tare::llm_int8(13), {.multiple_of = 13});
    tare::testing::conforms(tare::llm_int8(8, std::numeric_limits<float>::infinity()),
                            {.multiple_of = 8});
    tare::testing::conforms(tare::llm_int8(5, 0.5F), {.multiple_of = 5});
}

TEST_CASE("outlier columns stay exact and do not coarsen the rows") {
    const std::vector<float> x{1.0F, 50.0F, -0.5F, 0.25F, 3.0F, 0.3F};
    const tare::llm_int8 q(3);
    const auto p = q.fit(x);
    CHECK(p.kept == std::vector<std::uint8_t>{0, 1, 0});
    CHECK(p.rows == std::vector<float>{1.0F, 0.3F});
    std::vector<float> y(6);
    q.fake_quantize(x, p, y);
    CHECK(y[1] == 50.0F);
    CHECK(y[4] == 3.0F);
    CHECK(y[0] == 1.0F);
    CHECK(y[2] == static_cast<float>(-64.0 / 127));  // -63.5, ties to even
    CHECK(q.storage(x, p).total_bits() == 2 * (32 + 16) + 3 + 64);
}

TEST_CASE("the loops over rows agree with the formulas, ties and odd values included") {
    constexpr tare::extent columns = 311;  // a prime: every rest
    constexpr int rows = 240;
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const tare::random_stream random(9, 0);
    std::vector<float> x(static_cast<std::size_t>(rows * columns));
    for (int r = 0; r < rows; ++r) {
        const float scale = std::ldexp(1.0F, r - 140 + r / 120);
        for (tare::extent c = 0; c < columns; ++c) {
            const auto i = static_cast<std::size_t>(r * columns + c);
            // Odd rows: halves of integers up to 127 times m / 127, so that x 127 / m lies in the
            // middle; the factor makes reciprocals of m that are not exact enough by themselves.
            const bool halves = r % 2 != 0;
            const float factor = scale * static_cast<float>(2 * r + 1);
            const float wide = random.uniform(i) * 2.0F - 1.0F;
            x[i] = halves ? factor * (std::nearbyint(wide * 253.0F) * 0.5F) : scale * wide;
            if (halves && c == 4) x[i] = 127.0F * factor;
        }
        const auto first = static_cast<std::size_t>(r * columns);
        if (r % 5 == 0) x[first + 7] = std::numeric_limits<float>::quiet_NaN();
        if (r == 6) x[first + 8] = -infinity;
        if (r == 9) std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(first), columns, 0.0F);
    }
    for (const float threshold : {infinity, 0x1p60F, 0x1p115F}) {
        const tare::llm_int8 q(columns, threshold);
        auto p = q.fit(x);
        if (threshold == infinity) CHECK(std::ranges::count(p.kept, 1) == 1);
        p.rows[20] *= 0.25F;  // of another tensor: elements beyond it saturate
        std::vector<float> y(x.size());
        std::vector<float> unpacked(x.size());
        q.fake_quantize(x, p, y);
        q.decode(q.encode(x, p), unpacked);
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const float m = p.rows[i / columns];
            const float expected =
                p.kept[i % columns] != 0
                    ? x[i]
                    : tare::llm_int8::dequantize(tare::llm_int8::quantize(x[i], m), m);
            const bool nan = expected != expected;
            wrong +=
                nan ? y[i] == y[i]
                    : std::bit_cast<std::uint32_t>(y[i]) != std::bit_cast<std::uint32_t>(expected);
            wrong += nan ? unpacked[i] == unpacked[i]
                         : std::bit_cast<std::uint32_t>(unpacked[i]) !=
                               std::bit_cast<std::uint32_t>(expected);
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("misuse of row-wise int8 is named") {
    CHECK_THROWS_AS(tare::llm_int8(0), tare::error);
    const std::vector<float> x(7);
    CHECK_THROWS_WITH_AS((void)tare::llm_int8(3).fit(x),
                         "per_row: 7 elements are not whole rows of 3 columns", tare::error);
}
