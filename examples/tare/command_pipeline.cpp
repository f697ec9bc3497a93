// SPDX-License-Identifier: MIT
// tare pipeline: the champion's pipeline on any text, from training to the packed file.
#include <iostream>
#include <memory>

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
};

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
    const std::vector<table_row> rows = pipeline.run();
    stage_folder& folder = pipeline.folder();
    tool::write_text(folder.file("table.csv"), to_csv(rows));
    tool::write_text(folder.file("table.json"), to_json(rows).dump(1) + "\n");
    tool::write_text(folder.file("table.svg"), to_figure(rows));
    std::cout << to_text(rows);
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
         sub->add_option("--out", o->folder, "Folder of results; finished stages are not repeated")
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
         return std::function<int()>([o] { return run(*o); });
     }}};

}  // namespace
