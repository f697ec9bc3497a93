// SPDX-License-Identifier: MIT
#include <limits>
#include <vector>

#include <doctest/doctest.h>

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
    CHECK(y[2] == doctest::Approx(-64.0 / 127));  // -63.5, ties to even
    CHECK(q.storage(x, p).total_bits() == 2 * (32 + 16) + 3 + 64);
}

TEST_CASE("misuse of row-wise int8 is named") {
    CHECK_THROWS_AS(tare::llm_int8(0), tare::error);
    const std::vector<float> x(7);
    CHECK_THROWS_WITH_AS((void)tare::llm_int8(3).fit(x),
                         "per_row: 7 elements are not whole rows of 3 columns", tare::error);
}
