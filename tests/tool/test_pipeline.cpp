// SPDX-License-Identifier: MIT
// A miniature of the whole pipeline on made-up text: every stage runs, a second run repeats
// nothing, and the packed file is as large as its model is counted.
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/io/packed.hpp>
#include <tare/io/text_corpus.hpp>
#include <tare/micronet/rules.hpp>

#include "../../examples/tare/pipeline_run.hpp"
#include "../../examples/tare/pruning_rules.hpp"
#include "../io/scratch.hpp"

using namespace tare;
using namespace tare::tool;

namespace {

/// Sentences whose words depend on the one before, with words of their own in each paragraph.
std::string made_up_text(std::uint64_t seed, int lines) {
    const random_stream random(seed, 0);
    std::string out;
    std::uint64_t draw = 0;
    std::uint32_t word = 0;
    for (int line = 0; line < lines; ++line) {
        for (int i = 0; i < 11; ++i) {
            const std::uint32_t kind = random.below(draw++, 4);
            word = kind == 0 ? random.below(draw++, 90) : (word * 7 + 3 + kind) % 40;
            out += message(" w", word);
        }
        out += '\n';
    }
    return out;
}

std::string entry(const std::string& more) {
    return "n_vocab: 96\ncutoffs: [20, 50]\nn_embed: 16\nn_embeds: [16, 8, 4]\nn_layers: 2\n"
           "n_head: 2\nn_k: 8\nn_v: 8\nn_inner: 24\nn_seq: 8\neval_chunk: 64\ntrain_chunk: 48\n"
           "train_batch: 2\nscheduler: cosine\n" +
           more;
}

std::string write_pipeline(const std::string& folder) {
    const auto put = [&](const std::string& name, const std::string& text) {
        std::ofstream(folder + "/" + name) << text;
    };
    put("train.txt", made_up_text(1, 400));
    put("test.txt", made_up_text(2, 60));
    const std::string steps = "lr: 0.01\nsteps: 60\ndropout: 0.1\n";
    const std::string cache =
        "use_cache: true\nn_cache: 50\ncache_theta_init: 0.05\ncache_lambda_init: 0.1\n";
    put("core.yaml", entry(steps));
    put("cache.yaml", entry(steps + cache));
    put("hebbian.yaml", entry(steps + cache + "hebbian: true\n"));
    put("teacher.yaml", entry(steps));
    put("distil.yaml", entry(steps + cache + "distill: true\ndistill_first_bin: true\n"));
    put("prune.yaml",
        entry(cache + "lr: 0.002\nsteps: 20\nsteps_per_epoch: 2\ncompress: plan.yaml\n"));
    put("quantize.yaml", entry("lr: 0.0001\nsteps: 3\nbits: 9\n"));
    put("plan.yaml", "pruners:\n"
                     "  all: {class: AutomatedGradualPruner, initial_sparsity: 0.1,\n"
                     "        final_sparsity: 0.4, weights: "
                     "['layers[.].*(qkv|out|fc.[03]).weight', 'embed.*weight']}\n"
                     "policies:\n"
                     "- {pruner: {instance_name: all}, starting_epoch: 0, ending_epoch: 8,\n"
                     "   frequency: 1}\n");
    put("pipeline.yaml", "train: train.txt\ntest: test.txt\nvalidation_tokens: 600\nn_cache: 50\n"
                         "top_k: 10\ncore: core.yaml\ncache: cache.yaml\n"
                         "hebbian: hebbian.yaml\nteacher: teacher.yaml\ndistil: distil.yaml\n"
                         "prune: prune.yaml\nquantize: quantize.yaml\nfrontier_bits: [5, 9]\n"
                         "frontier_sparsities: [0, 0.2]\n");
    return folder + "/pipeline.yaml";
}

}  // namespace

