// SPDX-License-Identifier: MIT
// Quantization-aware training goes on from its checkpoint with the same bits; damage and other runs
// are refused.
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include <tare/io/quantization_checkpoint.hpp>
#include <tare/models/stored_parameters.hpp>
#include <tare/train/quantization_aware.hpp>

#include "hanlab_model.hpp"
#include "scratch.hpp"

using namespace tare;

namespace {

const io::checkpoint_facts facts{{"inputs", "1"}};

struct run {
    train::quantization_aware<> t;

    explicit run(int bits = 9, bool keep_cache = false)
        : t(testing::hanlab_parameters{}, testing::hanlab_config(20, 0.05, 0.2, false),
            {bits, {}, {}}, {0.5, false, keep_cache}) {}
    void updates(extent count) {
        const std::vector<token> words =
            testing::tokens_of(testing::golden("hanlab/tokens.npz"), "train");
        for (extent i = 0; i < count; ++i) {
            const auto at = words.begin() + 24 * t.updates();
            t.accumulate(std::vector<token>(at, at + 24), std::vector<token>(at + 1, at + 25));
            t.update(1e-2);
        }
    }
    /// Samples that only the ranges see.
    void observe(extent first, extent last) {
        const std::vector<token> words =
            testing::tokens_of(testing::golden("hanlab/tokens.npz"), "train");
        for (extent i = first; i < last; ++i) {
            const auto at = words.begin() + 24 * i;
            t.observe(std::vector<token>(at, at + 24), std::vector<token>(at + 1, at + 25));
        }
    }
    /// Everything that is stored: codes, scales, ranges.
    [[nodiscard]] std::vector<float> stored() const {
        std::vector<float> all;
        const stored_model model = t.store();
        stored_parameters source(model);
        transformer_xl<tensor> values(source, model.config);
        values.visit([&](std::string_view, const tensor& v) {
            all.insert(all.end(), v.values().begin(), v.values().end());
        });
        for (const auto& [label, point] : model.points)
            all.push_back(point.max_abs);
        return all;
    }
};

}  // namespace

TEST_CASE("a restored training ends with the bits of one that was never stopped") {
    const testing::scratch_folder folder;
    run whole;
    whole.updates(2);
    io::save_checkpoint(folder.file("c"), whole.t, facts);
    whole.updates(3);
    run restored;
    io::load_checkpoint(folder.file("c"), restored.t, facts);
    CHECK(restored.t.updates() == 2);
    restored.updates(3);
    CHECK(restored.stored() == whole.stored());
}

TEST_CASE("ranges without training go on where they were saved") {
    const testing::scratch_folder folder;
    run whole;
    whole.observe(0, 2);
    io::save_checkpoint(folder.file("c"), whole.t, facts, io::quantization_parts::ranges);
    whole.observe(2, 5);
    run restored;
    io::load_checkpoint(folder.file("c"), restored.t, facts, io::quantization_parts::ranges);
    CHECK(restored.t.range("final").tracker.steps() == 2);
    restored.observe(2, 5);
    CHECK(restored.stored() == whole.stored());
    run learner;  // which needs its moments
    CHECK_THROWS_AS(io::load_checkpoint(folder.file("c"), learner.t, facts), file_error);
}

TEST_CASE("another width, run or kind of training is refused by name") {
    const testing::scratch_folder folder;
    run whole;
    whole.updates(1);
    io::save_checkpoint(folder.file("c"), whole.t, facts);
    run narrow(8);
    CHECK_THROWS_WITH_AS(io::load_checkpoint(folder.file("c"), narrow.t, facts),
                         doctest::Contains("bits"), file_error);
    run same;
    CHECK_THROWS_WITH_AS(io::load_checkpoint(folder.file("c"), same.t, {{"inputs", "2"}}),
                         doctest::Contains("inputs"), file_error);
    run kept(9, true);
    CHECK_THROWS_WITH_AS(io::save_checkpoint(folder.file("d"), kept.t, facts),
                         doctest::Contains("keep_cache"), error);
}

TEST_CASE("no flipped bit and no cut goes unnoticed") {
    const testing::scratch_folder folder;
    run whole;
    whole.updates(1);
    io::save_checkpoint(folder.file("c"), whole.t, facts);
    std::ifstream in(folder.file("c"), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(in)), {});
    for (std::size_t i = 0; i < 8; ++i) {
        std::string flipped = bytes;
        flipped[bytes.size() - 1 - i * 1500] ^= static_cast<char>(1 << i);
        for (const std::string& damaged : {bytes.substr(0, bytes.size() * i / 8), flipped}) {
            std::ofstream(folder.file("c"), std::ios::binary) << damaged;
            run t;
            CHECK_THROWS_AS(io::load_checkpoint(folder.file("c"), t.t, facts), file_error);
        }
    }
}
