// SPDX-License-Identifier: MIT
// Scoring a cache again against evaluating the model with that cache: same losses, for streams
// shorter and longer than the cache, with products kept or not, for any number of threads.
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <tare/nn/parameters.hpp>
#include <tare/search/cached_hidden_states.hpp>

#include "small_model.hpp"

using namespace tare;
using namespace tare::search;

namespace {

std::vector<token> stream(extent count) {
    const random_stream random(3, 0);
    std::vector<token> out;
    for (extent i = 0; i < count; ++i) {
        const std::uint32_t kind = random.below(static_cast<std::uint64_t>(2 * i), 3);
        out.push_back(static_cast<token>(
            random.below(static_cast<std::uint64_t>(2 * i + 1), kind == 0 ? 53 : 9)));
    }
    return out;
}

/// What the model itself says with a cache of these scalars, chunk by chunk.
double evaluated(std::span<const token> words, extent chunk, extent capacity,
                 const cache_scalars& at) {
    transformer_xl_config config = testing::small_model_config();
    config.cache = {capacity, false, at.theta, at.lambda, false};
    random_parameters<float> source(5);
    const transformer_xl<tensor> model(source, config);
    transformer_xl_state<tensor> state;
    neural_cache<tensor> cache(capacity);
    double sum = 0.0;
    const auto count = static_cast<extent>(words.size()) - 1;
    for (extent begin = 0; begin < count; begin += chunk) {
        const auto size = static_cast<std::size_t>(std::min(chunk, count - begin));
        const auto inputs = words.subspan(static_cast<std::size_t>(begin), size);
        const auto labels = words.subspan(static_cast<std::size_t>(begin) + 1, size);
        const tensor h = model.hidden(inputs, 1, state);
        const tensor logp = model.softmax().log_probability(h, labels, &cache);
        for (const float v : logp.values())
            sum -= static_cast<double>(v);
        cache.push(h, labels);
    }
    return sum / static_cast<double>(count);
}

transformer_xl<tensor> plain_model() {
    random_parameters<float> source(5);
    return transformer_xl<tensor>(source, testing::small_model_config());
}

/// The model scores theta h . h' in float: products of 20 terms below 100 with 2^-24 each round to
/// within 2e-4 before theta, which is at most 0.3 here; means over rows fall well below.
constexpr double loss_tolerance = 3e-5;

}  // namespace

TEST_CASE("a re-scored cache gives the losses of the model with that cache") {
    const transformer_xl<tensor> model = plain_model();
    for (const extent count : {2, 3, 40, 67, 131, 300})
        for (const extent capacity : {1, 13, 64, 127, 500}) {
            const std::vector<token> words = stream(count);
            cached_hidden_states states(model, words, capacity, {24});
            CHECK(states.targets() == count - 1);
            for (const cache_scalars& at :
                 {cache_scalars{0.1, 0.016}, {0.5, 0.3}, {0.1, 0.016}, {0.9, 0.001}}) {
                INFO("tokens ", count, " capacity ", capacity, " lambda ", at.lambda);
                CHECK(states.loss(at) ==
                      doctest::Approx(evaluated(words, 24, capacity, at)).epsilon(loss_tolerance));
            }
        }
}

TEST_CASE("kept and recomputed products, and 1 to 4 threads, give the same bits") {
    const std::vector<token> words = stream(700);
    const transformer_xl<tensor> model = plain_model();
    cached_hidden_states kept(model, words, 150, {24});
    cached_hidden_states fresh(model, words, 150, {24, 0});
    REQUIRE(kept.keeps_products());
    REQUIRE(!fresh.keeps_products());
    const std::vector<cache_scalars> trials{{0.1, 0.016}, {0.2, 0.016}, {0.2, 0.02}, {0.2, 0.03},
                                            {0.2, 0.04},  {0.1, 0.016}, {0.2, 0.05}, {0.2, 0.06}};
    std::vector<double> first;
    for (const cache_scalars& at : trials)
        first.push_back(kept.loss(at));
    for (const int count : {1, 2, 3, 4}) {
        set_threads(count);
        cached_hidden_states again(model, words, 150, {24});
        for (std::size_t i = 0; i < trials.size(); ++i) {
            CHECK(again.loss(trials[i]) == first[i]);
            CHECK(fresh.loss(trials[i]) == first[i]);
        }
    }
    set_threads(1);
}

