#pragma once
// SPDX-License-Identifier: MIT
// The stage that quantizes: ranges from samples, or training steps with quantization in the loop.
// Both go on from their checkpoint.

#include <functional>
#include <span>
#include <string>

#include <tare/io/yaml_config.hpp>
#include <tare/models/stored_model.hpp>

#include "language_model.hpp"

namespace tare::tool {

struct quantization_stage {
    io::entry_config how;
    std::uint64_t seed;
    int bits;
    extent steps;        ///< of training; 0: ranges alone
    std::string folder;  ///< of the checkpoint
    std::string key;     ///< of everything this is made from

    /// Samples that the ranges of a model without training steps are taken from.
    static constexpr extent observed_samples = 8;

    /// The stored form of `values` with a cache of constants. `saved` is called after every
    /// checkpoint. **Throws** stage_ended on a signal, tare::error when a loss is not finite.
    [[nodiscard]] stored_model run(const weights& values, const transformer_xl_config& config,
                                   std::span<const token> text,
                                   const std::function<void()>& saved) const;
};

}  // namespace tare::tool
