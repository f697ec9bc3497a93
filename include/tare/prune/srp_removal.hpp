#pragma once
// SPDX-License-Identifier: MIT
// Physical removal of pruned units from a translation Transformer: a narrower configuration and the
// parameters that go with it. What a unit's number was scaled with stays: sqrt(d) of embeddings,
// the scale of queries and the width of the position table are those of the network as created, of
// whose columns the kept ones are listed. Source: selectively regularised pruning (SRP, 2022).

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/core/short_text.hpp>
#include <tare/core/tensor.hpp>
#include <tare/models/translation_transformer_config.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/prune/unit_masks.hpp>

namespace tare::prune {

namespace detail {

inline extent kept_width(const unit_masks& masks, std::string_view label, extent width) {
    const auto kept = static_cast<extent>(masks.kept_of(label, width).size());
    require(kept >= 1, "removed_config: nothing of ", label,
            " is kept; a network needs a unit in every place. Keep more");
    return kept;
}
inline void narrow(translation_side& side, std::string_view label, const unit_masks& masks) {
    const std::vector<extent> kept = masks.kept_of(label, side.width);
    std::vector<token> columns;
    for (const extent c : kept)
        columns.push_back(side.position_columns.empty()
                              ? static_cast<token>(c)
                              : side.position_columns[static_cast<std::size_t>(c)]);
    side.embedding_scale = side.scale();
    side.position_width = side.table_of_positions();
    side.position_columns = std::move(columns);
    side.width = kept_width(masks, label, side.width);
}
/// The width that every head keeps, all heads together.
inline extent kept_in_heads(const unit_masks& masks, std::string_view label, extent width,
                            extent heads) {
    const extent all = kept_width(masks, label, width);
    std::vector<extent> in_head(static_cast<std::size_t>(heads), 0);
    for (const extent unit : masks.kept_of(label, width))
        ++in_head[static_cast<std::size_t>(unit / (width / heads))];
    for (const extent count : in_head)
        require(count * heads == all, "removed_config: the heads of ", label, " keep ", count,
                " and other numbers of units, ", all, " in all; they need one width");
    return all;
}
inline void narrow(attention_sizes& a, std::string_view label, const unit_masks& masks) {
    a.scale = a.factor();
    a.key_width = kept_in_heads(masks, join(label, "_qk_c"), a.key_width, a.heads);
    a.value_width = kept_in_heads(masks, join(label, "_vo_c"), a.value_width, a.heads);
}

}  // namespace detail

/// The sizes that are left. **Throws** tare::error on masks that do not fit, that leave nothing
/// somewhere (the published code then skips the layer, or attends to padding) or heads of unequal
/// width, and on tables shared by both sides, which lose different columns.
[[nodiscard]] inline translation_transformer_config
removed_config(translation_transformer_config config, const unit_masks& masks) {
    require(!config.share_embeddings, "removed_config: both sides share one table, but lose "
                                      "columns of their own; use tables of their own");
    detail::narrow(config.encoder, "encoder.embedding_c", masks);
    detail::narrow(config.decoder, "decoder.embedding_c", masks);
    for (std::size_t l = 0; l < config.encoder_layers.size(); ++l) {
        encoder_layer_sizes& layer = config.encoder_layers[l];
        const short_text label = join("encoder.layers.", l);
        detail::narrow(layer.self, join(label, ".self_attn"), masks);
        layer.inner = detail::kept_width(masks, join(label, ".fc_c"), layer.inner);
    }
    for (std::size_t l = 0; l < config.decoder_layers.size(); ++l) {
        decoder_layer_sizes& layer = config.decoder_layers[l];
        const short_text label = join("decoder.layers.", l);
        detail::narrow(layer.self, join(label, ".self_attn"), masks);
        detail::narrow(layer.cross, join(label, ".encoder_attn"), masks);
        layer.inner = detail::kept_width(masks, join(label, ".fc_c"), layer.inner);
    }
    config.check();
    return config;
}

/// Parameters by name: a source for models. It knows the widths that layer norms were created with
/// (nn/srp_layer_norm.hpp).
class removed_parameters {
  public:
    explicit removed_parameters(const translation_transformer_config& config)
        : encoder_created_(config.encoder.table_of_positions()),
          decoder_created_(config.decoder.table_of_positions()) {}

    void set(std::string_view label, tensor values) {
        tensors_.insert_or_assign(std::string(label), std::move(values));
    }
    /// **Throws** tare::error on a name that is not held and on another shape.
    [[nodiscard]] const tensor& at(std::string_view label) const {
        const auto found = tensors_.find(label);
        require(found != tensors_.end(), "removed_parameters: no parameter ", label);
        return found->second;
    }
    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial&) const {
        const tensor& found = at(label);
        require(found.shape() == extents, "removed_parameters: ", label, " is ", found.shape(),
                ", the model needs ", extents);
        return found;
    }
    [[nodiscard]] extent created_columns(std::string_view label) const {
        return label.starts_with("encoder.") ? encoder_created_ : decoder_created_;
    }
    [[nodiscard]] const std::map<std::string, tensor, std::less<>>& tensors() const noexcept {
        return tensors_;
    }

  private:
    std::map<std::string, tensor, std::less<>> tensors_;
    extent encoder_created_;
    extent decoder_created_;
};

/// What is left of a network.
struct removed_network {
    translation_transformer_config config;
    removed_parameters parameters;
};

/// Takes the pruned units out of a model of tensors or variables. The model is not changed.
/// **Throws** as removed_config().
template <class Model>
[[nodiscard]] removed_network remove_units(Model& model, const unit_masks& masks) {
    const translation_transformer_config config = removed_config(model.config(), masks);
    removed_parameters left(config);
    model.visit([&](std::string_view label, const auto& parameter) {
        if constexpr (requires { parameter.gradient(); })
            left.set(label, without_pruned(label, parameter.value(), masks));
        else
            left.set(label, without_pruned(label, parameter, masks));
    });
    return {config, std::move(left)};
}

}  // namespace tare::prune
