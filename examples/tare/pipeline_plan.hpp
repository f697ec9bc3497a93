#pragma once
// SPDX-License-Identifier: MIT
// What a pipeline will weigh and take, said before any text is opened.

#include <algorithm>
#include <string>
#include <vector>

#include "dry_run.hpp"
#include "pipeline_config.hpp"
#include "pipeline_table.hpp"
#include "pruning_rules.hpp"

namespace tare::tool {

/// A stage before it runs.
struct planned_stage {
    std::string name;
    planned_training plan;
};

/// What a plan leaves of a model's tensors in the end.
[[nodiscard]] micronet::compression left_by(const std::string& plan,
                                            const transformer_xl_config& config);

/// All stages of a pipeline that train.
[[nodiscard]] std::vector<planned_stage> plan_pipeline(const pipeline_config& config);

[[nodiscard]] std::string to_text(const std::vector<planned_stage>& stages);

}  // namespace tare::tool
