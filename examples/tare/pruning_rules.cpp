// SPDX-License-Identifier: MIT
#include "pruning_rules.hpp"

#include <algorithm>

namespace tare::tool {

std::vector<prune::gradual_rule> rules_of(const io::pruning_plan& plan,
                                          const parameter_sizes& sizes) {
    std::vector<std::string> names;
    for (const auto& [label, size] : sizes)
        names.push_back(label);
    std::vector<prune::gradual_rule> out;
    for (const auto& [tensor, rule] : io::assign_rules(plan, names))
        out.push_back({tensor,
                       {rule.initial_sparsity, rule.final_sparsity, rule.starting_epoch,
                        rule.ending_epoch, rule.frequency}});
    return out;
}

double final_share(const std::vector<prune::gradual_rule>& rules, const parameter_sizes& sizes) {
    double gone = 0.0;
    double all = 0.0;
    for (const auto& [label, size] : sizes)
        all += static_cast<double>(size);
    for (const prune::gradual_rule& rule : rules)
        gone += rule.schedule.final_sparsity * static_cast<double>(sizes.find(rule.tensor)->second);
    return gone / all;
}

std::vector<prune::gradual_rule> scaled_to(std::vector<prune::gradual_rule> rules,
                                           const parameter_sizes& sizes, double share) {
    const double factor = share / final_share(rules, sizes);
    for (prune::gradual_rule& rule : rules) {
        rule.schedule.initial_sparsity = std::min(1.0, factor * rule.schedule.initial_sparsity);
        rule.schedule.final_sparsity = std::min(1.0, factor * rule.schedule.final_sparsity);
    }
    return rules;
}

}  // namespace tare::tool
