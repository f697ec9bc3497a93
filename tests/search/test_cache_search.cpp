// SPDX-License-Identifier: MIT
// The local search of a cache's scalars: its path on simple functions, against the trace of the
// reference implementation, and what NaN does.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <tare/io/npz_parameters.hpp>
#include <tare/search/cached_hidden_states.hpp>

#include "hanlab_model.hpp"

using namespace tare;
using namespace tare::search;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// Smallest at lambda 0.15, theta 0.02.
double bowl(const cache_scalars& at) {
    return 30.0 + std::pow(std::log(at.lambda / 0.15), 2) + std::pow(std::log(at.theta / 0.02), 2);
}

/// Perplexities agree to this relative distance: the reference sums float losses in float, and its
/// own two ways of evaluating (chunked, token by token) differ by 5e-7 in the loss.
constexpr double perplexity_tolerance = 2e-6;
/// Trace values are stored as float32: half an ulp, and the steps' own rounding is far below.
constexpr double scalar_tolerance = 1e-6;

void check_trace(const std::string& name) {
    const nlohmann::json m = testing::hanlab_manifest();
    const auto& about = m["files"]["cache_search.npz"]["meaning"];
    const io::npz_archive golden = testing::golden("hanlab/cache_search.npz");
    const io::npz_archive weights = testing::golden("hanlab/weights.npz");
    io::npz_parameters<float> source(weights, "param.");
    const transformer_xl<tensor> model(source, testing::hanlab_config());
    const io::npz_archive streams = testing::golden("hanlab/tokens.npz");
    const std::vector<token> words = testing::tokens_of(streams, "valid");

    cached_hidden_states states(model, words, about["config"]["n_cache"].get<extent>(),
                                {about["config"]["eval_chunk"].get<extent>()});
    const auto start = about["start"][name];
    const cache_search_result found =
        states.search<nan_hides_the_other>({start[0], start[1]}, {}, [](const cache_trial&) {});

    const std::vector<float> trace = testing::values<float>(golden, name + ".trace");
    const std::vector<float> gaps = testing::values<float>(golden, name + ".decision_gap");
    const std::vector<float> result = testing::values<float>(golden, name + ".result");
    // Decisions with a margin below the noise of perplexity may fall either way; the trace is
    // compared up to the first such pair, and that pair itself.
    std::size_t firm = 0;
    while (firm < gaps.size() && static_cast<double>(gaps[firm]) > perplexity_tolerance)
        ++firm;
    REQUIRE(firm == about["decisions_with_a_margin_above_2e-6_before_the_first_weaker_one"][name]
                        .get<std::size_t>());
    const std::size_t comparable = std::min(trace.size() / 3, 1 + 2 * (firm + 1));
    REQUIRE(found.trace.size() >= comparable);
    for (std::size_t i = 0; i < comparable; ++i) {
        INFO(name, " evaluation ", i);
        const auto close = [](double got, float want, double bound) {
            return std::abs(got - static_cast<double>(want)) <= bound * static_cast<double>(want);
        };
        REQUIRE(close(found.trace[i].at.lambda, trace[3 * i], scalar_tolerance));
        REQUIRE(close(found.trace[i].at.theta, trace[3 * i + 1], scalar_tolerance));
        REQUIRE(close(found.trace[i].perplexity, trace[3 * i + 2], perplexity_tolerance));
    }
    // Past the firm part the path may differ; the last steps are below 0.5 % of each scalar, and
    // the undecided ones before them at most a few times that.
    constexpr double end_tolerance = 0.02;
    CHECK(found.best.lambda == doctest::Approx(double(result[0])).epsilon(end_tolerance));
    CHECK(found.best.theta == doctest::Approx(double(result[1])).epsilon(end_tolerance));
    CHECK(found.perplexity ==
          doctest::Approx(double(trace[trace.size() - 1])).epsilon(10 * perplexity_tolerance));
}

}  // namespace

TEST_CASE("the trace from trained scalars equals the reference") {
    check_trace("trained");
}
TEST_CASE("the trace from the usual start equals the reference") {
    check_trace("untrained");
}

