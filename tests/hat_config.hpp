#pragma once
// SPDX-License-Identifier: MIT
// HAT's networks as the manifest of the fixtures in daq/ describes them.

#include <span>
#include <vector>

#include <tare/models/hat_network.hpp>

#include "golden_manifest.hpp"

namespace tare::testing {

/// The super network that a set of parameters belongs to.
inline hat_super_network super_network(const nlohmann::json& info) {
    const nlohmann::json& args = info.at("args");
    hat_super_network s;
    s.source_vocabulary = info.at("src_vocab");
    s.target_vocabulary = info.at("tgt_vocab");
    s.encoder_width = args.at("encoder_embed_dim");
    s.decoder_width = args.at("decoder_embed_dim");
    s.encoder_layers = args.at("encoder_layers");
    s.decoder_layers = args.at("decoder_layers");
    s.encoder_inner = args.at("encoder_ffn_embed_dim");
    s.decoder_inner = args.at("decoder_ffn_embed_dim");
    s.qkv_width = args.at("qkv_dim");
    s.share_embeddings = args.at("share_all_embeddings");
    s.tie_output = args.at("share_decoder_input_output_embed");
    s.pre_norm = args.at("encoder_normalize_before");
    s.decoder_final_norm = !args.at("no_decoder_final_norm").get<bool>();
    s.mask_target_padding = false;
    s.original_scaling = args.at("vocab_original_scaling");
    return s;
}

/// A network under the names of its configuration.
inline hat_network hat_network_of(const nlohmann::json& config) {
    const auto list = [](const nlohmann::json& of) {
        return layer_list(std::span<const extent>(of.get<std::vector<extent>>()));
    };
    const nlohmann::json& e = config.at("encoder");
    const nlohmann::json& d = config.at("decoder");
    hat_network n;
    n.encoder_width = e.at("encoder_embed_dim");
    n.encoder_layers = e.at("encoder_layer_num");
    n.encoder_inner = list(e.at("encoder_ffn_embed_dim"));
    n.encoder_heads = list(e.at("encoder_self_attention_heads"));
    n.decoder_width = d.at("decoder_embed_dim");
    n.decoder_layers = d.at("decoder_layer_num");
    n.decoder_inner = list(d.at("decoder_ffn_embed_dim"));
    n.decoder_self_heads = list(d.at("decoder_self_attention_heads"));
    n.decoder_cross_heads = list(d.at("decoder_ende_attention_heads"));
    n.decoder_arbitrary = list(d.at("decoder_arbitrary_ende_attn"));
    return n;
}

}  // namespace tare::testing
