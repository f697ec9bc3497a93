#pragma once
// SPDX-License-Identifier: MIT
// What a training will weigh, hold and take, before any text is opened: sizes and operations from
// the configuration, memory from the sizes of what a step keeps, time from two steps of one sample
// of random words.

#include <tare/io/yaml_config.hpp>
#include <tare/micronet/compression.hpp>

namespace tare::tool {

/// A training before it runs.
struct planned_training {
    double parameters = 0.0;
    double operations = 0.0;
    double score = 0.0;
    double seconds = 0.0;  ///< NaN where a step does not fit the memory of this machine
    double peak_bytes = 0.0;
};

/// **Throws** tare::error on impossible sizes.
[[nodiscard]] planned_training plan_training(const io::entry_config& e,
                                             const micronet::compression& left);

/// The plan of one training, for the verbs that train.
void print_dry_run(const io::entry_config& e);

}  // namespace tare::tool
