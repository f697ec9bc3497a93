// SPDX-License-Identifier: MIT
#include <limits>

#include <tare/core/pack.hpp>

#include "../kernels/kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

TEST_CASE("partial loads and stores touch nothing else") {
    const auto x = uniform_values(16, 141);
    for (std::size_t count = 0; count <= 16; ++count) {
        std::vector<float> y(17, 5.0F);
        store(y.data(), simd::load_pack(x.data(), count), count);
        CHECK(std::equal(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(count), y.begin()));
        CHECK(std::count(y.begin(), y.end(), 5.0F) == static_cast<std::ptrdiff_t>(17 - count));
        float whole[16];
        store(whole, simd::load_pack(x.data(), count));
        for (std::size_t i = count; i < 16; ++i)
            CHECK(whole[i] == 0.0F);
    }
}

TEST_CASE("lanes fold by halves") {
    auto x = uniform_values(16, 142, -1e4F, 1e4F);
    const simd::pack v = simd::load_pack(x.data());
    CHECK(reduce_max(v) == *std::max_element(x.begin(), x.end()));
    CHECK(reduce_min(v) == *std::min_element(x.begin(), x.end()));
    const float folded = reduce_add(v);
    for (std::size_t half = 8; half > 0; half /= 2) {
        for (std::size_t i = 0; i < half; ++i)
            x[i] += x[i + half];
    }
    CHECK(folded == x[0]);
}

TEST_CASE("comparisons see NaN as stated") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    float x[16] = {nan, 1, 2, 3};
    const simd::pack v = simd::load_pack(x);
    const simd::pack two = simd::pack_of(2.0F);
    CHECK(mask_bits(v < two) == 0xFFF2U);
    CHECK(mask_bits(v <= two) == 0xFFF6U);
    CHECK(mask_bits(v == two) == 0x0004U);
    CHECK(mask_bits(not_less(v, two)) == 0x000DU);
    CHECK(mask_bits(unordered(v, two)) == 0x0001U);
    float y[16];
    // The second argument is returned when one is NaN.
    store(y, max(v, two));
    CHECK(y[0] == 2.0F);
    store(y, max(two, v));
    CHECK(std::isnan(y[0]));
    store(y, keep(v < two, v));
    CHECK(y[1] == 1.0F);
    CHECK(y[0] == 0.0F);
    store(y, copy_sign(two, simd::pack_of(-0.0F)));
    CHECK(y[7] == -2.0F);
}

TEST_CASE("powers of two scale exactly and round once below the normal range") {
    for (const float n : {-300.0F, -150.0F, -149.0F, -140.0F, -126.0F, 0.0F, 127.0F, 128.0F}) {
        for (const float v : {0.7F, 1.0F, 1.4142135F, -1.25F}) {
            float y[16];
            store(y, multiply_power(simd::pack_of(v), simd::pack_of(n)));
            CHECK(y[3] == std::ldexp(v, static_cast<int>(n)));
            if (n < -126.0F || n > 127.0F) continue;
            store(y, multiply_near_power(simd::pack_of(v), simd::pack_of(n + 0x1.8p23F)));
            CHECK(y[3] == std::ldexp(v, static_cast<int>(n)));
        }
    }
}
