// SPDX-License-Identifier: MIT
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/quantize/block_quotient.hpp>
#include <tare/quantize/ggml_blocks.hpp>

namespace {

using namespace tare;

constexpr auto lanes = static_cast<std::size_t>(simd::lanes);

/// The quotients of x, as many as come in whole registers.
std::vector<float> quotients(std::span<const float> x, float scale, float widest) {
    std::vector<float> out(x.size());
    const extent done = detail::for_quotients(
        x.data(), static_cast<extent>(x.size()), scale, detail::block_inverse(scale), widest,
        [&](simd::floats v, extent i) { simd::store(out.data() + i, v); });
    out.resize(static_cast<std::size_t>(done));
    return out;
}

}  // namespace

TEST_CASE("quotients of a block have the bits of the division") {
    const random_stream random(11, 2);
    std::size_t wrong = 0;
    for (std::size_t block = 0; block < 2000; ++block) {
        // Any mantissa, exponents from -50 to 50.
        const float scale = std::ldexp(1.0F + random.uniform(3 * block),
                                       static_cast<int>(random.below(3 * block + 1, 101)) - 50) *
                            (block % 2 == 0 ? 1.0F : -1.0F);
        std::vector<float> x(4 * lanes);
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] = scale * (256.0F * random.uniform(1000 * block + 7 + i) - 128.0F);
        const std::vector<float> y = quotients(x, scale, 128.0F);
        for (std::size_t i = 0; i < y.size(); ++i)
            wrong +=
                std::bit_cast<std::uint32_t>(y[i]) != std::bit_cast<std::uint32_t>(x[i] / scale);
    }
    CHECK(wrong == 0);
}

TEST_CASE("quotients end at the widest one, and NaN has 0") {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    std::vector<float> x(lanes, infinity);
    for (const float y : quotients(x, -0.5F, 8.0F))
        CHECK(y == -8.0F);
    x.assign(lanes, -std::numeric_limits<float>::max());
    for (const float y : quotients(x, 0.5F, 127.0F))
        CHECK(y == -127.0F);
    x.assign(lanes, std::numeric_limits<float>::quiet_NaN());
    for (const float y : quotients(x, 3.0F, 8.0F))
        CHECK(y == 0.0F);
}

TEST_CASE("scales near the ends of float32 are left to the division") {
    for (const float scale :
         {0.0F, 1e-40F, 0x1.8p-61F, 0x1.8p60F, -std::numeric_limits<float>::max(),
          std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
        CAPTURE(scale);
        CHECK(detail::block_inverse(scale) == 0.0F);
        CHECK(quotients(std::vector<float>(lanes, 1.0F), scale, 8.0F).empty());
    }
    for (const float scale : {0x1p-60F, -0x1p60F, 3.0F})
        CHECK(detail::block_inverse(scale) == 1.0F / scale);
}

/// Every middle between two integers, and the numbers beside it.
template <class Levels>
std::size_t differing_codes() {
    std::vector<float> v;
    for (float k = -Levels::widest; k <= Levels::widest; k += 0.5F)
        for (const float to : {-1e9F, k, 1e9F}) {
            const float near = std::nextafter(k, to);
            v.push_back(std::fabs(near) <= Levels::widest ? near : k);
        }
    v.insert(v.end(), {0.0F, -0.0F, 1e-30F, -1e-30F});
    v.resize((v.size() + lanes - 1) / lanes * lanes);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < v.size(); i += lanes) {
        float integers[lanes];
        float codes[lanes];
        simd::store(integers, Levels::integers(simd::load(&v[i])));
        simd::store(codes, simd::as_floats(Levels::codes(simd::load(&v[i]))));
        for (std::size_t k = 0; k < lanes; ++k) {
            const std::int32_t expected = Levels::rounded(v[i + k]);
            wrong += static_cast<float>(expected) != integers[k];
            wrong += Levels::code(expected) != std::bit_cast<std::uint32_t>(codes[k]);
        }
    }
    return wrong;
}

TEST_CASE("registers of quotients round as single ones do") {
    CHECK(differing_codes<q4_0_levels>() == 0);
    CHECK(differing_codes<q8_0_levels>() == 0);
}
