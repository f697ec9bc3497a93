// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/formats/fp6.hpp>
#include <tare/formats/fp8.hpp>
#include <tare/quantize/block_elements.hpp>
#include <tare/quantize/mx.hpp>

#include "conformance.hpp"

namespace {

/// A user's format at its plainest: a table, branches, no `round`.
struct thirds {
    using code_type = std::uint8_t;
    static constexpr std::string_view name = "thirds";
    static constexpr int bits = 3;
    static constexpr bool exact_in_fp32 = true;
    static constexpr bool standalone_sign = false;
    static code_type encode(float x) {
        for (int k = 0; k < 3; ++k)
            if (std::fabs(x) <= static_cast<float>(k) + 0.5F)
                return static_cast<code_type>(x < 0 && k > 0 ? k | 4 : k);
        return x < 0 ? 7 : 3;
    }
    static float decode(code_type code) {
        const auto size = static_cast<float>(code & 3);
        return (code & 4) != 0 ? -size : size;
    }
    static constexpr float max_value() { return 3.0F; }
};
static_assert(tare::numeric_format<thirds>);

std::vector<float> inputs() {
    std::vector<float> x{0.0F,    -0.0F,  0.5F,   -0.5F,  1.5F,   2.5F,     -2.5F,     126.5F,
                         -126.5F, 127.0F, 127.5F, -1e30F, 1e-40F, INFINITY, -INFINITY, NAN};
    const tare::random_stream random(5, 0);
    for (std::uint64_t i = 0; i < 2000; ++i)
        x.push_back(random.normal(i) * std::exp2(static_cast<float>(i % 40) - 20.0F));
    return x;
}

}  // namespace

TEST_CASE("bounded, nearest_away_integer and floor_log2 are what their names say") {
    for (const float x : inputs()) {
        const float expected = std::isnan(x) ? 0.0F : std::fmax(std::fmin(x, 127.0F), -127.0F);
        const float got = tare::detail::bounded(x, 127.0F);
        CHECK(got == expected);
        CHECK(tare::detail::nearest_away_integer(got) == static_cast<int>(std::round(expected)));
        if (std::isfinite(x) && x != 0.0F)
            CHECK(tare::detail::floor_log2(std::fabs(x)) == std::ilogb(x));
    }
    CHECK(tare::detail::floor_log2(std::numeric_limits<float>::denorm_min()) == -149);
    const std::vector<float> x = inputs();
    const std::span<const float> all(x);
    CHECK(tare::detail::largest_pattern(all.data() + 16, 5) ==
          std::bit_cast<std::int32_t>(tare::largest_magnitude(all.subspan(16, 5))));
    CHECK(tare::detail::largest_pattern(all.data(), 16) > tare::detail::infinity_pattern);
}

TEST_CASE("bounds hold at the ends of float32 and for every NaN") {
    constexpr float most = std::numeric_limits<float>::max();
    constexpr float infinity = std::numeric_limits<float>::infinity();
    CHECK(tare::detail::within_float(infinity) == most);
    CHECK(tare::detail::within_float(-infinity) == -most);
    CHECK(std::isnan(tare::detail::within_float(std::numeric_limits<float>::quiet_NaN())));
    for (const float x : {most, -most, 0.0F, 1.5F, -1e-45F})
        CHECK(tare::detail::within_float(x) == x);
    // The first and the last pattern of a NaN, of both signs; infinity is none.
    for (const std::uint32_t pattern : {0x7F800001U, 0x7FFFFFFFU, 0xFF800001U, 0xFFFFFFFFU})
        CHECK(tare::detail::bounded(std::bit_cast<float>(pattern), 127.0F) == 0.0F);
    CHECK(tare::detail::bounded(infinity, 127.0F) == 127.0F);
    CHECK(tare::detail::bounded(-infinity, 127.0F) == -127.0F);

    // A block whose values leave float32 on the way out.
    using elements = tare::detail::block_elements<tare::fp6_e2m3, true>;
    const float x[] = {7.5F, -7.5F, 1.0F, 0.0F};
    float values[4];
    float rounded[4];
    elements::scale(x, 4, 1e38F, values);
    elements::round(x, rounded, 4, 1.0F, 1e38F);
    for (const float* got : {values, rounded}) {
        CHECK(got[0] == most);
        CHECK(got[1] == -most);
        CHECK(got[2] == 1e38F);
        CHECK(got[3] == 0.0F);
    }
}

TEST_CASE("loops over a block are the element functions, for every length") {
    const std::vector<float> x = inputs();
    const auto run = [&]<class F>(F) {
        using elements = tare::detail::block_elements<F, true>;
        for (const tare::extent n : {0, 1, 15, 16, 17, 31, 32, 33, 64}) {
            std::vector<std::uint32_t> codes(static_cast<std::size_t>(n));
            std::vector<float> values(codes.size()), rounded(codes.size());
            std::vector<typename F::code_type> stored(codes.size());
            elements::encode(x.data(), n, 0.37F, codes.data());
            elements::round(x.data(), rounded.data(), n, 0.37F, 1e30F);
            std::copy(codes.begin(), codes.end(), stored.begin());
            tare::detail::decode_elements<F>(stored.data(), n, values.data());
            elements::scale(values.data(), n, 1e30F, values.data());
            for (std::size_t i = 0; i < codes.size(); ++i) {
                const float v = x[i] * 0.37F;
                const auto code = F::encode(v == v ? v : 0.0F);
                REQUIRE(codes[i] == code);
                REQUIRE(values[i] == tare::detail::within_float(F::decode(code) * 1e30F));
                REQUIRE(rounded[i] == values[i]);
            }
        }
    };
    run(tare::fp6_e2m3{});
    run(tare::mx_int8_element<>{});
    run(thirds{});
}

TEST_CASE("a NaN is what the format makes of it unless it is to be taken for zero") {
    const float x[] = {std::numeric_limits<float>::quiet_NaN(), 1.0F};
    const auto run = [&]<bool NanIsZero>(std::bool_constant<NanIsZero>) {
        using elements = tare::detail::block_elements<tare::fp8_e4m3, NanIsZero>;
        std::uint32_t codes[2];
        float rounded[2];
        elements::encode(x, 2, 1.0F, codes);
        elements::round(x, rounded, 2, 1.0F, 1.0F);
        CHECK(codes[0] == tare::fp8_e4m3::encode(NanIsZero ? 0.0F : x[0]));
        CHECK(std::isnan(rounded[0]) == !NanIsZero);
        CHECK(rounded[1] == 1.0F);
    };
    run(std::true_type{});
    run(std::false_type{});
}

TEST_CASE("a block format of a user's own elements conforms") {
    tare::testing::conforms(tare::mx<thirds>(), {.isolates_bad_elements = false});
    tare::testing::conforms(tare::mx<thirds>(45),
                            {.isolates_bad_elements = false, .multiple_of = 45});
}
