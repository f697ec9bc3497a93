// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/io/yaml_pruning.hpp>

#include "io/scratch.hpp"

using tare::io::assign_rules;
using tare::io::pruning_plan;
using tare::io::yaml_document;
using tare::testing::raised;

namespace {

const std::string fixtures = std::string(TARE_GOLDEN_DIR) + "/hanlab_configs/";

pruning_plan plan_of(const std::string& text) {
    return tare::io::detail::read_pruning_plan(yaml_document::parse("p.yaml", text));
}

std::string plan(const std::string& pruner, const std::string& epochs = "",
                 const std::string& reference = "p") {
    return "policies:\n- pruner: {instance_name: " + reference + "}\n" +
           (epochs.empty() ? "  starting_epoch: 0\n  ending_epoch: 9\n  frequency: 1\n" : epochs) +
           "pruners:\n  p:\n    class: AutomatedGradualPruner\n" + pruner;
}

const std::string half = "    initial_sparsity: 0.1\n    final_sparsity: 0.5\n";

void refuses(const std::string& text, const std::string& part) {
    const std::string said = raised<tare::file_error>([&] { (void)plan_of(text); });
    CAPTURE(text);
    CAPTURE(said);
    CHECK(said.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("the plan for sparsity 0.358 holds the published table") {
    const pruning_plan p = tare::io::load_pruning_plan(fixtures + "distiller_prune0.358.yaml");
    CHECK(p.rules.size() == 39);
    const auto find = [&](const std::string& name) {
        return *std::find_if(p.rules.begin(), p.rules.end(),
                             [&](const auto& rule) { return rule.tensor == name; });
    };
    CHECK(p.rules[0].tensor == "embed.layers.0.weight");
    CHECK(find("loss.layers.1.bias").initial_sparsity == 0.615);
    CHECK(find("loss.layers.1.bias").final_sparsity == 0.75);
    CHECK(find("layers.3.fc.3.weight").final_sparsity == 0.5025000000000001);
    CHECK(find("embed.projections.0.weight").initial_sparsity == 0.21000000000000002);
    for (const auto& rule : p.rules) {
        CHECK_FALSE(rule.is_pattern);
        CHECK(rule.starting_epoch == 0);
        CHECK(rule.ending_epoch == 175);
        CHECK(rule.frequency == 1);
    }
}

TEST_CASE("names and patterns are assigned to tensors, each once") {
    const std::vector<std::string> tensors{"layers.0.qkv.weight", "layers.1.qkv.weight", "bias"};
    const auto all =
        plan_of(plan(half + "    weights: ['layers\\.[0-9]+\\.qkv\\.weight', bias]\n"));
    const auto rules = assign_rules(all, tensors);
    CHECK(rules.size() == 3);
    CHECK(rules.at("layers.1.qkv.weight").is_pattern);
    const auto missing = plan_of(plan(half + "    weights:\n    - layers.0.qvk.weight\n"));
    CHECK(raised<tare::file_error>([&] { (void)assign_rules(missing, tensors); }) ==
          "p.yaml:12: no tensor of the model fits layers.0.qvk.weight. Did you mean "
          "layers.0.qkv.weight?");
    const auto twice = plan_of(plan(half + "    weights: [bias, 'b.*']\n"));
    CHECK(raised<tare::file_error>([&] {
              (void)assign_rules(twice, tensors);
          }).find("already pruned by line 11") != std::string::npos);
    // A name is no pattern: its points match points only.
    const auto named = plan_of(plan(half + "    weights: [b.as]\n"));
    CHECK_THROWS_AS((void)assign_rules(named, tensors), tare::file_error);
}

TEST_CASE("each kind of malformed plan is refused with its line") {
    const std::string bias = "    weights: [bias]\n";
    refuses(plan(half), "pruners.p.weights: missing");
    refuses(plan(half + "    weights: []\n"), "expected a list of tensor names");
    refuses(plan(half + "    weights: [[a]]\n"), "is not a tensor name");
    refuses(plan(half + "    weights: ['(']\n"), "is not a regular expression");
    refuses(plan("    initial_sparsity: 0.6\n    final_sparsity: 0.5\n" + bias),
            "p.yaml:9: pruners.p.initial_sparsity: 0.6 exceeds");
    refuses(plan("    initial_sparsity: 0\n    final_sparsity: 1.5\n" + bias),
            "1.5 is out of range");
    refuses(plan(half + bias + "    speed: 1\n"), "p.yaml:12: pruners.p.speed: unknown key");
    refuses(plan(half + bias, "  starting_epoch: 9\n  ending_epoch: 9\n  frequency: 1\n"),
            "p.yaml:4: policies[0].ending_epoch: 9 is not after starting_epoch 9");
    refuses(plan(half + bias, "  starting_epoch: 0\n  ending_epoch: 9\n  frequency: 0\n"),
            "frequency: 0 is out of range");
    refuses(plan(half + bias, "", "q"), "no pruner is named \"q\"");
    refuses("policies: []\npruners: {}\n", "policies: is empty");
    refuses("policies: 3\npruners: {}\n", "expected a list of policies");
    refuses("pruners: {}\n", "policies: missing");
    refuses(plan(half + bias + "  q:\n    class: AutomatedGradualPruner\n" + half + bias),
            "pruners.q: no policy refers to this pruner");
    refuses(plan(half + bias + "extra: 1\n"), "extra: unknown key");
    std::string other = plan(half + bias);
    other.replace(other.find("Automated"), 9, "Automatic");
    refuses(other, "only AutomatedGradualPruner is known");
}

TEST_CASE("quantization plan and cache constants are read and checked") {
    const auto q = tare::io::load_quantization_plan(fixtures + "distiller_quantize.yaml");
    CHECK(q.bits_weights == 9);
    CHECK(q.bits_activations == 9);
    CHECK(q.bits_bias == 9);
    CHECK(q.ema_decay == 0.999);
    CHECK(q.per_channel_weights);
    CHECK_FALSE(q.quantize_inputs);
    CHECK(q.ending_epoch == 20);

    const auto cache = tare::io::load_cache_constants(fixtures + "cache_step175000_n2000.yaml");
    CHECK(cache.cache_lambda == 0.14527226971345752);
    CHECK(cache.n_cache == 2000);
    const auto trained = tare::io::load_entry_config(fixtures + "prune.config.yaml");
    const auto fixed = tare::io::with_cache(trained, cache);
    CHECK(fixed.cache_theta == 0.019573552338090907);
    CHECK_FALSE(tare::io::find_problem(fixed).has_value());

    const tare::testing::scratch_folder folder;
    const std::string path = folder.file("c.yaml");
    tare::testing::dump(path, "cache_lambda: 0.1\ncache_theta: 0.1\nn_cache: 0\n");
    CHECK(raised<tare::file_error>([&] {
              (void)tare::io::load_cache_constants(path);
          }).find(":3: n_cache: 0 is out of range") != std::string::npos);
    std::string text = tare::io::read_text(fixtures + "distiller_quantize.yaml");
    text.replace(text.find("SYMMETRIC"), 9, "ASYMMETRI");
    tare::testing::dump(path, text);
    CHECK(raised<tare::file_error>([&] {
              (void)tare::io::load_quantization_plan(path);
          }).find("only SYMMETRIC is known") != std::string::npos);
}

TEST_CASE("flipped bits and truncations of plans read or are refused") {
    const tare::testing::scratch_folder folder;
    const std::string good = tare::io::read_text(fixtures + "distiller_quantize.yaml");
    const auto attempt = [](const std::string& text) {
        try {
            (void)tare::io::detail::read_quantization_plan(yaml_document::parse("q", text));
        } catch (const tare::file_error&) {
        }
    };
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
        std::string bad = good;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
        attempt(bad);
        attempt(good.substr(0, bit / 8));
    }
    const std::string small = plan(half + "    weights: [bias, 'b.*']\n");
    for (std::size_t bit = 0; bit < 8 * small.size(); ++bit) {
        std::string bad = small;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
        try {
            (void)plan_of(bad);
        } catch (const tare::file_error&) {
        }
    }
}

TEST_CASE("all plans of the entry load" * doctest::skip(std::getenv("TARE_DATA_DIR") == nullptr)) {
    const char* folder = std::getenv("TARE_DATA_DIR");
    REQUIRE(folder != nullptr);
    int prune = 0;
    int quantize = 0;
    int cache = 0;
    for (const auto& file : std::filesystem::recursive_directory_iterator(
             std::filesystem::path(folder) / "hanlab_configs")) {
        const std::string name = file.path().filename().string();
        CAPTURE(file.path().string());
        if (name.starts_with("distiller_prune")) {
            CHECK(tare::io::load_pruning_plan(file.path().string()).rules.size() == 39);
            ++prune;
        } else if (name.starts_with("distiller_quantize")) {
            CHECK(tare::io::load_quantization_plan(file.path().string()).bits_weights >= 8);
            ++quantize;
        } else if (name.starts_with("cache_step")) {
            CHECK(tare::io::load_cache_constants(file.path().string()).n_cache >= 1000);
            ++cache;
        }
    }
    CHECK(prune == 9);
    CHECK(quantize == 15);
    CHECK(cache == 49);
}
