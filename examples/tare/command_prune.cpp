// SPDX-License-Identifier: MIT
// tare prune: gradual pruning of a trained model along a plan, or a plan from a sensitivity scan.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>

#include <tare/prune/sensitivity.hpp>

#include "command.hpp"
#include "pruning_rules.hpp"
#include "training_run.hpp"

namespace {

using namespace tare;
using namespace tare::tool;

struct options {
    training_options training;
    std::string plan;
    std::string propose;
    double target = 0.358;
    extent scan_tokens = 20'000;
    std::vector<double> sparsities{0.2, 0.4, 0.6, 0.8, 0.95};
};

/// A plan in the form of the entry's files: sparsity from a fifth of its end to its end.
std::string plan_text(const prune::sparsity_plan& plan, extent epochs) {
    std::string policies = "policies:\n";
    std::string pruners = "pruners:\n";
    for (const auto& [tensor, sparsity] : plan.tensors) {
        if (sparsity <= 0.0) continue;
        std::string name = tensor;
        std::replace(name.begin(), name.end(), '.', '_');
        pruners += message("  ", name,
                           ":\n    class: AutomatedGradualPruner\n"
                           "    initial_sparsity: ",
                           0.2 * sparsity, "\n    final_sparsity: ", sparsity,
                           "\n    weights:\n    - ", tensor, '\n');
        policies += message("- starting_epoch: 0\n  ending_epoch: ", epochs,
                            "\n  frequency: 1\n  pruner:\n    instance_name: ", name, '\n');
    }
    return policies + pruners;
}

/// Measures every matrix and writes the plan that reaches the target.
int scan(const options& o, const io::entry_config& e, training_run& training) {
    const std::vector<token>& text = training.texts().valid;
    require(!text.empty(), "--propose needs --valid FILE: the text to measure perplexities on");
    const std::span<const token> part =
        std::span(text).first(std::min(text.size(), static_cast<std::size_t>(o.scan_tokens)));
    const double base = training.perplexity(part, "dense");
    std::vector<prune::sensitivity_curve> curves;
    extent total = 0;
    for (auto& p : training.trainer().parameters()) {
        total += p.value.shape().size();
        // Positions, norms, biases and scalars are small and dear.
        if (p.value.shape().rank() < 2 || is_position_table(p.label)) continue;
        curves.push_back(prune::measure_sensitivity(
            p.label, p.value.mutable_value().mutable_values(), o.sparsities,
            [&] { return training.perplexity(part, p.label.c_str()); }));
    }
    const prune::sparsity_plan plan = prune::propose(curves, base, o.target, total);
    const extent epochs = std::max<extent>(1, e.steps / e.steps_per_epoch);
    io::write_text(o.propose, plan_text(plan, epochs));
    std::printf("dense perplexity %.4f, bound %.4f, sparsity %.4f\n", base, plan.bound,
                plan.sparsity);
    for (const auto& [tensor, sparsity] : plan.tensors)
        std::printf("%-32s %.4f\n", tensor.c_str(), sparsity);
    return done;
}

int run(const options& o, const io::entry_config& e) {
    training_run training(o.training, e, read_texts(o.training, e, o.training.from), "prune");
    if (!o.propose.empty()) return scan(o, e, training);
    std::string plan = o.plan;
    if (plan.empty() && e.compress)
        plan = (std::filesystem::path(o.training.config).parent_path() / *e.compress).string();
    require(!plan.empty(), "--plan FILE is needed: the configuration names none under compress");
    training.prune(rules_of(io::load_pruning_plan(plan), sizes_of(model_config(e))));
    return training.run();
}

const registration prune_verb{
    {"prune", [](CLI::App& app) {
         auto o = std::make_shared<options>();
         CLI::App* sub = app.add_subcommand("prune", "Prune a trained model gradually");
         o->training.add(*sub);
         sub->add_option("--from", o->training.from, "Folder of the run to start from")
             ->required()
             ->check(CLI::ExistingDirectory);
         sub->add_option("--plan", o->plan, "Pruning plan; the configuration's by default")
             ->check(CLI::ExistingFile);
         sub->add_option("--propose", o->propose,
                         "Measure sensitivities, write a plan to this file and stop");
         sub->add_option("--sparsity", o->target, "Share of all values that --propose aims at")
             ->capture_default_str()
             ->check(CLI::Range(0.0, 1.0));
         sub->add_option("--sparsities", o->sparsities, "Sparsities that --propose measures")
             ->delimiter(',');
         sub->add_option("--scan-tokens", o->scan_tokens, "Tokens of each measurement")
             ->capture_default_str();
         return std::function<int()>([o] {
             return with_entry(o->training, [&](const io::entry_config& e) { return run(*o, e); });
         });
     }}};

}  // namespace
