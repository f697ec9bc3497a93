#pragma once
// SPDX-License-Identifier: MIT
// Quantizing a model's weights: ranges from samples of a text, or training steps with quantization
// in the loop. Both go on where they were killed, from a checkpoint of everything that a pass
// changes, and from the key of all that it is made from.

#include <functional>
#include <optional>
#include <string>

#include <tare/micronet/compression.hpp>
#include <tare/models/stored_model.hpp>
#include <tare/text/batching.hpp>
#include <tare/train/quantization_options.hpp>

#include "language_model.hpp"

namespace tare::tool {

struct quantization_run {
    micronet::compression how;  ///< widths
    train::quantization_options options;
    std::optional<text::chunk_sampler> samples;  ///< none only where there are no passes
    extent passes = 0;                           ///< each over one step's samples
    std::function<double(extent)> rate;          ///< of the update that ends a pass; none: ranges
    std::string folder;                          ///< of the checkpoint; empty: nothing is kept
    std::string key;                             ///< a checkpoint of another key is passed over
    extent saves_every = 1;  ///< passes; those without an update save after each: it is little
    std::function<void(extent pass, double loss)> told;  ///< after each pass, its last loss in nats
    std::function<void()> saved;                         ///< after each checkpoint

    /// The stored form of `values` after all passes. **Throws** stage_ended on a signal,
    /// tare::error on widths and sizes that cannot be and where a loss is not finite,
    /// tare::file_error on a damaged checkpoint.
    [[nodiscard]] stored_model run(const weights& values,
                                   const transformer_xl_config& config) const;
};

}  // namespace tare::tool
