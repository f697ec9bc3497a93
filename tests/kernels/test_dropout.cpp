// SPDX-License-Identifier: MIT
#include <bit>
#include <cmath>
#include <cstdint>

#include <tare/kernels/dropout.hpp>

#include "kernel_test.hpp"

using namespace tare;
using namespace tare::testing;

TEST_CASE("dropout is its plain form bit by bit") {
    for (const extent n : awkward_sizes) {
        const auto x = uniform_values(n, 111);
        for (const float probability : {0.0F, 0.1F, 0.5F, 0.999F}) {
            const random_stream stream(0x123456789ABCDEFULL, 0xFEDCBA9876543210ULL);
            std::vector<float> y(x.size());
            std::vector<float> want(x.size());
            kernels::dropout(x, probability, stream, y);
            kernels::plain::dropout(x, probability, stream, std::span<float>(want));
            CHECK(same_bits(y, want));
            if (probability == 0.0F) CHECK(same_bits(y, x));
        }
    }
}

TEST_CASE("what is dropped becomes 0 whatever it was, what is kept stays special") {
    const std::vector<float> specials = {NAN,   INFINITY,  -INFINITY,  0.0F,
                                         -0.0F, 0x1p-149F, -0x1p-126F, 0x1.fffffep127F};
    std::vector<float> x(67 * specials.size());
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = specials[i % specials.size()];
    const random_stream stream(3, 4);
    std::vector<float> y(x.size());
    kernels::dropout(x, 0.5F, stream, y);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const bool kept = stream.uniform(kernels::dropout_draw(i)) >= 0.5F;
        const float want = kept ? x[i] * 2.0F : 0.0F;
        CHECK((std::isnan(want)
                   ? std::isnan(y[i])
                   : std::bit_cast<std::uint32_t>(y[i]) == std::bit_cast<std::uint32_t>(want)));
    }
}

TEST_CASE("draws are a permutation of the stream") {
    std::vector<bool> seen(640);
    for (std::uint64_t i = 0; i < 640; ++i) {
        const auto draw = static_cast<std::size_t>(kernels::dropout_draw(i));
        REQUIRE(draw < 640);
        CHECK(!seen[draw]);
        seen[draw] = true;
    }
}

TEST_CASE("the share of kept elements is the probability within five deviations") {
    const std::vector<float> x(100'000, 1.0F);
    std::vector<float> y(x.size());
    kernels::dropout(x, 0.3F, random_stream(7, 1), y);
    const auto dropped = static_cast<double>(std::count(y.begin(), y.end(), 0.0F));
    CHECK(std::abs(dropped - 30'000) <= 5 * std::sqrt(100'000 * 0.3 * 0.7));
    std::vector<float> other(x.size());
    kernels::dropout(x, 0.3F, random_stream(7, 2), other);
    CHECK(y != other);
}

TEST_CASE("any number of threads drops the same elements, in place too") {
    const auto x = uniform_values(200'003, 112);
    CHECK(same_for_any_threads([&] {
        std::vector<float> y = x;
        kernels::dropout(y, 0.2F, random_stream(1, 2), y);
        return y;
    }));
}

TEST_CASE("a probability outside [0, 1) is an error") {
    std::vector<float> x(4);
    CHECK_THROWS_AS(kernels::dropout(x, 1.0F, random_stream(1, 1), x), error);
    CHECK_THROWS_AS(kernels::dropout(x, -0.1F, random_stream(1, 1), x), error);
    CHECK_THROWS_AS(kernels::dropout(x, NAN, random_stream(1, 1), x), error);
    CHECK_THROWS_AS(kernels::dropout(x, 0.5F, random_stream(1, 1), std::span(x).first(3)), error);
}
