#pragma once
// SPDX-License-Identifier: MIT
// A packed model file as a model that runs: weights stay packed, products are integer dot products
// where activations are quantized (models/packed_weight.hpp).

#include <concepts>
#include <cstdint>
#include <string>

#include <tare/io/packed.hpp>
#include <tare/models/packed_parameters.hpp>
#include <tare/models/transformer_xl.hpp>

namespace tare::io {

/// A model ready to evaluate, and what the accounting needs.
struct packed_model {
    transformer_xl<tensor, packed_weight> model;
    micronet::compression how;      ///< widths, and what is left of each tensor
    std::int64_t payload_bits = 0;  ///< of the file
    std::size_t weight_bytes = 0;   ///< of the matrices in memory

    [[nodiscard]] const transformer_xl_config& config() const { return model.config(); }
};

/// Loads a packed file. `exact`: the losses are, bit for bit, those of the simulated model, at the
/// price of decoding every matrix for every product.
/// **Throws** tare::file_error on a file that is not a packed model or is damaged.
/// A template of one type: who only includes this header does not compile the model.
template <std::same_as<packed_weight> Weight = packed_weight>
[[nodiscard]] packed_model load_packed_model(const std::string& path, bool exact = false) {
    const packed_file file = load_packed(path);
    packed_parameters source(file.model, exact);
    packed_model out{transformer_xl<tensor, Weight>(source, file.model.config), file.model.how,
                     file.payload_bits, 0};
    out.model.visit([&out](std::string_view, const auto& parameter) {
        if constexpr (requires { parameter.bytes(); }) out.weight_bytes += parameter.bytes();
    });
    return out;
}

}  // namespace tare::io
