// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/quantize/nf4_elements.hpp>

namespace {

/// Numbers around every border and level, the ends, and a spread over [-1.1, 1.1].
std::vector<float> inputs() {
    std::vector<float> x{0.0F, -0.0F, 2.0F, -2.0F, INFINITY, -INFINITY, 1e-45F};
    const auto around = [&](float v) {
        float low = v;
        float high = v;
        for (int i = 0; i < 3; ++i) {
            x.push_back(low);
            x.push_back(high);
            low = std::nextafter(low, -2.0F);
            high = std::nextafter(high, 2.0F);
        }
    };
    for (const float border : tare::detail::nf4_borders)
        around(border);
    for (const float level : tare::nf4_levels)
        around(level);
    for (int bucket = 0; bucket <= 32; ++bucket)
        around(static_cast<float>(bucket) / tare::detail::nf4_buckets::density - 1.0F);
    const tare::random_stream random(9, 0);
    for (std::uint64_t i = 0; i < 20000; ++i)
        x.push_back(2.2F * random.uniform(i) - 1.1F);
    return x;
}

}  // namespace

TEST_CASE("the nearest level by borders and by buckets is the nearest by distance") {
    const std::vector<float> x = inputs();
    const auto n = static_cast<tare::extent>(x.size());
    const tare::detail::nf4_elements elements;
    std::vector<std::uint32_t> codes(x.size());
    std::vector<float> values(x.size());
    for (const float scale : {1.0F, 0.3F}) {
        const tare::nf4_group group{scale, 0};
        elements.encode_values(x.data(), n, group, codes.data());
        elements.fake_block(x.data(), values.data(), n, group);
        for (std::size_t i = 0; i < x.size(); ++i) {
            const float v = x[i] / scale;
            const float inside = v > 1.0F ? 1.0F : (v < -1.0F ? -1.0F : v);
            const std::uint32_t nearest = tare::nearest_nf4_plain(inside);
            REQUIRE(tare::nearest_nf4(v) == nearest);
            REQUIRE(codes[i] == nearest);
            REQUIRE(values[i] == tare::nf4_levels[nearest] * scale);
        }
    }
}

TEST_CASE("NaN and a block without a scale are zero") {
    std::vector<float> x(40, std::numeric_limits<float>::quiet_NaN());
    x[3] = INFINITY;
    x[20] = 1.0F;
    std::vector<std::uint32_t> codes(x.size());
    std::vector<float> values(x.size());
    const tare::detail::nf4_elements elements;
    elements.encode_values(x.data(), 40, {0.0F, 0}, codes.data());
    elements.fake_block(x.data(), values.data(), 40, {0.0F, 0});
    for (std::size_t i = 0; i < x.size(); ++i) {
        CHECK(codes[i] == 7U);
        CHECK(values[i] == 0.0F);
    }
    elements.encode_values(x.data(), 40, {1.0F, 0}, codes.data());
    CHECK(codes[0] == 7U);
    CHECK(codes[39] == 7U);
    CHECK(codes[3] == 15U);
}
