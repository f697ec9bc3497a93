// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/text/perplexity.hpp>

#include "golden.hpp"

using tare::text::evaluation_signature;
using tare::text::perplexity_meter;

TEST_CASE("chunk means weighted by length give the reference's loss and perplexity") {
    const auto golden = tare::testing::golden("hanlab/evaluate.npz");
    const auto scalar = [&](const std::string& name) {
        return static_cast<double>(tare::testing::values<float>(golden, name).at(0));
    };
    for (const std::string set : {"nocache", "cache"}) {
        const auto nll = tare::testing::values<float>(golden, set + ".online_nll");
        const auto lengths = tare::testing::values<std::int64_t>(golden, set + ".batch1.lengths");
        perplexity_meter meter;
        std::size_t at = 0;
        for (const std::int64_t length : lengths) {
            double sum = 0;
            for (std::int64_t i = 0; i < length; ++i)
                sum += static_cast<double>(nll.at(at++));
            meter.add(sum / static_cast<double>(length), length);
        }
        REQUIRE(at == nll.size());
        CHECK(meter.targets() == static_cast<tare::extent>(nll.size()));
        // The manifest gives 4.6e-7 between online and chunked loss (float32 chunks); 1e-6 leaves
        // room for the float32 rounding of the stored loss (2.4e-7).
        constexpr double loss_tolerance = 1e-6;
        CHECK(std::abs(meter.loss() - scalar(set + ".batch1.loss")) < loss_tolerance);
        // d(e^l) = e^l dl; the reference writes NaN above e^5.
        const double perplexity = scalar(set + ".batch1.perplexity");
        CHECK(std::isnan(meter.perplexity_nan_above_5()) == std::isnan(perplexity));
        if (!std::isnan(perplexity))
            CHECK(std::abs(meter.perplexity() - perplexity) < 1.2 * perplexity * loss_tolerance);
    }
}

TEST_CASE("the weights are the lengths, and NaN stays") {
    perplexity_meter meter;
    CHECK_THROWS_AS((void)meter.loss(), tare::error);
    CHECK_THROWS_AS(meter.add(1, 0), tare::error);
    meter.add(1, 3);
    meter.add(5, 1);
    CHECK(meter.loss() == 2.0);
    CHECK(meter.perplexity() == std::exp(2.0));
    CHECK(meter.perplexity_nan_above_5() == std::exp(2.0));
    perplexity_meter high;
    high.add(5, 1);
    CHECK_FALSE(std::isnan(high.perplexity_nan_above_5()));
    high.add(5.5, 1);
    CHECK(std::isnan(high.perplexity_nan_above_5()));
    CHECK(high.perplexity() == std::exp(5.25));
    high.add(std::numeric_limits<double>::quiet_NaN(), 1);
    CHECK(std::isnan(high.perplexity()));
}

TEST_CASE("the signature says what the figure depends on") {
    evaluation_signature s;
    s.targets = 245'568;
    s.context = 97;
    s.cache = 2000;
    s.n_vocab = 267'735;
    s.chunk = 4032;
    CHECK(s.to_string() ==
          "unit:word+eos|targets:245568|context:97|cache:2000|vocab:267735|chunk:4032|rows:1");
    s.cache = 0;
    CHECK(s.to_string().find("cache:none") != std::string::npos);
}
