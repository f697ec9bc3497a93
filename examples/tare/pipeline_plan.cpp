// SPDX-License-Identifier: MIT
#include "pipeline_plan.hpp"

namespace tare::tool {

micronet::compression left_by(const std::string& plan, const transformer_xl_config& config) {
    const parameter_sizes sizes = sizes_of(config);
    micronet::compression out;
    for (const prune::gradual_rule& rule : rules_of(io::load_pruning_plan(plan), sizes)) {
        const extent size = sizes.find(rule.tensor)->second;
        const auto gone =
            static_cast<extent>(rule.schedule.final_sparsity * static_cast<double>(size));
        out.sparse.push_back({short_text(rule.tensor), size - gone, -1});
    }
    return out;
}

std::vector<planned_stage> plan_pipeline(const pipeline_config& config) {
    std::vector<planned_stage> out;
    const auto add = [&](const std::string& name, const io::entry_config& how,
                         const micronet::compression& left) {
        out.push_back({name, plan_training(how, left)});
    };
    add("core", config.core, {});
    add("cache", config.cache, {});
    add("hebbian", config.hebbian, {});
    add("teacher", config.teacher, {});
    add("distil", config.distil, {});
    micronet::compression left = left_by(config.plan, model_config(config.prune));
    add("prune", config.prune, left);
    io::entry_config quantize = config.quantize;
    quantize.use_cache = true;
    quantize.n_cache = config.n_cache;
    left.bits = static_cast<int>(*config.quantize.bits);
    add("quantize", quantize, left);
    return out;
}

std::string to_text(const std::vector<planned_stage>& stages) {
    std::string out = formatted("%-10s %12s %12s %10s %12s %10s\n", "stage", "parameters",
                                "operations", "score", "training", "memory");
    double seconds = 0.0;
    double peak = 0.0;
    for (const auto& [name, plan] : stages) {
        out += formatted("%-10s %12.0f %12.0f %10.6f %11.0fs %7.0f MB\n", name.c_str(),
                         plan.parameters, plan.operations, plan.score, plan.seconds,
                         plan.peak_bytes / 1e6);
        seconds += plan.seconds;
        peak = std::max(peak, plan.peak_bytes);
    }
    return out + formatted("about %.0f s of training and a peak of %.0f MB; soft labels, searches "
                           "and evaluations come on top\n",
                           seconds, peak / 1e6);
}

}  // namespace tare::tool
