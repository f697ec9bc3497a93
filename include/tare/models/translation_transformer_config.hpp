#pragma once
// SPDX-License-Identifier: MIT
// The sizes of a translation Transformer, as a constant-expression value. Every layer has sizes of
// its own, because searched and pruned networks do; uniform() makes the common case.

#include <cstddef>
#include <string_view>
#include <vector>

#include <tare/core/bounded_list.hpp>
#include <tare/core/error.hpp>
#include <tare/core/root.hpp>
#include <tare/core/shape.hpp>
#include <tare/ops/gather.hpp>

namespace tare {

/// The sizes of one attention. Widths are those of all heads together; they are independent of the
/// stream's width and of each other.
struct attention_sizes {
    extent heads = 4;
    extent key_width = 512;
    extent value_width = 512;
    double scale = 0.0;  ///< of the queries; 0 for (key_width / heads)^(-1/2)

    [[nodiscard]] constexpr double factor() const {
        return scale != 0.0
                   ? scale
                   : 1.0 / square_root(static_cast<double>(key_width) / static_cast<double>(heads));
    }
};

/// Which of its stored projections an attention uses for queries, keys and values: another choice
/// in each pass makes other layers of the same parameters.
struct attention_roles {
    enum class projection : unsigned char { q, k, v };
    projection query = projection::q;
    projection key = projection::k;
    projection value = projection::v;

    /// Whether projections change places; keys and values then need one width.
    [[nodiscard]] constexpr bool exchanged() const {
        return query != projection::q || key != projection::k || value != projection::v;
    }
};

struct encoder_layer_sizes {
    attention_sizes self;
    extent inner = 1024;  ///< of the feed-forward network
};

struct decoder_layer_sizes {
    attention_sizes self;
    attention_sizes cross;
    extent inner = 1024;
    /// Outputs of earlier encoder layers that cross-attention reads after the encoder's result: 0,
    /// or the 1 or 2 before the last ("arbitrary encoder-decoder attention" -1, 1, 2).
    extent earlier_states = 0;
};

/// What the two sides have each of their own.
struct translation_side {
    extent vocabulary = 0;
    extent width = 512;            ///< of the residual stream
    double embedding_scale = 0.0;  ///< 0 for width^(1/2)
    extent position_width = 0;     ///< of the table of positions; 0 for `width`
    /// Columns of that table that the stream has, in order; empty for the leading ones.
    std::vector<token> position_columns{};

    [[nodiscard]] constexpr double scale() const {
        return embedding_scale != 0.0 ? embedding_scale : square_root(static_cast<double>(width));
    }
    [[nodiscard]] constexpr extent table_of_positions() const {
        return position_width != 0 ? position_width : width;
    }
};

/// Sizes and variations of the model.
struct translation_transformer_config {
    static constexpr std::size_t most_layers = 12;
    static constexpr std::size_t most_passes = 4;

    translation_side encoder;
    translation_side decoder;
    bounded_list<encoder_layer_sizes, most_layers> encoder_layers;
    bounded_list<decoder_layer_sizes, most_layers> decoder_layers;
    /// The stream runs through all layers of a side once for each entry, self-attention in the
    /// roles given there (parameter sharing, PET).
    bounded_list<attention_roles, most_passes> encoder_passes{attention_roles{}};
    bounded_list<attention_roles, most_passes> decoder_passes{attention_roles{}};
    /// The two attentions of a decoder layer have one query projection, that of self-attention.
    bool share_queries = false;
    /// Outputs of encoder layers that `earlier_states` counts; those beyond the layers in use
    /// repeat the last. 0 for as many as there are layers.
    std::size_t encoder_states = 0;
    bool pre_norm = false;
    bool decoder_final_norm = true;  ///< with pre_norm: a last norm on the decoder's side too
    bool share_embeddings = false;   ///< one table for both sides and the output
    bool tie_output = true;          ///< the decoder's table is the output layer
    /// Padded words of the target are no keys. Positions before them never see them; false only
    /// changes what is computed at padding.
    bool mask_target_padding = true;
    bool zero_biases = false;  ///< how linear layers start (nn/linear_start.hpp)
    token padding = 1;
    token end = 2;

    [[nodiscard]] constexpr std::size_t states() const {
        return encoder_states != 0 ? encoder_states : encoder_layers.size();
    }

