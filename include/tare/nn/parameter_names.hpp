#pragma once
// SPDX-License-Identifier: MIT
// What a stored tensor is, told by its name. Names are those of the published model, so that its
// files, pruning plans and accounts are read as they are; this is the one place that takes them
// apart.

#include <string_view>

namespace tare {

/// Gain or bias of a layer normalisation: "layers.0.ln1.weight",
/// "encoder.layers.0.self_attn_layer_norm.bias".
[[nodiscard]] constexpr bool is_normalization(std::string_view label) {
    return (label.find(".ln") != std::string_view::npos ||
            label.find("layer_norm.") != std::string_view::npos) &&
           !label.ends_with(".range");
}

/// The table of relative positions of a layer: "layers.0.pos_emb".
[[nodiscard]] constexpr bool is_position_table(std::string_view label) {
    return label.ends_with(".pos_emb");
}

/// Theta or lambda of the cache, trained or not.
[[nodiscard]] constexpr bool is_cache_scalar(std::string_view label) {
    return label.starts_with("loss.cache_");
}

/// Theta or lambda of a cache that is not trained: a constant of the configuration.
[[nodiscard]] constexpr bool is_cache_constant(std::string_view label) {
    return is_cache_scalar(label) && label.find("_inv_") == std::string_view::npos;
}

/// Range of a quantization point: "layers.0.qkv.range". Not a parameter of the model.
[[nodiscard]] constexpr bool is_range(std::string_view label) {
    return label.ends_with(".range");
}

}  // namespace tare
