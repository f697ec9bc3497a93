#pragma once
// SPDX-License-Identifier: MIT
// The weights of HAT's super network, under its names, as a parameter source for sub networks: each
// parameter that a translation Transformer asks for is the leading block of a stored one, so
// gradients flow into the block alone and everything else gets none.
//     linear W[:out, :in]   embedding W[:, :width]   norm w[:width]   in_proj_weight: the q rows of
//     query, key or value (in this order), columns [:width]
// Source: Wang et al. 2020, section 3.1; names and shapes of its released models.

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include <tare/models/hat_network.hpp>
#include <tare/nn/linear_start.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/ops/block.hpp>

namespace tare {

/// T is a tensor or a variable; weights of variables belong to the tape of one step.
template <class T>
class hat_weights {
  public:
    /// Asks `source` for every parameter of the super network, by HAT's names.
    template <class Source>
    hat_weights(Source& source, const hat_super_network& sizes) : sizes_(sizes) {
        const auto table = [&](std::string_view label, extent words, extent width, bool padded) {
            initial start = initial::normal(1.0 / square_root(static_cast<double>(width)));
            if (padded) start.zero_row = translation_transformer_config{}.padding;
            ask(source, label, {words, width}, start);
        };
        const extent e = sizes.encoder_width;
        const extent d = sizes.decoder_width;
        table("encoder.embed_tokens.weight", sizes.source_vocabulary, e, true);
        if (!sizes.share_embeddings) {
            table("decoder.embed_tokens.weight", sizes.target_vocabulary, d, true);
            if (!sizes.tie_output) table("decoder.embed_out", sizes.target_vocabulary, d, false);
        }
        for (std::size_t i = 0; i < sizes.encoder_layers; ++i) {
            const std::string layer = message("encoder.layers.", i);
            attention(source, layer + ".self_attn", e, e);
            feed_forward(source, layer, e, sizes.encoder_inner);
        }
        for (std::size_t i = 0; i < sizes.decoder_layers; ++i) {
            const std::string layer = message("decoder.layers.", i);
            attention(source, layer + ".self_attn", d, d);
            attention(source, layer + ".encoder_attn", d, e);
            feed_forward(source, layer, d, sizes.decoder_inner);
        }
        if (sizes.pre_norm) norm(source, "encoder.layer_norm", e);
        if (sizes.pre_norm && sizes.decoder_final_norm) norm(source, "decoder.layer_norm", d);
    }

    /// What a sub network's parameter is cut from.
    /// **Throws** tare::error on a name or a block that the super network does not have.
    [[nodiscard]] T parameter(std::string_view label, const shape& extents, const initial&) const {
        const place at = place_of(label);
        const extent columns = extents.rank() == 2 ? extents[1] : 1;
        return block(stored(at.label), at.begin, extents[0], columns);
    }
    /// Calls visitor(name, parameter) for every parameter of the super network, by name.
    template <class Visitor>
    void visit(Visitor&& visitor) {
        for (auto& [label, parameter] : stored_)
            visitor(std::string_view(label), parameter);
    }
    [[nodiscard]] const hat_super_network& sizes() const noexcept { return sizes_; }

  private:
    struct place {
        std::string label;
        extent begin = 0;  ///< first row
    };

    template <class Source>
    void ask(Source& source, std::string_view label, const shape& extents, const initial& start) {
        stored_.emplace(std::string(label), source.parameter(label, extents, start));
    }
    template <class Source>
    void linear(Source& source, const std::string& label, extent in, extent out,
                const linear_initial& start) {
        ask(source, label + ".weight", {out, in}, start.weight);
        ask(source, label + ".bias", {out}, start.bias);
    }
    template <class Source>
    void norm(Source& source, const std::string& label, extent width) {
        ask(source, label + ".weight", {width}, initial::value(1.0));
        ask(source, label + ".bias", {width}, initial::zeros());
    }
    template <class Source>
    void attention(Source& source, const std::string& label, extent width, extent memory_width) {
        const extent q = sizes_.qkv_width;
        const linear_start start{true};
        if (width == memory_width) {
            // Xavier of the one matrix that all three are rows of.
            ask(source, label + ".in_proj_weight", {3 * q, width},
                start.output(width, 3 * q).weight);
        } else {
            ask(source, label + ".q_proj_weight", {q, width}, start.output(width, q).weight);
            for (const char* part : {".k_proj_weight", ".v_proj_weight"})
                ask(source, label + part, {q, memory_width}, start.output(memory_width, q).weight);
        }
        ask(source, label + ".in_proj_bias", {3 * q}, initial::zeros());
        linear(source, label + ".out_proj", q, width, start.output(q, width));
        norm(source, label + "_layer_norm", width);
    }
    template <class Source>
    void feed_forward(Source& source, const std::string& layer, extent width, extent inner) {
        const linear_start start{true};
        linear(source, layer + ".fc1", width, inner, start.feed_forward(width, inner));
        linear(source, layer + ".fc2", inner, width, start.feed_forward(inner, width));
        norm(source, layer + ".final_layer_norm", width);
    }

    [[nodiscard]] const T& stored(const std::string& label) const {
        const auto found = stored_.find(label);
        require(found != stored_.end(), "hat_weights: the super network has no parameter ", label);
        return found->second;
    }
    [[nodiscard]] place place_of(std::string_view label) const {
        if (label == "decoder.output_projection.weight") return {"decoder.embed_out"};
        const std::size_t at = label.find("_proj.");
        const bool projection = at != std::string_view::npos && at >= 2 && label[at - 2] == '.';
        if (!projection) return {std::string(label)};
        // "...self_attn.k_proj.weight"
        const std::string attention(label.substr(0, at - 2));
        const char which = label[at - 1];
        const extent begin = (which == 'q' ? 0 : which == 'k' ? 1 : 2) * sizes_.qkv_width;
        if (label.ends_with(".bias")) return {attention + ".in_proj_bias", begin};
        if (stored_.contains(attention + ".in_proj_weight"))
            return {attention + ".in_proj_weight", begin};
        return {attention + '.' + which + "_proj_weight"};
    }

    hat_super_network sizes_;
    std::map<std::string, T, std::less<>> stored_;
};

}  // namespace tare
