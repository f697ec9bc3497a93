#pragma once
// SPDX-License-Identifier: MIT
// A stored model as a model that runs: weights stay packed, products are integer dot products where
// activations are quantized (models/packed_weight.hpp).

#include <concepts>

#include <tare/models/packed_parameters.hpp>
#include <tare/models/transformer_xl.hpp>

namespace tare {

/// Takes over the codes, the steps and the zeros' places; `stored` may go afterwards, as in
/// make_packed_model(io::load_packed(path).model). `exact`: the losses are, bit for bit, those of
/// the simulated model, at the price of decoding every matrix for every product.
/// **Throws** tare::error where a parameter is missing or of another shape than the sizes say.
/// A template of one type: who only includes this header does not compile the model.
template <std::same_as<packed_weight> Weight = packed_weight>
[[nodiscard]] transformer_xl<tensor, Weight> make_packed_model(const stored_model& stored,
                                                               bool exact = false) {
    packed_parameters source(stored, exact);
    return transformer_xl<tensor, Weight>(source, stored.config);
}

}  // namespace tare
