// SPDX-License-Identifier: MIT
// Masks and schedules of gradual pruning against the reference.
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <tare/prune/gradual.hpp>

#include "hanlab_model.hpp"

using namespace tare;

namespace {

/// The fixtures store float32 of a number between 0 and 1; so do the pairs they were made from.
constexpr double tolerance = 1.2e-7;

void compare_targets(const std::string& name, extent starting, extent ending, extent frequency) {
    const io::npz_archive golden = testing::golden("hanlab/agp.npz");
    const auto pairs = testing::values<float>(golden, "pairs");
    const auto want = testing::values<float>(golden, name);
    const std::size_t epochs = want.size() / (pairs.size() / 2);
    for (std::size_t p = 0; p < pairs.size() / 2; ++p) {
        const prune::gradual_schedule s{static_cast<double>(pairs[2 * p]),
                                        static_cast<double>(pairs[2 * p + 1]), starting, ending,
                                        frequency};
        std::size_t seen = 0;
        for (extent e = 0; e < ending + 5; ++e) {
            if (!s.active(e)) continue;
            REQUIRE(seen < epochs);
            CHECK(std::abs(s.target(e) - static_cast<double>(want[p * epochs + seen])) <=
                  tolerance);
            ++seen;
        }
        CHECK(seen == epochs);
    }
}

}  // namespace

TEST_CASE("targets equal the reference in every active epoch") {
    compare_targets("target_0_175_1", 0, 175, 1);
    compare_targets("target_3_40_4", 3, 40, 4);
}

TEST_CASE("masks equal the reference, ties included") {
    const io::npz_archive golden = testing::golden("hanlab/agp.npz");
    for (const char* which : {"mask.w", "mask.ties"})
        for (const char* sparsity : {"0.1", "0.25", "0.5", "0.777", "0.95"}) {
            const std::string name = message(which, '.', sparsity);
            INFO(name);
            const auto want = testing::values<std::int64_t>(golden, name);
            const prune::mask got =
                prune::magnitude_mask(testing::values<float>(golden, which), std::stod(sparsity));
            CHECK(std::equal(want.begin(), want.end(), got.begin(), got.end(),
                             [](std::int64_t a, std::uint8_t b) { return a == b; }));
        }
}

TEST_CASE("masks at the ends: nothing, everything, no values, no order") {
    const std::vector<float> w{1.0F, -2.0F, 0.5F};
    CHECK(prune::kept(prune::magnitude_mask(w, 0.0)) == 3);
    CHECK(prune::kept(prune::magnitude_mask(w, 0.33)) == 3);
    CHECK(prune::magnitude_mask(w, 0.34) == prune::mask{1, 1, 0});
    CHECK(prune::kept(prune::magnitude_mask(w, 1.0)) == 0);
    CHECK(prune::magnitude_mask({}, 0.5).empty());
    CHECK_THROWS_AS(static_cast<void>(prune::magnitude_mask(w, 1.1)), error);
    const std::vector<float> bad{1.0F, std::numeric_limits<float>::quiet_NaN()};
    CHECK_THROWS_AS(static_cast<void>(prune::magnitude_mask(bad, 0.5)), error);
}

TEST_CASE("a pruner renews masks at the first step of an epoch and holds them afterwards") {
    std::vector<float> w{0.1F, 0.2F, 0.3F, 0.4F};
    const auto find = [&](std::string_view) { return std::span<float>(w); };
    prune::gradual_pruner pruner({{"w", {0.25, 0.5, 0, 2, 1}}}, 2);
    pruner.before_step(0, find);
    CHECK(w == std::vector<float>{0.0F, 0.2F, 0.3F, 0.4F});
    w = {5.0F, 5.0F, 0.01F, 5.0F};
    pruner.before_step(1, find);  // the same mask
    CHECK(w == std::vector<float>{0.0F, 5.0F, 0.01F, 5.0F});
    pruner.before_step(2, find);
    CHECK(w == std::vector<float>{0.0F, 5.0F, 0.0F, 5.0F});
    w.assign(4, 1.0F);
    pruner.before_step(4, find);  // past the last epoch
    pruner.apply(find);
    CHECK(w == std::vector<float>{0.0F, 1.0F, 0.0F, 1.0F});
}

TEST_CASE("impossible plans are refused") {
    using prune::gradual_pruner;
    CHECK_THROWS_AS(gradual_pruner({{"a", {0.1, 1.5, 0, 2, 1}}}, 1), error);
    CHECK_THROWS_AS(gradual_pruner({{"a", {0.1, 0.5, 3, 3, 1}}}, 1), error);
    CHECK_THROWS_AS(gradual_pruner({{"a", {0.1, 0.5, 0, 3, 1}}}, 0), error);
    CHECK_THROWS_AS(gradual_pruner({{"a", {0, 0.5, 0, 3, 1}}, {"a", {0, 0.5, 0, 3, 1}}}, 1), error);
}