    /// The same sizes in every layer, keys and values as wide as the stream, separate vocabularies:
    /// transformer_iwslt_de_en with its own defaults.
    [[nodiscard]] static constexpr translation_transformer_config
    uniform(extent source_vocabulary, extent target_vocabulary, std::size_t layers = 6,
            extent width = 512, extent inner = 1024, extent heads = 4) {
        translation_transformer_config c;
        const attention_sizes attention{heads, width, width};
        c.encoder = {source_vocabulary, width};
        c.decoder = {target_vocabulary, width};
        c.encoder_layers = {layers, encoder_layer_sizes{attention, inner}};
        c.decoder_layers = {layers, decoder_layer_sizes{attention, attention, inner}};
        return c;
    }

    /// Throws on sizes that no model can have.
    constexpr void check() const {
        check_side("encoder", encoder);
        check_side("decoder", decoder);
        require(!encoder_layers.empty() && !decoder_layers.empty(),
                "translation_transformer: ", encoder_layers.size(), " encoder and ",
                decoder_layers.size(), " decoder layers; each side needs one");
        require(states() >= encoder_layers.size(), "translation_transformer: ", states(),
                " encoder states for ", encoder_layers.size(), " layers; every layer has one");
        require(!encoder_passes.empty() && !decoder_passes.empty(),
                "translation_transformer: ", encoder_passes.size(), " encoder and ",
                decoder_passes.size(), " decoder passes; each side needs one");
        for (const encoder_layer_sizes& layer : encoder_layers) {
            check_attention("encoder self-attention", layer.self);
            check_roles("encoder", layer.self, encoder_passes);
            positive("an encoder's inner width", layer.inner);
        }
        for (const decoder_layer_sizes& layer : decoder_layers) {
            check_attention("decoder self-attention", layer.self);
            check_attention("encoder-decoder attention", layer.cross);
            check_roles("decoder", layer.self, decoder_passes);
            require(
                !share_queries || (layer.self.key_width == layer.cross.key_width &&
                                   layer.self.heads == layer.cross.heads),
                "translation_transformer: a decoder layer shares queries between keys of width ",
                layer.self.key_width, " and ", layer.cross.key_width, ", ", layer.self.heads,
                " and ", layer.cross.heads, " heads; both must agree");
            positive("a decoder's inner width", layer.inner);
            require(layer.earlier_states >= 0 && layer.earlier_states <= 2 &&
                        layer.earlier_states < static_cast<extent>(states()),
                    "translation_transformer: a decoder layer reads ", layer.earlier_states,
                    " earlier states of an encoder that has ", states(),
                    " in all; 0 to 2 can be read");
        }
        require(!share_embeddings || (tie_output && encoder.vocabulary == decoder.vocabulary),
                "translation_transformer: shared embeddings need one vocabulary (",
                encoder.vocabulary, " and ", decoder.vocabulary, ") and a tied output");
        require(padding >= 0 && padding < encoder.vocabulary && padding < decoder.vocabulary,
                "translation_transformer: padding ", padding, " is not in both vocabularies");
    }

  private:
    static constexpr void positive(std::string_view what, extent value) {
        require(value >= 1 && value <= (extent{1} << 30), "translation_transformer: ", what, " is ",
                value, "; it must be from 1 to 2^30");
    }
    static constexpr void check_side(std::string_view which, const translation_side& side) {
        positive("a vocabulary", side.vocabulary);
        positive("a width", side.width);
        if (side.position_columns.empty())
            require(side.table_of_positions() >= side.width, "translation_transformer: the ", which,
                    " has width ", side.width, " and positions of width ",
                    side.table_of_positions());
        else
            require(static_cast<extent>(side.position_columns.size()) == side.width,
                    "translation_transformer: the ", which, " has width ", side.width,
                    " and lists ", side.position_columns.size(), " columns of its positions");
    }
    static constexpr void check_roles(std::string_view which, const attention_sizes& a,
                                      const bounded_list<attention_roles, most_passes>& passes) {
        for (const attention_roles& roles : passes)
            require(!roles.exchanged() || a.key_width == a.value_width,
                    "translation_transformer: the ", which, " exchanges projections of width ",
                    a.key_width, " and ", a.value_width, "; they must be of one width");
    }
    static constexpr void check_attention(std::string_view which, const attention_sizes& a) {
        positive("a number of heads", a.heads);
        positive("a key width", a.key_width);
        positive("a value width", a.value_width);
        require(a.key_width % a.heads == 0 && a.value_width % a.heads == 0,
                "translation_transformer: ", which, " has ", a.heads, " heads for widths ",
                a.key_width, " and ", a.value_width, "; they must divide both");
    }
};

}  // namespace tare
