// SPDX-License-Identifier: MIT
// tare pipeline: the champion's pipeline on any text, from training to the packed file.
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

#include "command.hpp"
#include "pipeline_plan.hpp"
#include "pipeline_run.hpp"
#include "report_files.hpp"

namespace {

using namespace tare;
using namespace tare::tool;

struct options {
    std::string config;
    std::string folder = "pipeline_out";
    std::string train;
    std::string test;
    std::optional<std::uint64_t> seed;
    int threads = 1;
    bool dry_run = false;
    bool frontier = false;
};

/// CSV, JSON and picture of rows, under one name.
template <class Rows>
void write_results(const stage_folder& folder, const std::string& name, const Rows& rows) {
    const std::span all(rows);
    tool::write_text(folder.file(name + ".csv"), to_csv(all));
    tool::write_text(folder.file(name + ".json"), to_json(all).dump(1) + "\n");
    tool::write_text(folder.file(name + ".svg"), to_figure(all));
}

int run(const options& o) {
    set_threads(o.threads);
    pipeline_config config = load_pipeline(o.config);
    if (!o.train.empty()) config.train = o.train;
    if (!o.test.empty()) config.test = o.test;
    if (o.seed) config.seed = *o.seed;
    if (o.dry_run) {
        std::cout << to_text(plan_pipeline(config));
        return done;
    }
    pipeline_run pipeline(config, o.folder);
    try {
        const std::vector<table_row> rows = pipeline.run();
        write_results(pipeline.folder(), "table", std::span<const table_row>(rows));
        std::cout << to_text(rows) << '\n' << gains_of(rows);
        if (o.frontier) {
            const std::vector<frontier_point> points = pipeline.frontier();
            write_results(pipeline.folder(), "frontier", std::span<const frontier_point>(points));
            std::cout << '\n' << to_text(points);
        }
    } catch (const stage_ended& end) {
        std::cerr << (end.code == interrupted
                          ? "tare: the same command goes on where this one stopped\n"
                          : "tare: change that stage's configuration; the same command then keeps "
                            "what is done before it\n");
        return end.code;
    }
    return done;
}

const registration pipeline{
    {"pipeline", [](CLI::App& app) {
         auto o = std::make_shared<options>();
         CLI::App* sub = app.add_subcommand(
             "pipeline", "Train, distil, prune, search, quantize, pack, evaluate and weigh");
         sub->add_option("config", o->config, "YAML file that names texts and stages")
             ->required()
             ->check(CLI::ExistingFile);
         sub->add_option("--out", o->folder,
                         "Folder of results; what is done there is not repeated")
             ->capture_default_str();
         sub->add_option("--train", o->train, "Training text instead of the file's")
             ->check(CLI::ExistingFile);
         sub->add_option("--test", o->test, "Test text instead of the file's")
             ->check(CLI::ExistingFile);
         sub->add_option("--seed", o->seed, "Seed instead of the file's");
         sub->add_option("--threads", o->threads, "Threads; the results do not depend on them")
             ->capture_default_str();
         sub->add_flag("--dry-run", o->dry_run,
                       "Print sizes, operations, score, time and memory; open no text");
         sub->add_flag("--frontier", o->frontier,
                       "Then every width at every sparsity: frontier.csv, .json, .svg");
         return std::function<int()>([o] { return run(*o); });
     }}};

}  // namespace
