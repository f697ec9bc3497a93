#pragma once
// SPDX-License-Identifier: MIT
// Options that name a model: an entry's YAML file or a preset, a pruning plan, bits, cache size.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <tare/io/yaml_config.hpp>
#include <tare/micronet/compression.hpp>
#include <tare/models/transformer_xl.hpp>

namespace CLI {
class App;
}  // namespace CLI

namespace tare::tool {

/// Sizes of a model from an entry's configuration.
[[nodiscard]] transformer_xl_config model_config(const io::entry_config& e);

/// Elements of every parameter, by name.
using parameter_sizes = std::map<std::string, extent, std::less<>>;

[[nodiscard]] parameter_sizes sizes_of(const transformer_xl_config& config);

/// A model and what compression leaves of it.
struct described_model {
    std::string origin;  ///< preset or file
    transformer_xl_config config;
    micronet::compression how;
    std::int64_t payload_bits = -1;  ///< of the packed file it came from, if it did
};

class model_options {
  public:
    void add(CLI::App& app);
    /// Those of a model whose zeros are in a checkpoint.
    void add_sizes(CLI::App& app);

    [[nodiscard]] described_model describe() const;

  private:
    std::string packed_;
    std::string config_;
    std::string preset_ = "champion";
    std::string plan_;
    std::optional<int> bits_;
    std::optional<extent> cache_;
};

}  // namespace tare::tool
