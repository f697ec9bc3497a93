#pragma once
// SPDX-License-Identifier: MIT
// A pruning plan's rules for the tensors of a model, as they stand or scaled to another sparsity.

#include <algorithm>
#include <string>
#include <vector>

#include <tare/io/yaml_pruning.hpp>
#include <tare/prune/gradual.hpp>

#include "model_options.hpp"

namespace tare::tool {

/// One rule for each tensor that the plan names. **Throws** tare::file_error on a pattern that no
/// tensor fits.
[[nodiscard]] std::vector<prune::gradual_rule> rules_of(const io::pruning_plan& plan,
                                                        const parameter_sizes& sizes);

/// Share of all parameters that the rules take in the end.
[[nodiscard]] double final_share(const std::vector<prune::gradual_rule>& rules,
                                 const parameter_sizes& sizes);

/// The same plan for another share: all sparsities multiplied by one number, at most 1. The
/// published plans of 0.239, 0.358 and 0.477 are multiples of each other in this way.
[[nodiscard]] std::vector<prune::gradual_rule>
scaled_to(std::vector<prune::gradual_rule> rules, const parameter_sizes& sizes, double share);

}  // namespace tare::tool
