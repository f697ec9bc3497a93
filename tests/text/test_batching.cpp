// SPDX-License-Identifier: MIT
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/text/batching.hpp>

#include "golden.hpp"

using tare::extent;
using tare::random_stream;
using tare::text::chunk_sampler;
using tare::text::evaluation_batches;

namespace {

std::vector<std::int32_t> counting(std::size_t n) {
    std::vector<std::int32_t> out(n);
    std::iota(out.begin(), out.end(), 0);
    return out;
}

}  // namespace

TEST_CASE("samples are chunks of the stream, labels one place further on") {
    const auto tokens = counting(50);
    const chunk_sampler sampler(tokens, 7, 3, random_stream(1, 2));
    std::vector<std::int32_t> inputs(21);
    std::vector<std::int32_t> labels(21);
    for (const extent step : {0, 1, 1000}) {
        sampler.sample(step, inputs, labels);
        for (extent row = 0; row < 3; ++row)
            for (extent t = 0; t < 7; ++t) {
                const auto at = static_cast<std::size_t>(row * 7 + t);
                CHECK(inputs[at] == sampler.offset(step, row) + t);
                CHECK(labels[at] == inputs[at] + 1);
            }
    }
}

TEST_CASE("offsets are uniform over all that leave room for chunk and label") {
    const auto tokens = counting(20);
    const chunk_sampler sampler(tokens, 12, 2, random_stream(7, 0));
    std::vector<int> hits(8);
    constexpr int draws = 16'000;
    for (extent step = 0; step < draws / 2; ++step)
        for (extent row = 0; row < 2; ++row)
            ++hits.at(static_cast<std::size_t>(sampler.offset(step, row)));
    // Binomial with mean 2000 and deviation sqrt(16000 * 1/8 * 7/8) = 41.8: six deviations.
    constexpr int tolerance = 251;
    for (const int h : hits)
        CHECK(std::abs(h - draws / 8) < tolerance);
}

TEST_CASE("draws depend on seed, stream, step and row alone") {
    const auto tokens = counting(100'000);
    const chunk_sampler a(tokens, 10, 4, random_stream(1, 0));
    const chunk_sampler again(tokens, 10, 4, random_stream(1, 0));
    const chunk_sampler other(tokens, 10, 4, random_stream(2, 0));
    int equal = 0;
    for (extent step = 0; step < 100; ++step)
        for (extent row = 0; row < 4; ++row) {
            CHECK(a.offset(step, row) == again.offset(step, row));
            equal += a.offset(step, row) == other.offset(step, row) ? 1 : 0;
        }
    CHECK(equal < 4);
    CHECK(a.offset(0, 0) != a.offset(0, 1));
}

TEST_CASE("a corpus that is too short is refused, one token more is enough") {
    const auto tokens = counting(8);
    CHECK_THROWS_AS(chunk_sampler(tokens, 8, 1, random_stream(0, 0)), tare::error);
    CHECK_THROWS_AS(chunk_sampler(tokens, 0, 1, random_stream(0, 0)), tare::error);
    CHECK_THROWS_AS(chunk_sampler(tokens, 1, 0, random_stream(0, 0)), tare::error);
    CHECK_THROWS_AS(chunk_sampler({}, 1, 1, random_stream(0, 0)), tare::error);
    const chunk_sampler one(tokens, 7, 1, random_stream(0, 0));
    CHECK(one.offset(5, 0) == 0);
    std::vector<std::int32_t> six(6);
    CHECK_THROWS_AS(one.sample(0, six, six), tare::error);
}

TEST_CASE("evaluation cuts the stream as the reference does") {
    const auto golden = tare::testing::golden("hanlab/evaluate.npz");
    const auto ids =
        tare::testing::values<std::int64_t>(tare::testing::golden("hanlab/tokens.npz"), "valid");
    const std::vector<std::int32_t> tokens(ids.begin(), ids.end());
    for (const extent batch : {1, 2}) {
        const std::string prefix = "nocache.batch" + std::to_string(batch) + '.';
        const auto lengths = tare::testing::values<std::int64_t>(golden, prefix + "lengths");
        const evaluation_batches plan(tokens, batch, lengths.at(0));
        const auto starts = tare::testing::values<std::int64_t>(golden, prefix + "starts");
        REQUIRE(plan.chunks() == static_cast<extent>(lengths.size()));
        for (extent i = 0; i < plan.chunks(); ++i)
            CHECK(plan.length(i) == lengths[static_cast<std::size_t>(i)]);
        REQUIRE(static_cast<extent>(starts.size()) == batch);
        for (extent row = 0; row < batch; ++row)
            CHECK(plan.start(row) == starts[static_cast<std::size_t>(row)]);
    }
}

TEST_CASE("every row covers its span once, for all sizes") {
    for (const extent count : {2, 3, 10, 23, 24, 25, 48, 49, 97})
        for (const extent batch : {1, 2, 3})
            for (const extent chunk : {1, 2, 8, 24, 100}) {
                const auto tokens = counting(static_cast<std::size_t>(count));
                const extent n = count;
                const extent span = batch == 1 ? n : n / batch / chunk * chunk;
                const extent per_row = span * batch == n ? span - 1 : span;
                CAPTURE(count);
                CAPTURE(batch);
                CAPTURE(chunk);
                if (span == 0 || per_row == 0) {
                    CHECK_THROWS_AS(evaluation_batches(tokens, batch, chunk), tare::error);
                    continue;
                }
                const evaluation_batches plan(tokens, batch, chunk);
                CHECK(plan.targets() == per_row * batch);
                std::vector<extent> next(static_cast<std::size_t>(batch));
                for (extent i = 0; i < plan.chunks(); ++i) {
                    std::vector<std::int32_t> inputs(
                        static_cast<std::size_t>(batch * plan.length(i)));
                    auto labels = inputs;
                    plan.fill(i, inputs, labels);
                    for (std::size_t k = 0; k < inputs.size(); ++k) {
                        const auto row = static_cast<extent>(k) / plan.length(i);
                        auto& position = next[static_cast<std::size_t>(row)];
                        REQUIRE(inputs[k] == plan.start(row) + position);
                        REQUIRE(labels[k] == inputs[k] + 1);
                        ++position;
                    }
                }
                for (const extent position : next)
                    CHECK(position == per_row);
            }
    const auto one = counting(1);
    CHECK_THROWS_AS(evaluation_batches(one, 1, 4), tare::error);
    CHECK_THROWS_AS(evaluation_batches({}, 1, 4), tare::error);
}
