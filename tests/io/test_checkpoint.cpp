// SPDX-License-Identifier: MIT
// Checkpoints: training goes on with the same bits; damage and other runs are refused.
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include <tare/io/checkpoint.hpp>
#include <tare/train/sgd.hpp>
#include <tare/train/trainer.hpp>

#include "hanlab_model.hpp"

using namespace tare;

namespace {

template <class Optimizer = train::adam>
struct run {
    train::trainer<Optimizer> t;

    explicit run(extent cache = 20) : t(config(cache), testing::hanlab_parameters{}, options()) {
        t.prune(prune::gradual_pruner({{"layers.0.qkv.weight", {0.1, 0.5, 0, 3, 1}}}, 2));
    }
    static transformer_xl_config config(extent cache) {
        transformer_xl_config c = testing::hanlab_config(cache, 0.05, 0.2, true);
        c.cache.shared = false;
        return c;
    }
    static train::trainer_options options() {
        train::trainer_options o = train::trainer_options::as_reference(2);
        o.hebbian = train::hebbian_update{};
        return o;
    }
    void steps(extent count) {
        const std::vector<token> words =
            testing::tokens_of(testing::golden("hanlab/tokens.npz"), "train");
        for (extent i = 0; i < count; ++i) {
            const auto at = words.begin() + 40 * t.steps();
            t.step(std::vector<token>(at, at + 48), std::vector<token>(at + 1, at + 49), 1e-2);
        }
    }
    [[nodiscard]] std::vector<float> weights() {
        std::vector<float> all;
        for (auto& p : t.parameters())
            all.insert(all.end(), p.value.value().values().begin(), p.value.value().values().end());
        return all;
    }
};

struct scratch_file {
    std::string path =
        (std::filesystem::temp_directory_path() / ("tare_checkpoint_" + std::to_string(::getpid())))
            .string();
    ~scratch_file() { std::filesystem::remove(path); }
};

const io::checkpoint_facts facts{{"seed", "1"}};

}  // namespace

TEST_CASE("a restored run goes on with the same bits, masks, counters and caches included") {
    const scratch_file file;
    run<> whole;
    whole.steps(3);
    io::save_checkpoint(file.path, whole.t, facts);
    whole.steps(4);
    run<> restored;
    io::load_checkpoint(file.path, restored.t, facts);
    CHECK(restored.t.steps() == 3);
    restored.steps(4);
    CHECK(restored.weights() == whole.weights());
    for (std::size_t bin = 0; bin < 3; ++bin)
        CHECK(restored.t.counters()[bin] == whole.t.counters()[bin]);
}

TEST_CASE("another model, run or optimizer is refused by name") {
    const scratch_file file;
    run<> whole;
    whole.steps(1);
    io::save_checkpoint(file.path, whole.t, facts);
    run<> other(19);
    CHECK_THROWS_WITH_AS(io::load_checkpoint(file.path, other.t, facts), doctest::Contains("model"),
                         file_error);
    run<> same;
    CHECK_THROWS_WITH_AS(io::load_checkpoint(file.path, same.t, {{"seed", "2"}}),
                         doctest::Contains("seed"), file_error);
    run<train::sgd> plain;
    CHECK_THROWS_WITH_AS(io::load_checkpoint(file.path, plain.t, facts),
                         doctest::Contains("optimizer"), file_error);
}

TEST_CASE("no flipped bit and no cut goes unnoticed") {
    const scratch_file file;
    run<> whole;
    whole.steps(1);
    io::save_checkpoint(file.path, whole.t, facts);
    std::ifstream in(file.path, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(in)), {});
    const auto refused = [&](const std::string& changed) {
        std::ofstream(file.path, std::ios::binary) << changed;
        run<> t;
        CHECK_THROWS_AS(io::load_checkpoint(file.path, t.t, facts), file_error);
    };
    for (std::size_t i = 0; i < 24; ++i) {
        refused(bytes.substr(0, bytes.size() * i / 24));
        std::string flipped = bytes;
        // Beyond the header: there every bit is payload.
        flipped[bytes.size() - 1 - i * 2000] ^= static_cast<char>(1 << (i % 8));
        refused(flipped);
    }
}
