#pragma once
// SPDX-License-Identifier: MIT
// The sizes of the small translation models that the fixtures of fairseq belong to.

#include <string>

#include <tare/models/translation_transformer_config.hpp>

#include "golden_manifest.hpp"

namespace tare::testing {

/// transformer_iwslt_de_en in the sizes of the weights named `prefix` + fairseq's names.
inline translation_transformer_config fairseq_config(const io::npz_archive& golden,
                                                     const std::string& prefix = "w.") {
    const auto rows = [&](const char* name) { return array(golden, prefix + name).extents[0]; };
    const nlohmann::json about = golden_manifest("pet").at("config");
    std::size_t layers = 0;
    while (golden.contains(message(prefix, "encoder.layers.", layers, ".fc1.weight")))
        ++layers;
    return translation_transformer_config::uniform(
        rows("encoder.embed_tokens.weight"), rows("decoder.embed_tokens.weight"), layers,
        about.at("d"), rows("encoder.layers.0.fc1.weight"), about.at("heads"));
}

}  // namespace tare::testing
