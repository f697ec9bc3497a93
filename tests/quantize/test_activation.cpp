// SPDX-License-Identifier: MIT
#include <vector>

#include <doctest/doctest.h>

#include <tare/quantize/activation.hpp>

#include "conformance.hpp"
#include "golden.hpp"

TEST_CASE("the explicit form equals the reference's, 2 to 9 bits") {
    const auto golden = tare::testing::golden("hanlab/linear_quant.npz");
    for (const char* input : {"x1", "x2"})
        for (int bits = 2; bits <= 9; ++bits) {
            const std::string prefix = tare::message("bits", bits, ".explicit.", input, ".");
            CAPTURE(prefix);
            const auto x = tare::testing::values<float>(golden, input);
            const float max_abs = tare::testing::values<float>(golden, prefix + "max_abs")[0];
            const tare::activation_linear q(bits);
            const auto point = q.from_range({-max_abs, 0.5F * max_abs});
            CHECK(point.max_abs == max_abs);
            CHECK(point.inv_scale == tare::testing::values<float>(golden, prefix + "inv_scale")[0]);
            std::vector<float> y(x.size());
            q.fake_quantize(x, q.params(point), y);
            CHECK(tare::testing::differences(
                      y, tare::testing::values<float>(golden, prefix + "y")) == 0);
        }
}

TEST_CASE("the activation quantizer conforms") {
    for (int bits = 2; bits <= 11; ++bits)
        tare::testing::conforms(tare::activation_linear(bits));
    CHECK_THROWS_AS(tare::activation_linear(12), tare::error);
}

TEST_CASE("a range of zero clamps everything to zero, and stops the gradient") {
    const tare::activation_linear q(8);
    const auto p = q.params(q.from_range({}));
    const std::vector<float> x{-2.0F, 0.0F, 1e-30F};
    const std::vector<float> dy{1.0F, 2.0F, 3.0F};
    std::vector<float> y(3), dx(3);
    q.fake_quantize(x, p, y);
    q.backward(x, p, dy, dx);
    CHECK(y == std::vector<float>(3, 0.0F));
    CHECK(dx == std::vector<float>{0.0F, 2.0F, 0.0F});
}

TEST_CASE("the vector loop equals the plain reference") {
    const tare::activation_linear q(9);
    const auto point = q.from_range({-1.25F, 1.0F});
    const tare::random_stream random(8, 0);
    std::vector<float> x(1003);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = random.normal(i);
    std::vector<float> y(x.size());
    q.fake_quantize(x, q.params(point), y);
    for (std::size_t i = 0; i < x.size(); ++i)
        REQUIRE(y[i] == q.quantize(x[i], point) * point.inv_scale);
}
