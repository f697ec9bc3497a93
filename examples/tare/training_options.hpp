#pragma once
// SPDX-License-Identifier: MIT
// Options that train, distil and prune share, and what they describe.

#include <functional>
#include <optional>
#include <string>

#include <tare/io/yaml_config.hpp>
#include <tare/train/trainer_options.hpp>

#include "model_options.hpp"

namespace CLI {
class App;
}  // namespace CLI

namespace tare::tool {

struct training_options {
    std::string config;
    std::string text;
    std::string valid;
    std::string test;
    std::string vocabulary;
    std::string out;
    std::string from;
    std::string log;
    std::optional<extent> steps;
    std::optional<extent> batch;
    std::uint64_t seed = 1;
    int threads = 1;
    bool resume = false;
    bool dry_run = false;
    bool reference_cache = false;

    void add(CLI::App& app);

    /// The configuration with the options of the command line in it.
    [[nodiscard]] io::entry_config entry() const;
};

/// The learning rate of a configuration.
[[nodiscard]] std::function<double(extent)> learning_rate(const io::entry_config& e);

/// The trainer's options of a configuration.
[[nodiscard]] train::trainer_options trainer_options(const io::entry_config& e,
                                                     bool reference_cache, std::uint64_t seed);

}  // namespace tare::tool
