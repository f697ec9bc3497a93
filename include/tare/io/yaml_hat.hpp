#pragma once
// SPDX-License-Identifier: MIT
// HAT's configuration files: the sizes of a sub network, those of the super network, and the space
// that is searched. Files of training hold these beside settings of the program; only the network's
// keys are read then.
// Source: the keys of HAT's published configurations.

#include <string>
#include <vector>

#include <tare/io/yaml_map.hpp>
#include <tare/models/hat_network.hpp>
#include <tare/search/hat_space.hpp>

namespace tare::io {

namespace detail {

inline constexpr extent most_hat_size = extent{1} << 20;

/// A list of sizes with at least one entry; those of arbitrary attention may be -1.
template <class List>
void read_hat_list(yaml_map& map, const std::string& key, List& out) {
    const extent least = key.find("arbitrary") == std::string::npos ? 1 : -1;
    const std::vector<extent> numbers = map.integers(key, least, most_hat_size);
    if (numbers.empty() || numbers.size() > List::capacity)
        map.refuse(key, numbers.size(), " entries, expected 1 to ", List::capacity);
    out = List(std::span<const extent>(numbers));
}

}  // namespace detail

/// A sub network, from keys that end in "-subtransformer". With `alone` other keys are refused.
/// **Throws** tare::file_error naming file, line and key.
[[nodiscard]] inline hat_network read_hat_network(const yaml_document& document,
                                                  bool alone = true) {
    yaml_map map(document, document.root);
    const auto key = [](const char* what) { return message(what, "-subtransformer"); };
    const auto size = [&](const char* what) {
        return map.integer(key(what), 1, detail::most_hat_size);
    };
    const auto layers = [&](const char* what) {
        return static_cast<std::size_t>(
            map.integer(key(what), 1, translation_transformer_config::most_layers));
    };
    const auto list = [&](const char* what, std::size_t used, layer_list& out) {
        detail::read_hat_list(map, key(what), out);
        if (out.size() < used) map.refuse(key(what), out.size(), " entries for ", used, " layers");
    };
    hat_network n;
    n.encoder_width = size("encoder-embed-dim");
    n.decoder_width = size("decoder-embed-dim");
    n.encoder_layers = layers("encoder-layer-num");
    n.decoder_layers = layers("decoder-layer-num");
    list("encoder-ffn-embed-dim-all", n.encoder_layers, n.encoder_inner);
    list("decoder-ffn-embed-dim-all", n.decoder_layers, n.decoder_inner);
    list("encoder-self-attention-heads-all", n.encoder_layers, n.encoder_heads);
    list("decoder-self-attention-heads-all", n.decoder_layers, n.decoder_self_heads);
    list("decoder-ende-attention-heads-all", n.decoder_layers, n.decoder_cross_heads);
    list("decoder-arbitrary-ende-attn-all", n.decoder_layers, n.decoder_arbitrary);
    for (const extent choice : n.decoder_arbitrary)
        if (choice != -1 && choice != 1 && choice != 2)
            map.refuse(key("decoder-arbitrary-ende-attn-all"), choice,
                       " is no choice; it must be -1, 1 or 2");
    if (alone) map.finish();
    return n;
}

/// The super network of a training file; vocabularies are the caller's to set, since they are not
/// in it. Embeddings are shared with share-all-embeddings; the output is a table of its own unless
/// share-decoder-input-output-embed says otherwise.
/// **Throws** tare::file_error naming file, line and key.
[[nodiscard]] inline hat_super_network read_hat_super_network(const yaml_document& document) {
    yaml_map map(document, document.root);
    const auto size = [&](const char* key) { return map.integer(key, 1, detail::most_hat_size); };
    const auto flag = [&](const char* key) { return map.has(key) && map.flag(key); };
    hat_super_network s;
    s.encoder_width = size("encoder-embed-dim");
    s.decoder_width = size("decoder-embed-dim");
    s.encoder_inner = size("encoder-ffn-embed-dim");
    s.decoder_inner = size("decoder-ffn-embed-dim");
    const auto most = static_cast<extent>(translation_transformer_config::most_layers);
    s.encoder_layers = static_cast<std::size_t>(map.integer("encoder-layers", 1, most));
    s.decoder_layers = static_cast<std::size_t>(map.integer("decoder-layers", 1, most));
    s.qkv_width = size("qkv-dim");
    s.share_embeddings = flag("share-all-embeddings");
    s.tie_output = s.share_embeddings || flag("share-decoder-input-output-embed");
    s.pre_norm = flag("encoder-normalize-before");
    if (s.pre_norm != flag("decoder-normalize-before"))
        map.refuse("encoder-normalize-before", "both sides must normalize in one place");
    s.decoder_final_norm = !flag("no-decoder-final-norm");
    s.original_scaling = flag("vocab-original-scaling");
    return s;
}

/// The choices of a training or search file; keys that are missing keep the program's defaults.
/// **Throws** tare::file_error naming file, line and key.
[[nodiscard]] inline search::hat_space read_hat_space(const yaml_document& document) {
    yaml_map map(document, document.root);
    search::hat_space s;
    const auto choices = [&](const char* key, search::hat_space::choices& out) {
        const std::string whole = message(key, "-choice");
        if (map.has(whole)) detail::read_hat_list(map, whole, out);
    };
    choices("encoder-embed", s.encoder_width);
    choices("decoder-embed", s.decoder_width);
    choices("encoder-layer-num", s.encoder_layers);
    choices("decoder-layer-num", s.decoder_layers);
    choices("encoder-ffn-embed-dim", s.encoder_inner);
    choices("decoder-ffn-embed-dim", s.decoder_inner);
    choices("encoder-self-attention-heads", s.encoder_heads);
    choices("decoder-self-attention-heads", s.decoder_self_heads);
    choices("decoder-ende-attention-heads", s.decoder_cross_heads);
    choices("decoder-arbitrary-ende-attn", s.decoder_arbitrary);
    return s;
}

}  // namespace tare::io
