// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdint>
#include <limits>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/quantize/dynamic_map.hpp>

TEST_CASE("codes of the dynamic map are those of the nearest values") {
    const tare::dynamic_codes& code_of = tare::dynamic_codes::instance();
    const auto& map = tare::dynamic_map();
    std::size_t wrong = 0;
    const auto look = [&](float v) { wrong += code_of(v) != tare::nearest_in_dynamic_map(v); };
    for (std::size_t k = 0; k + 1 < map.size(); ++k) {
        look(map[k]);
        // The middle, where the code changes, and a few numbers on either side.
        float v = (map[k] + map[k + 1]) / 2;
        for (int i = 0; i < 4; ++i)
            v = std::nextafter(v, -2.0F);
        for (int i = 0; i < 9; ++i, v = std::nextafter(v, 2.0F))
            look(v);
    }
    const tare::random_stream random(3, 4);
    for (std::size_t i = 0; i < 200'000; ++i)
        look((2.0F * random.uniform(2 * i) - 1.0F) *
             std::ldexp(1.0F, -static_cast<int>(random.below(2 * i + 1, 30))));
    for (const float v : {-1.0F, 1.0F, 0.0F, -0.0F, std::numeric_limits<float>::denorm_min(),
                          -std::numeric_limits<float>::denorm_min()})
        look(v);
    CHECK(wrong == 0);
}

TEST_CASE("every value of the dynamic map has its own code") {
    for (std::size_t k = 0; k < tare::dynamic_map().size(); ++k)
        CHECK(tare::dynamic_codes::instance()(tare::dynamic_map()[k]) == k);
}