TEST_CASE("the miniature ends with a file as large as its model is counted") {
    const testing::scratch_folder folder;
    const pipeline_config config = load_pipeline(write_pipeline(folder.file(".")));
    const std::string out = folder.file("out");
    const std::vector<table_row> rows = pipeline_run(config, out).run();
    REQUIRE(rows.size() == 10);
    for (const table_row& r : rows) {
        INFO(r.step);
        CHECK(r.test > 1.0);
        CHECK(r.test < 96.0);  // better than guessing
        CHECK(r.score > 0.0);
    }

    const io::packed_file packed = io::load_packed(out + "/quantize.packed.safetensors");
    const std::vector<token> test = io::read_corpus(
        config.test, io::load_vocabulary(out + "/vocabulary.txt"), text::unknown_words::replace);
    const ledger book =
        weigh(packed.model.config, packed.model.how, count_bins(packed.model.config, test));
    const micronet::totals sums = micronet::tally(book, micronet::official{});
    CHECK(static_cast<std::int64_t>(sums.storage_bits) == packed.payload_bits);
    const double from_file =
        static_cast<double>(packed.payload_bits) / 32.0 / micronet::wikitext103.parameters +
        sums.operations() / micronet::wikitext103.operations;
    CHECK(rows.back().score == from_file);
    // Padding to whole bytes is all that the file's payload has beyond.
    CHECK(8 * packed.payload_bytes >= packed.payload_bits);
    CHECK(packed.model.how.bits == 9);
    CHECK(rows.back().parameters < 0.5 * rows.front().parameters);

    // A second run takes everything from the folder, in no time and with the same figures.
    const auto begin = std::filesystem::last_write_time(out + "/teacher/checkpoint.safetensors");
    const std::vector<table_row> again = pipeline_run(config, out).run();
    CHECK(std::filesystem::last_write_time(out + "/teacher/checkpoint.safetensors") == begin);
    CHECK(to_csv(std::span<const table_row>(again)) == to_csv(std::span<const table_row>(rows)));

    // Another plan makes the pruning and what follows anew, with the teacher as it was.
    pipeline_config other = config;
    other.prune.lr = 0.003;
    const std::vector<table_row> changed = pipeline_run(other, out).run();
    CHECK(std::filesystem::last_write_time(out + "/teacher/checkpoint.safetensors") == begin);
    CHECK(changed[5].test == rows[5].test);
    CHECK(changed[6].test != rows[6].test);

    // Threads change nothing but the time.
    set_threads(3);
    std::vector<table_row> threaded = pipeline_run(config, folder.file("threads")).run();
    set_threads(1);
    for (std::size_t i = 0; i < rows.size(); ++i)
        CHECK(threaded[i].test == rows[i].test);

    const std::string picture = to_figure(std::span<const table_row>(rows));
    CHECK(picture.starts_with("<svg"));
    CHECK(picture.find("distilled") != std::string::npos);
}

TEST_CASE("the frontier has every width at every sparsity, and no point beats another on it") {
    const testing::scratch_folder folder;
    const pipeline_config config = load_pipeline(write_pipeline(folder.file(".")));
    pipeline_run pipeline(config, folder.file("out"));
    static_cast<void>(pipeline.run());
    const std::vector<frontier_point> points = pipeline.frontier();
    REQUIRE(points.size() == 4);
    CHECK(points.front().best);  // the smallest score
    for (const frontier_point& a : points)
        for (const frontier_point& b : points)
            if (b.best) CHECK_FALSE((a.score < b.score && a.validation < b.validation));
}

TEST_CASE("a pipeline whose stages do not fit together is refused with the key") {
    const testing::scratch_folder folder;
    const std::string path = write_pipeline(folder.file("."));
    const auto refused = [&](const std::string& stage, const std::string& text,
                             const std::string& says) {
        const std::string file = folder.file(stage);
        const std::string before = io::read_text(file, 1 << 20);
        std::ofstream(file) << text;
        CHECK_THROWS_WITH_AS(static_cast<void>(load_pipeline(path)),
                             doctest::Contains(says.c_str()), file_error);
        std::ofstream(file) << before;
    };
    refused("cache.yaml", entry(""), "set use_cache");
    refused("hebbian.yaml", entry(""), "set hebbian");
    refused("distil.yaml", entry(""), "set distill");
    refused("quantize.yaml", entry(""), "key bits");
    refused("plan.yaml", "pruners: 3\n", "plan.yaml");
    refused("teacher.yaml", "n_vocab: 97\n" + entry("").substr(12), "share one vocabulary");
    refused("pipeline.yaml", "trai: a\n", "Did you mean train");
    static_cast<void>(load_pipeline(path));
}

TEST_CASE("a second run in the same folder is refused while the first works") {
    const testing::scratch_folder folder;
    const stage_folder first(folder.file("out"));
    CHECK_THROWS_WITH_AS(stage_folder(folder.file("out")), doctest::Contains("another run"),
                         file_error);
}

TEST_CASE("a plan scaled to another share keeps its proportions") {
    const parameter_sizes sizes{{"a", 100}, {"b", 300}, {"c", 600}};
    const std::vector<prune::gradual_rule> rules{{"a", {0.1, 0.2, 0, 5, 1}},
                                                 {"b", {0.2, 0.6, 0, 5, 1}}};
    CHECK(final_share(rules, sizes) == doctest::Approx(0.2));
    const auto half = scaled_to(rules, sizes, 0.1);
    CHECK(final_share(half, sizes) == doctest::Approx(0.1));
    CHECK(half[1].schedule.initial_sparsity == doctest::Approx(0.1));
    CHECK(scaled_to(rules, sizes, 0.9)[1].schedule.final_sparsity == 1.0);  // nothing above all
}