TEST_CASE("the search ends at the minimum and records every evaluation") {
    std::size_t calls = 0;
    std::size_t watched = 0;
    const cache_search_result found = search_cache(
        [&](const cache_scalars& at) {
            ++calls;
            return bowl(at);
        },
        {}, {}, [&](const cache_trial& t) { watched += t.perplexity == bowl(t.at) ? 1 : 0; });
    CHECK(calls == found.trace.size());
    CHECK(watched == calls);
    CHECK(calls % 4 == 1);
    // A step below 0.5 % of the scalar ended it.
    CHECK(found.best.lambda == doctest::Approx(0.15).epsilon(0.01));
    CHECK(found.best.theta == doctest::Approx(0.02).epsilon(0.01));
    CHECK(found.perplexity == bowl(found.best));
}

TEST_CASE("pairs go up and down, lambda first, and steps grow by 1.2 and halve") {
    const cache_search_result found = search_cache(bowl, {0.1, 0.016});
    const auto& t = found.trace;
    CHECK(t[0].at == cache_scalars{0.1, 0.016});
    CHECK(t[1].at.lambda == doctest::Approx(0.105));
    CHECK(t[2].at.lambda == doctest::Approx(0.095));
    CHECK(t[3].at == cache_scalars{t[1].at.lambda, t[3].at.theta});
    CHECK(t[3].at.theta == doctest::Approx(0.0168));
    CHECK(t[4].at.theta == doctest::Approx(0.0152));
    CHECK(t[5].at.lambda == doctest::Approx(0.105 + 1.2 * 0.005));
    // A function that only rises away from the start: every step halves, 0.05 / 16 is below 0.005.
    const cache_search_result still =
        search_cache([](const cache_scalars& at) { return at == cache_scalars{} ? 1.0 : 2.0; }, {});
    CHECK(still.trace.size() == 1 + 4 * 4);
    CHECK(still.best == cache_scalars{});
}

TEST_CASE("equal perplexities take the smaller scalar, and no progress is no step") {
    // Flat except for the start: both trials of the first pair are equally better.
    const cache_search_result found = search_cache(
        [](const cache_scalars& at) {
            return at == cache_scalars{0.1, 0.016} ? 2.0 : 1.0;
        },
        {0.1, 0.016});
    CHECK(found.best.lambda == doctest::Approx(0.095));
    CHECK(found.best.theta == 0.016);
    CHECK(found.perplexity == 1.0);
}

TEST_CASE("NaN is the worst value by default and hides the other trial in the published rule") {
    // Better downwards, NaN upwards.
    const auto f = [](const cache_scalars& at) {
        return at.lambda > 0.1 ? not_a_number : at.lambda;
    };
    CHECK(search_cache(f, {0.1, 0.016}, {0.05, 1.0, 0.5, 0.005, 10'000}, [](const cache_trial&) {
          }).best.lambda < 0.1);
    CHECK(search_cache<nan_hides_the_other>(f, {0.1, 0.016}).best.lambda == 0.1);
    // A start at NaN is left by default.
    const auto hole = [](const cache_scalars& at) {
        return at == cache_scalars{0.1, 0.016} ? not_a_number : bowl(at);
    };
    CHECK(search_cache(hole, {0.1, 0.016}).best.lambda == doctest::Approx(0.15).epsilon(0.01));
    CHECK(search_cache<nan_hides_the_other>(hole, {0.1, 0.016}).trace.size() == 17);
}

TEST_CASE("an endless descent and impossible starts are refused") {
    const auto falls = [](const cache_scalars& at) { return -at.theta; };
    CHECK_THROWS_WITH_AS(static_cast<void>(search_cache(falls, {}, {0.05, 1.2, 0.5, 0.005, 100})),
                         doctest::Contains("100 evaluations"), error);
    CHECK_THROWS_AS(static_cast<void>(search_cache(bowl, {1.0, 0.016})), error);
    CHECK_THROWS_AS(static_cast<void>(search_cache(bowl, {0.1, 0.0})), error);
    CHECK_THROWS_AS(static_cast<void>(search_cache(bowl, {not_a_number, 0.016})), error);
    CHECK_THROWS_AS(static_cast<void>(search_cache(bowl, {}, {0.05, 1.2, 1.0})), error);
}
