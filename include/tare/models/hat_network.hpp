#pragma once
// SPDX-License-Identifier: MIT
// The networks of HAT: one super network, and the sub networks that use leading blocks of its
// weights. Both become sizes of the one translation Transformer.
// Source: Wang et al. 2020, "HAT: Hardware-Aware Transformers", sections 3.1 and 3.2.

#include <algorithm>
#include <cstddef>

#include <tare/models/translation_transformer_config.hpp>

namespace tare {

/// A size for each layer.
using layer_list = bounded_list<extent, translation_transformer_config::most_layers>;

/// The largest network, which holds all weights.
struct hat_super_network {
    extent source_vocabulary = 0;
    extent target_vocabulary = 0;
    extent encoder_width = 640;
    extent decoder_width = 640;
    std::size_t encoder_layers = 6;
    std::size_t decoder_layers = 6;
    extent encoder_inner = 2048;
    extent decoder_inner = 2048;
    extent qkv_width = 512;  ///< of queries, keys and values, in every sub network
    bool share_embeddings = false;
    bool tie_output = false;
    bool pre_norm = false;
    bool decoder_final_norm = true;
    bool mask_target_padding = true;  ///< false: as released (see the configuration it becomes)
    bool original_scaling = false;  ///< embeddings times (super width)^(1/2), not (sub width)^(1/2)
};

/// A sub network. Lists have an entry for each layer in use, or more, which are ignored.
struct hat_network {
    extent encoder_width = 640;
    std::size_t encoder_layers = 6;
    layer_list encoder_inner;
    layer_list encoder_heads;
    extent decoder_width = 640;
    std::size_t decoder_layers = 6;
    layer_list decoder_inner;
    layer_list decoder_self_heads;
    layer_list decoder_cross_heads;
    /// Encoder-decoder attention: -1 reads the encoder's result, 1 the last but one layer's output
    /// too, 2 also the one before.
    layer_list decoder_arbitrary;

    friend constexpr bool operator==(const hat_network&, const hat_network&) = default;

    /// Throws unless every layer in use has its sizes.
    constexpr void check() const {
        const auto enough = [](const char* what, const layer_list& list, std::size_t layers) {
            require(list.size() >= layers, "hat_network: ", list.size(), " entries of ", what,
                    " for ", layers, " layers");
        };
        enough("encoder_inner", encoder_inner, encoder_layers);
        enough("encoder_heads", encoder_heads, encoder_layers);
        enough("decoder_inner", decoder_inner, decoder_layers);
        enough("decoder_self_heads", decoder_self_heads, decoder_layers);
        enough("decoder_cross_heads", decoder_cross_heads, decoder_layers);
        enough("decoder_arbitrary", decoder_arbitrary, decoder_layers);
        for (const extent choice : decoder_arbitrary)
            require(choice == -1 || choice == 1 || choice == 2, "hat_network: decoder_arbitrary ",
                    choice, "; it must be -1, 1 or 2");
    }
};

/// Earlier encoder states that a choice of encoder-decoder attention reads.
[[nodiscard]] constexpr extent earlier_states(extent arbitrary) {
    return std::max<extent>(arbitrary, 0);
}

/// The sizes of a sub network: those that its weights are cut to. Columns of positions are the
/// leading ones of the super network's table.
/// **Throws** tare::error on sizes that the super network does not have.
[[nodiscard]] constexpr translation_transformer_config
sub_network_config(const hat_super_network& all, const hat_network& sub) {
    sub.check();
    const auto within = [](const char* what, extent value, extent most) {
        require(value >= 1 && value <= most, "sub_network_config: ", what, " is ", value,
                "; the super network has ", most);
    };
    within("encoder_width", sub.encoder_width, all.encoder_width);
    within("decoder_width", sub.decoder_width, all.decoder_width);
    within("encoder_layers", static_cast<extent>(sub.encoder_layers),
           static_cast<extent>(all.encoder_layers));
    within("decoder_layers", static_cast<extent>(sub.decoder_layers),
           static_cast<extent>(all.decoder_layers));
    const auto side = [&all](extent vocabulary, extent width, extent super_width) {
        translation_side s;
        s.vocabulary = vocabulary;
        s.width = width;
        s.position_width = super_width;
        if (all.original_scaling) s.embedding_scale = square_root(static_cast<double>(super_width));
        return s;
    };
    translation_transformer_config c;
    c.encoder = side(all.source_vocabulary, sub.encoder_width, all.encoder_width);
    c.decoder = side(all.target_vocabulary, sub.decoder_width, all.decoder_width);
    const auto attention = [&all](extent heads) {
        return attention_sizes{heads, all.qkv_width, all.qkv_width};
    };
    for (std::size_t i = 0; i < sub.encoder_layers; ++i) {
        within("encoder_inner", sub.encoder_inner[i], all.encoder_inner);
        c.encoder_layers.push_back({attention(sub.encoder_heads[i]), sub.encoder_inner[i]});
    }
    for (std::size_t i = 0; i < sub.decoder_layers; ++i) {
        within("decoder_inner", sub.decoder_inner[i], all.decoder_inner);
        c.decoder_layers.push_back({attention(sub.decoder_self_heads[i]),
                                    attention(sub.decoder_cross_heads[i]), sub.decoder_inner[i],
                                    earlier_states(sub.decoder_arbitrary[i])});
    }
    c.encoder_states = all.encoder_layers;
    c.pre_norm = all.pre_norm;
    c.decoder_final_norm = all.decoder_final_norm;
    c.share_embeddings = all.share_embeddings;
    c.tie_output = all.tie_output || all.share_embeddings;
    c.mask_target_padding = all.mask_target_padding;
    c.zero_biases = true;
    c.check();
    return c;
}

}  // namespace tare
