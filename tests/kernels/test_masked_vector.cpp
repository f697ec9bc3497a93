// SPDX-License-Identifier: MIT
// Pruned vectors give back every value, and add like the whole vector.
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/kernels/masked_vector.hpp>

using namespace tare;
using namespace tare::kernels;

TEST_CASE("a masked vector gives back its values") {
    for (const std::size_t size : {0UL, 1UL, 15UL, 16UL, 17UL, 63UL, 64UL, 65UL, 1000UL})
        for (const float zeros : {0.0F, 0.75F, 1.0F}) {
            const random_stream random(size, 0);
            std::vector<float> values(size);
            for (std::size_t i = 0; i < size; ++i)
                values[i] = random.uniform(2 * i) < zeros ? 0.0F : random.uniform(2 * i + 1) + 1.0F;
            const masked_vector masked(values);
            std::vector<float> back(size, -1.0F);
            masked.copy_to(back);
            CHECK(back == values);
            CHECK(masked.size() == size);
        }
}

TEST_CASE("what is not a number stays so") {
    const std::vector<float> values{0.0F, std::numeric_limits<float>::quiet_NaN(), -0.0F, 2.0F};
    std::vector<float> back(4);
    masked_vector(values).copy_to(back);
    CHECK(std::isnan(back[1]));
    CHECK(back[3] == 2.0F);
}

TEST_CASE("three zeros of four take less than a third of the bytes") {
    std::vector<float> values(4096);
    for (std::size_t i = 0; i < values.size(); i += 4)
        values[i] = 1.0F;
    CHECK(masked_vector(values).bytes() * 3 < values.size() * sizeof(float));
}

TEST_CASE("a bias of another length is refused") {
    const masked_vector bias(std::vector<float>(5, 1.0F));
    std::vector<float> c(6);
    CHECK_THROWS_AS(add_masked_bias(bias).check("test", matrix_view<const float>(c.data(), 1, 6)),
                    error);
}
