// SPDX-License-Identifier: MIT
// Rounding to steps against its formula, and a layer's epilogue against its parts one by one.
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/kernels/layer_epilogue.hpp>
#include <tare/kernels/matmul.hpp>
#include <tare/ops/fake_quantize.hpp>

using namespace tare;
using namespace tare::kernels;

namespace {

std::vector<float> values_of(std::size_t count, std::uint64_t seed) {
    const random_stream random(seed, 0);
    std::vector<float> out(count);
    for (std::size_t i = 0; i < count; ++i)
        out[i] = 4.0F * random.uniform(i) - 2.0F;
    return out;
}

}  // namespace

TEST_CASE("rounding to steps is the formula, bit for bit") {
    for (const std::size_t size : {0UL, 1UL, 7UL, 15UL, 16UL, 17UL, 1000UL})
        for (const float step : {0.0078125F, 0.0031F, 1.7F}) {
            std::vector<float> x = values_of(size, 3);
            // Halves between two codes, both ends, and what is far outside.
            const float edges[] = {2.5F * step, 3.5F * step, -1.5F, 1.5F, 1e30F, -1e30F, 1e-30F};
            for (std::size_t i = 0; i < std::min(size, std::size(edges)); ++i)
                x[i] = edges[i];
            const op::fake_quantize want{9, 1.5F, step};
            std::vector<float> y(size);
            round_to_steps(1.5F, step)(x, y);
            for (std::size_t i = 0; i < size; ++i)
                REQUIRE(y[i] == want.one(x[i]));
            round_to_steps(1.5F, step)(x, x);
            CHECK(x == y);
        }
}

TEST_CASE("any number of threads rounds alike") {
    const std::vector<float> x = values_of(200'003, 9);
    std::vector<float> want(x.size());
    const round_to_steps round(1.0F, 0.03F);
    round(x, want);
    for (const int threads : {2, 3, 4}) {
        tare::set_threads(threads);
        std::vector<float> y(x.size());
        round(x, y);
        tare::set_threads(1);
        CHECK(y == want);
    }
}

TEST_CASE("rounding to steps keeps NaN and refuses half overlapping memory") {
    std::vector<float> x(20, std::numeric_limits<float>::quiet_NaN());
    round_to_steps(1.0F, 0.1F)(std::span<const float>(x), x);
    for (const float v : x)
        CHECK(std::isnan(v));
    const std::span<float> all(x);
    CHECK_THROWS_AS(round_to_steps(1.0F, 0.1F)(all.first(10), all.subspan(5, 10)), error);
    CHECK_THROWS_AS(round_to_steps(1.0F, 0.1F)(all.first(9), all.subspan(10, 10)), error);
}

TEST_CASE("a layer's epilogue is its parts, one after another") {
    constexpr extent m = 3, k = 5, n = 37;
    const std::vector<float> a = values_of(m * k, 1);
    const std::vector<float> w = values_of(n * k, 2);
    const std::vector<float> bias = values_of(n, 4);
    const std::vector<float> residual = values_of(m * n, 5);
    const round_to_steps round(1.0F, 0.03F);
    for (int parts = 0; parts < 16; ++parts) {
        INFO("parts ", parts);
        layer_epilogue finish;
        std::vector<float> want(m * n);
        matmul(matrix_view<const float>(a.data(), m, k), matrix_view<const float>(w.data(), n, k),
               matrix_view<float>(want.data(), m, n), {.transpose_b = true});
        if ((parts & 1) != 0) finish.bias = bias;
        if ((parts & 2) != 0) finish.relu = true;
        if ((parts & 4) != 0) finish.rounding = round;
        if ((parts & 8) != 0) finish.residual = matrix_view<const float>(residual.data(), m, n);
        for (std::size_t i = 0; i < want.size(); ++i) {
            if ((parts & 1) != 0) want[i] += bias[i % n];
            if ((parts & 2) != 0) want[i] = std::max(want[i], 0.0F);
        }
        if ((parts & 4) != 0) round(std::span<const float>(want), want);
        if ((parts & 8) != 0)
            for (std::size_t i = 0; i < want.size(); ++i)
                want[i] += residual[i];
        std::vector<float> got(m * n);
        matmul(matrix_view<const float>(a.data(), m, k), matrix_view<const float>(w.data(), n, k),
               matrix_view<float>(got.data(), m, n), {.transpose_b = true}, finish);
        CHECK(got == want);
    }
    layer_epilogue wrong;
    wrong.bias = std::span<const float>(bias).first(n - 1);
    CHECK_THROWS_AS(wrong.check("test", matrix_view<const float>(residual.data(), m, n)), error);
}
