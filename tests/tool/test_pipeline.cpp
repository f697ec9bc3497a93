// SPDX-License-Identifier: MIT
// A miniature of the whole pipeline on made-up text: every stage runs, a second run repeats
// nothing, and the packed file is as large as its model is counted.
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>

#include "../../examples/tare/pipeline_run.hpp"
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
    put("core.yaml", entry("lr: 0.01\nsteps: 60\n"));
    put("teacher.yaml", entry("lr: 0.01\nsteps: 60\n"));
    put("distil.yaml", entry("lr: 0.01\nsteps: 60\ndistill: true\ndistill_first_bin: true\n"));
    put("prune.yaml", entry("lr: 0.002\nsteps: 20\nsteps_per_epoch: 2\ncompress: plan.yaml\n"));
    put("quantize.yaml", entry("lr: 0.0001\nsteps: 1\nbits: 9\n"));
    put("plan.yaml", "pruners:\n"
                     "  all: {class: AutomatedGradualPruner, initial_sparsity: 0.1,\n"
                     "        final_sparsity: 0.4, weights: "
                     "['layers[.].*(qkv|out|fc.[03]).weight', 'embed.*weight']}\n"
                     "policies:\n"
                     "- {pruner: {instance_name: all}, starting_epoch: 0, ending_epoch: 8,\n"
                     "   frequency: 1}\n");
    put("pipeline.yaml", "train: train.txt\ntest: test.txt\nvalidation_tokens: 600\nn_cache: 50\n"
                         "top_k: 10\ncore: core.yaml\nteacher: teacher.yaml\n"
                         "distil: distil.yaml\nprune: prune.yaml\nquantize: quantize.yaml\n");
    return folder + "/pipeline.yaml";
}

}  // namespace

TEST_CASE("the miniature ends with a file as large as its model is counted") {
    const testing::scratch_folder folder;
    const pipeline_config config = load_pipeline(write_pipeline(folder.file(".")));
    const std::string out = folder.file("out");
    const std::vector<table_row> rows = pipeline_run(config, out).run();
    REQUIRE(rows.size() == 7);
    for (const table_row& r : rows) {
        INFO(r.step);
        CHECK(r.test > 1.0);
        CHECK(r.test < 96.0);  // better than guessing
        CHECK(r.score > 0.0);
    }

    const io::packed_file packed = io::load_packed(out + "/packed.safetensors");
    const std::vector<token> test = io::read_corpus(
        config.test, io::load_vocabulary(out + "/vocabulary.txt"), text::unknown_words::replace);
    const ledger book = micronet::weigh(packed.model.config, packed.model.how,
                                        count_bins(packed.model.config, test));
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
    const auto begin = std::filesystem::last_write_time(out + "/teacher.safetensors");
    const std::vector<table_row> again = pipeline_run(config, out).run();
    CHECK(std::filesystem::last_write_time(out + "/teacher.safetensors") == begin);
    CHECK(to_csv(again) == to_csv(rows));

    // Another plan makes the pruning and what follows anew, with the teacher as it was.
    pipeline_config other = config;
    other.prune.lr = 0.003;
    const std::vector<table_row> changed = pipeline_run(other, out).run();
    CHECK(std::filesystem::last_write_time(out + "/teacher.safetensors") == begin);
    CHECK(changed[3].test == rows[3].test);
    CHECK(changed[4].test != rows[4].test);

    // Threads change nothing but the time.
    set_threads(3);
    std::vector<table_row> threaded = pipeline_run(config, folder.file("threads")).run();
    set_threads(1);
    for (std::size_t i = 0; i < rows.size(); ++i)
        CHECK(threaded[i].test == rows[i].test);

    const std::string picture = to_figure(rows);
    CHECK(picture.starts_with("<svg"));
    CHECK(picture.find("distilled") != std::string::npos);
}
