// SPDX-License-Identifier: MIT
#include <cstdint>
#include <limits>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/core/simd_small.hpp>

namespace simd = tare::simd;

namespace {

constexpr std::size_t lanes = simd::wide_lanes;

}  // namespace

TEST_CASE("small numbers look up all 128 floats of a table, lane by lane") {
    const tare::random_stream random(11, 0);
    float table[128];
    for (std::size_t i = 0; i < 128; ++i)
        table[i] = random.normal(i);
    const simd::wide_table128 values(table);
    for (std::size_t first = 0; first < 128; ++first) {
        std::uint8_t at[lanes];
        for (std::size_t i = 0; i < lanes; ++i)
            at[i] = static_cast<std::uint8_t>((first + 37 * i) % 128);
        float out[lanes];
        simd::store(out, values[simd::load_small(at)]);
        std::uint8_t back[lanes];
        simd::store_bytes(back, simd::load_small(at));
        for (std::size_t i = 0; i < lanes; ++i) {
            CHECK(out[i] == table[at[i]]);
            CHECK(back[i] == at[i]);
        }
    }
}

TEST_CASE("numbers become small within their bounds") {
    const float some[] = {-1e9F, -4e4F, -1.0F, -0.5F,  0.0F,   0.99F, 1.0F,
                          63.5F, 99.9F, 100.F, 100.5F, 200.0F, 7e4F,  1e9F};
    const std::uint8_t expected[] = {0, 0, 0, 0, 0, 0, 1, 63, 99, 100, 100, 100, 100, 100};
    constexpr std::size_t count = sizeof expected;
    for (std::size_t first = 0; first < count; ++first) {
        float x[lanes];
        for (std::size_t i = 0; i < lanes; ++i)
            x[i] = some[(first + i) % count];
        std::uint8_t out[lanes];
        simd::store_bytes(out, simd::truncate_to_small(simd::load_pack<simd::wide_pack>(x), 100));
        for (std::size_t i = 0; i < lanes; ++i)
            CHECK(out[i] == expected[(first + i) % count]);
    }
}

TEST_CASE("small numbers grow where one magnitude is not less than another") {
    const float some[] = {
        0.0F,
        std::numeric_limits<float>::denorm_min(),
        std::numeric_limits<float>::min(),
        0.99999994F,
        1.0F,
        3.0F,
        std::numeric_limits<float>::max(),
        std::numeric_limits<float>::infinity(),
    };
    constexpr std::size_t count = sizeof some / sizeof some[0];
    const auto number = [](std::size_t i) { return static_cast<std::uint8_t>(3 * i % 127); };
    for (std::size_t apart = 0; apart < count; ++apart) {
        float a[lanes];
        float b[lanes];
        std::uint8_t v[lanes];
        for (std::size_t i = 0; i < lanes; ++i) {
            a[i] = some[i % count];
            b[i] = some[(i + apart) % count];
            v[i] = number(i);
        }
        simd::store_bytes(v, simd::increment_where_not_less(simd::load_pack<simd::wide_pack>(a),
                                                            simd::load_pack<simd::wide_pack>(b),
                                                            simd::load_small(v)));
        for (std::size_t i = 0; i < lanes; ++i)
            CHECK(v[i] == number(i) + (a[i] >= b[i] ? 1 : 0));
    }
}
