// SPDX-License-Identifier: MIT
#include <cstdlib>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include <tare/io/yaml_config.hpp>

#include "io/scratch.hpp"

using tare::io::entry_config;
using tare::io::load_entry_config;
using tare::io::parse_entry_config;
using tare::testing::raised;

namespace {

const std::string fixtures = std::string(TARE_GOLDEN_DIR) + "/hanlab_configs/";

const std::string small = "n_vocab: 60\nn_layers: 2\nn_embed: 16\nn_head: 2\nn_k: 5\nn_v: 3\n"
                          "n_inner: 24\nn_seq: 8\n";

std::string complaint(const std::string& text) {
    return raised<tare::file_error>([&] { (void)parse_entry_config("c.yaml", text); });
}

/// Expects a refusal that holds `part`.
void refuses(const std::string& text, const std::string& part) {
    const std::string said = complaint(text);
    CAPTURE(text);
    CAPTURE(said);
    CHECK(said.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("the entry's quantized champion is read as it is") {
    const entry_config c = load_entry_config(fixtures + "quantize.config.yaml");
    CHECK(c.n_vocab == 267735);
    CHECK(c.n_layers == 8);
    CHECK(c.n_embed == 256);
    CHECK(c.n_head == 8);
    CHECK(c.n_k == 24);
    CHECK(c.n_v == 24);
    CHECK(c.n_inner == 768);
    CHECK(c.n_seq == 96);
    CHECK(c.cutoffs == std::vector<tare::extent>{3500, 25000});
    CHECK(c.n_embeds == std::vector<tare::extent>{256, 64, 4});
    CHECK(c.bits == 9);
    CHECK(c.use_cache);
    CHECK(c.n_cache == 2000);
    CHECK(c.cache_lambda == 0.14527226971345752);
    CHECK(c.cache_theta == 0.019573552338090907);
    CHECK_FALSE(c.cache_theta_init.has_value());
    CHECK(c.compress == "distiller_quantize.yaml");
    CHECK(c.model == "quantize.Transformer");
    CHECK(c.lr == 0.0001);
    CHECK(c.steps == 1);
    CHECK(c.step_warmup == 0);
    CHECK(c.scheduler == "cosine");
    CHECK(c.train_chunk == 1152);
    CHECK(c.eval_chunk == 4032);
}

TEST_CASE("distillation, trained cache, pruning and one-bin configurations are read") {
    const entry_config d = load_entry_config(fixtures + "distill.config.yaml");
    CHECK(d.distill);
    CHECK(d.distill_first_bin);
    CHECK(d.annealing_hard_min == 0.5);
    CHECK(d.annealing_hard_max == 0.95);
    CHECK(d.hebbian);
    CHECK(d.hebbian_t == 500);
    CHECK(d.cache_theta_init == 0.016);
    CHECK(d.train_batch == 10);
    CHECK(load_entry_config(fixtures + "prune.config.yaml").step_warmup == -1);
    const entry_config one = load_entry_config(fixtures + "one_bin.config.yaml");
    CHECK(one.cutoffs.empty());
    CHECK(one.n_embeds == std::vector<tare::extent>{256});
    CHECK_FALSE(one.use_cache);
    CHECK_FALSE(load_entry_config(fixtures + "baseline.config.yaml").hebbian);
}

TEST_CASE("missing widths follow from the adaptive ratio") {
    CHECK(parse_entry_config("c", small + "cutoffs: [12, 32]\n").n_embeds ==
          std::vector<tare::extent>{16, 16, 16});
    CHECK(parse_entry_config("c", small + "cutoffs: [12, 32]\nadaptive_ratio: 3\n").n_embeds ==
          std::vector<tare::extent>{16, 5, 1});
    refuses(small + "cutoffs: [12, 32]\nadaptive_ratio: 5\n", "n_embeds: a width of 0");
    CHECK(parse_entry_config("c", small).eval_chunk == 42 * 8);
}

TEST_CASE("a resolved configuration written as YAML reads back equal") {
    for (const char* name : {"quantize", "distill", "prune", "one_bin", "baseline"}) {
        const entry_config c = load_entry_config(fixtures + name + ".config.yaml");
        CHECK(parse_entry_config("again", to_yaml(c)) == c);
    }
    entry_config odd = parse_entry_config("c", small);
    odd.model = "a: \"b\" # c";
    odd.lr = 0.1 + 0.2;
    CHECK(parse_entry_config("again", to_yaml(odd)) == odd);
}

TEST_CASE("an unknown key names line and nearest known key") {
    CHECK(complaint(small + "n_layer: 3\n") ==
          "c.yaml:9: n_layer: unknown key. Did you mean n_layers?");
    CHECK(complaint("n_layer: 3\n" + small) ==
          "c.yaml:1: n_layer: unknown key. Did you mean n_layers?");
    CHECK(complaint(small + "hebbian_t: 3\n") ==
          "c.yaml:9: hebbian_t: unknown key. Did you mean hebbian_T?");
    CHECK(complaint(small + "zzzzzzzzzzzzzz: 3\n") == "c.yaml:9: zzzzzzzzzzzzzz: unknown key.");
    CHECK(complaint("lr: 1\n") == "c.yaml:1: n_vocab: missing; this key is required");
}

TEST_CASE("impossible sizes and contradictions name file, line and key") {
    refuses(small + "cutoffs: [32, 12]\n", "c.yaml:9: cutoffs: 12 at place 1");
    refuses(small + "cutoffs: [60]\n", "c.yaml:9: cutoffs: 60 at place 0");
    refuses(small + "cutoffs: [0]\n", "c.yaml:9: cutoffs: 0 is out of range");
    refuses(small + "n_embeds: [16, 8]\n", "c.yaml:9: n_embeds: 2 widths for 0 cutoffs");
    refuses(small + "n_embeds: [8]\n", "the first width is 8, expected n_embed 16");
    refuses(small + "eval_chunk: 12\n", "c.yaml:9: eval_chunk: 12 is not a multiple of n_seq 8");
    refuses(small + "bits: 1\n", "c.yaml:9: bits: 1 is out of range, expected 2 to 32");
    refuses(small + "bits: 99999999999999999999\n", "out of range");
    refuses(small + "bits: 9.0\n", "\"9.0\" is not an integer");
    refuses(small + "bits: \"9\"\n", "is quoted text, expected an integer");
    refuses(small + "bits:\n", "bits: is empty, expected an integer");
    refuses(small + "bits: [9]\n", "bits: is a list, expected an integer");
    refuses(small + "lr: .inf\n", "\".inf\" is not a number");
    refuses(small + "lr: inf\n", "\"inf\" is not a number");
    refuses(small + "lr: nan\n", "is not a number");
    refuses(small + "lr: -1\n", "lr: -1 is out of range");
    refuses(small + "hebbian: maybe\n", "neither true nor false");
    refuses(small + "pos_emb: sin\n", "only \"trained\" is known");
    refuses(small + "scheduler: step\n", "known are cosine, rsqrt and constant");
    refuses(small + "annealing_hard_min: 1\n", "exceeds annealing_hard_max");
    refuses(small + "use_cache: true\n", "use_cache needs at least one entry");
    refuses(small + "use_cache: true\nn_cache: 3\n", "c.yaml:9: use_cache: expected either");
    refuses(small + "use_cache: true\nn_cache: 3\ncache_theta: 1\n", "expected either");
    refuses(small + "lr: 1\nlr: 1\n", "c.yaml:10: lr: duplicate key");
    refuses("n_vocab: 2147483647\nn_layers: 10000\nn_embed: 16777216\nn_head: 16777216\n"
            "n_k: 16777216\nn_v: 1\nn_inner: 1\nn_seq: 16777216\n",
            "c.yaml:2: n_layers: a model of up to");
}

TEST_CASE("what is not a YAML map is refused") {
    refuses("", "holds 0 YAML documents");
    refuses("a: 1\n---\nb: 1\n", "holds 2 YAML documents");
    refuses("- 1\n", "c.yaml:1: the document is a list, expected a map");
    refuses("text\n", "the document is \"text\"");
    refuses("a: [1\n", "not readable as YAML");
    refuses("a: b: c\n", "c.yaml:1: not readable as YAML");
    refuses("a: *b\n", "not readable as YAML");
    refuses("[1]: 2\n", "a key is a list");
    refuses(std::string("a: \0\n", 5), "c.yaml: byte 3: not text");
    refuses("a: \xFF\n", "byte 3: not text");
    refuses(std::string(100'000, '['), "not readable as YAML");
    refuses("a: &x [*x]\n", "a: unknown key");
    CHECK(raised<tare::file_error>([] { (void)load_entry_config("/nonexistent/c.yaml"); }) ==
          "/nonexistent/c.yaml: cannot be opened for reading: No such file or directory");
    CHECK(raised<tare::file_error>([] { (void)load_entry_config("/"); }).find("not a regular") !=
          std::string::npos);
}

TEST_CASE("every truncation and every flipped bit of a configuration reads or is refused") {
    const std::string good = tare::io::read_text(fixtures + "quantize.config.yaml");
    for (std::size_t n = 0; n < good.size(); ++n)
        (void)complaint(good.substr(0, n));
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
        std::string bad = good;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
        (void)complaint(bad);  // anything but a tare::file_error would escape and fail
    }
}

TEST_CASE("all configurations of the entry load" *
          doctest::skip(std::getenv("TARE_DATA_DIR") == nullptr)) {
    const char* folder = std::getenv("TARE_DATA_DIR");
    REQUIRE(folder != nullptr);
    int count = 0;
    for (const auto& file : std::filesystem::recursive_directory_iterator(
             std::filesystem::path(folder) / "hanlab_configs")) {
        if (file.path().filename() != "config.yaml") continue;
        CAPTURE(file.path().string());
        const entry_config c = load_entry_config(file.path().string());
        CHECK(c.n_vocab == 267735);
        CHECK(parse_entry_config("again", to_yaml(c)) == c);
        ++count;
    }
    CHECK(count == 38);
}
