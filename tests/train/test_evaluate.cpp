// SPDX-License-Identifier: MIT
// Evaluation against the reference: chunks with one stream and two, and token by token.
#include <cmath>

#include <doctest/doctest.h>

#include <tare/train/evaluate.hpp>

#include "hanlab_model.hpp"

using namespace tare;

namespace {

/// A mean of 249 float32 losses near 4; the reference's own two ways differ by up to 4.6e-7.
constexpr double mean_tolerance = 1e-6;
/// One loss of the token-by-token evaluation: rounding of a float32 forward pass (the manifest of
/// the model's cases shows up to 2e-6 for losses up to 6), on either side.
constexpr double token_tolerance = 8e-6;

transformer_xl<tensor> model_of(bool cached) {
    testing::hanlab_parameters values;
    return transformer_xl<tensor>(values, cached
                                              ? testing::hanlab_cached_config("evaluate.npz", false)
                                              : testing::hanlab_config());
}

}  // namespace

TEST_CASE("chunked evaluation equals the reference with one stream and two") {
    const io::npz_archive golden = testing::golden("hanlab/evaluate.npz");
    const std::vector<token> tokens =
        testing::tokens_of(testing::golden("hanlab/tokens.npz"), "valid");
    for (const bool cached : {false, true})
        for (const extent batch : {1, 2}) {
            const std::string head = message(cached ? "cache" : "nocache", ".batch", batch, '.');
            INFO(head);
            const auto lengths = testing::values<std::int64_t>(golden, head + "lengths");
            const extent chunk = lengths.at(0);
            const train::evaluation e =
                train::evaluate(model_of(cached), tokens, {.chunk = chunk, .batch = batch});
            const double want =
                static_cast<double>(testing::values<float>(golden, head + "loss")[0]);
            CHECK(std::abs(e.meter.loss() - want) <= mean_tolerance);
            const double perplexity =
                static_cast<double>(testing::values<float>(golden, head + "perplexity")[0]);
            // The reference's perplexity is NaN where the loss is above 5.
            const double own = e.meter.perplexity_nan_above_5();
            CHECK(std::isnan(own) == std::isnan(perplexity));
            if (!std::isnan(perplexity))
                CHECK(std::abs(own - perplexity) <= 2 * mean_tolerance * perplexity);
            const text::evaluation_batches cut(tokens, batch, chunk);
            REQUIRE(cut.chunks() == static_cast<extent>(lengths.size()));
            for (std::size_t i = 0; i < lengths.size(); ++i)
                CHECK(cut.length(static_cast<extent>(i)) == lengths[i]);
            const auto starts = testing::values<std::int64_t>(golden, head + "starts");
            for (std::size_t b = 0; b < starts.size(); ++b)
                CHECK(cut.start(static_cast<extent>(b)) == starts[b]);
        }
}

TEST_CASE("chunks of any length give the losses of strict token-by-token evaluation") {
    const io::npz_archive golden = testing::golden("hanlab/evaluate.npz");
    const std::vector<token> tokens =
        testing::tokens_of(testing::golden("hanlab/tokens.npz"), "valid");
    for (const bool cached : {false, true})
        for (const extent chunk : {1, 7, 24, 1000}) {
            INFO("cache ", cached, " chunk ", chunk);
            const train::evaluation e =
                train::evaluate(model_of(cached), tokens, {.chunk = chunk, .keep_losses = true});
            CHECK(testing::distance(
                      e.losses, testing::values<float>(golden, cached ? "cache.online_nll"
                                                                      : "nocache.online_nll")) <=
                  token_tolerance);
        }
}

TEST_CASE("a corpus that predicts nothing is refused") {
    for (const std::vector<token>& few : {std::vector<token>{}, std::vector<token>{3}})
        CHECK_THROWS_AS(static_cast<void>(train::evaluate(model_of(false), few, {})), error);
}
