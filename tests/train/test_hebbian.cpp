// SPDX-License-Identifier: MIT
// The Hebbian update against the reference: what its formula says, and what its code does (nothing
// but count).
#include <doctest/doctest.h>

#include <tare/train/hebbian.hpp>

#include "hanlab_model.hpp"

using namespace tare;

namespace {

/// A mean of at most 15 rescaled vectors: two norms, a product, a quotient and a sum in float32 on
/// either side, values up to about 1.
constexpr double tolerance = 1e-6;

}  // namespace

TEST_CASE("the intended update and the counters equal the reference") {
    const io::npz_archive golden = testing::golden("hanlab/hebbian.npz");
    const train::hebbian_update update{
        testing::hanlab_number("hebbian.npz", "(gamma"),
        static_cast<extent>(testing::hanlab_number("hebbian.npz", "T"))};
    const transformer_xl_config config = testing::hanlab_config();
    for (int s = 0; s < 2; ++s)
        for (std::size_t bin = 0; bin < config.bins(); ++bin) {
            const std::string head =
                "step" + std::to_string(s) + ".bin" + std::to_string(bin) + ".";
            INFO(head);
            if (!golden.contains(head + "hidden")) continue;  // no word of the bin in the batch
            const extent width = config.widths[bin];
            std::vector<float> weight = testing::values<float>(golden, head + "weight_before");
            const std::vector<float> hidden = testing::values<float>(golden, head + "hidden");
            const std::vector<token> target = testing::tokens_of(golden, head + "target");
            auto counters = testing::values<std::int64_t>(golden, head + "counter_before");
            update({weight.data(), config.bin_size(bin), width},
                   {hidden.data(), static_cast<extent>(target.size()), width}, target, counters);
            CHECK(testing::distance(weight, testing::values<float>(
                                                golden, head + "weight_intended")) <= tolerance);
            // The published code counts the occurrences of its first call once more in its second.
            if (s == 1) {
                const std::string first = message("step0.bin", bin, ".counter_");
                const auto before = testing::values<std::int64_t>(golden, first + "before");
                const auto after = testing::values<std::int64_t>(golden, first + "after");
                for (std::size_t k = 0; k < counters.size(); ++k)
                    counters[k] += after[k] - before[k];
            }
            CHECK(counters == testing::values<std::int64_t>(golden, head + "counter_after"));
        }
}

TEST_CASE("the published code changed no weight") {
    const io::npz_archive golden = testing::golden("hanlab/hebbian.npz");
    std::size_t compared = 0;
    for (const auto& [name, array] : golden)
        if (name.ends_with("weight_after_reference")) {
            const std::string before =
                name.substr(0, name.size() - std::string("after_reference").size()) + "before";
            CHECK(array.as<float>() == testing::values<float>(golden, before));
            ++compared;
        }
    CHECK(compared >= testing::hanlab_config().bins());
}

TEST_CASE("the first occurrence replaces a row, the last counted one changes nothing") {
    std::vector<float> weight{3.0F, 4.0F, 1.0F, 0.0F, 0.0F, 2.0F};
    const std::vector<float> inputs{0.0F, 2.0F, 7.0F, 7.0F, 0.0F, 0.0F};
    const std::vector<token> targets{0, 1, 2};
    std::vector<std::int64_t> counters{1, 500, 1};
    train::hebbian_update{}({weight.data(), 3, 2}, {inputs.data(), 3, 2}, targets, counters);
    CHECK(weight == std::vector<float>{0.0F, 5.0F, 1.0F, 0.0F, 0.0F, 0.0F});
    CHECK(counters == std::vector<std::int64_t>{2, 501, 2});
}

TEST_CASE("targets and shapes that do not fit are refused") {
    std::vector<float> weight(4);
    std::vector<std::int64_t> counters(2, 1);
    const std::vector<float> input(2);
    const std::vector<token> outside{2};
    const std::vector<token> two{0, 1};
    const train::hebbian_update update;
    CHECK_THROWS_AS(update({weight.data(), 2, 2}, {input.data(), 1, 2}, outside, counters), error);
    CHECK_THROWS_AS(update({weight.data(), 2, 2}, {input.data(), 1, 2}, two, counters), error);
}