TEST_CASE("perplexity is NaN where no cache can be, and above a loss of 5 in the published form") {
    const std::vector<token> words = stream(50);
    const transformer_xl<tensor> model = plain_model();
    cached_hidden_states states(model, words, 10);
    for (const cache_scalars& at : {cache_scalars{0.0, 0.1}, {1.0, 0.1}, {0.1, 0.0}, {0.1, -1.0}})
        CHECK(std::isnan(states.perplexity(at)));
    CHECK(states.perplexity({0.1, 0.1}) == std::exp(states.loss({0.1, 0.1})));
    // A word that was never likely: the loss exceeds 5.
    cached_hidden_states bad(tensor(shape{2, 4}, 0.5F), {1, 2}, {-20.0F, -20.0F}, 3);
    CHECK(std::isnan(bad.perplexity_nan_above_5({0.1, 0.1})));
    CHECK(bad.perplexity({0.1, 0.1}) > 1e6);
    CHECK(bad.matching() == 0);
}

TEST_CASE("large scores neither overflow nor lose the match") {
    // Scores 0, 400, 800 times theta 1: e^400 is not a float.
    tensor hidden(shape{4, 1});
    const float rows[] = {0.0F, 20.0F, 40.0F, 20.0F};
    std::copy(std::begin(rows), std::end(rows), hidden.mutable_values().begin());
    cached_hidden_states states(hidden, {7, 8, 9, 8}, {-1.0F, -1.0F, -1.0F, -1.0F}, 3);
    CHECK(states.matching() == 1);
    // log p_cache = 400 - 800; its share of the mixture is nothing, the model's is 0.9.
    const double expected = 1.0 - std::log(0.9);
    CHECK(states.loss({0.1, 1.0}) == doctest::Approx(expected).epsilon(1e-12));
    // lambda close to 1 and a theta that leaves e^-40 of the cache.
    const double cache = -40.0 - std::log1p(std::exp(-40.0) + std::exp(-80.0));
    const double mixed = std::log(0.1 * std::exp(-1.0) + 0.9 * std::exp(cache));
    CHECK(states.loss({0.9, 0.1}) ==
          doctest::Approx((3.0 * (1.0 - std::log(0.1)) - mixed) / 4.0).epsilon(1e-7));
}

TEST_CASE("sizes that do not fit are refused") {
    CHECK_THROWS_AS(cached_hidden_states(tensor(shape{2, 4}, 1.0F), {1}, {-1.0F}, 3), error);
    CHECK_THROWS_AS(cached_hidden_states(tensor(shape{2, 4}, 1.0F), {1, 2}, {-1.0F}, 3), error);
    CHECK_THROWS_AS(cached_hidden_states(tensor(shape{1, 4}, 1.0F), {1}, {-1.0F}, 0), error);
    CHECK_THROWS_AS(cached_hidden_states(plain_model(), stream(1), 3), error);
}

TEST_CASE("states handed over give the search of those that were computed") {
    const std::vector<token> words = stream(150);
    random_parameters<float> source(5);
    const transformer_xl<tensor> model(source, testing::small_model_config());
    extent chunks = 0;
    cached_hidden_states computed(model, words, 20,
                                  {.chunk = 64, .progress = [&](extent, extent) { ++chunks; }});
    CHECK(chunks == 3);
    const auto seen = computed.words();
    const auto logp = computed.log_probability();
    cached_hidden_states handed(computed.hidden(), {seen.begin(), seen.end()},
                                {logp.begin(), logp.end()}, 20);
    const cache_search_result a = computed.search({});
    const cache_search_result b = handed.search({});
    CHECK(a.best == b.best);
    CHECK(a.perplexity == b.perplexity);
    CHECK(a.trace.size() == b.trace.size());
}
