#pragma once
// SPDX-License-Identifier: MIT
// Masks of whole units of a translation Transformer, and what each parameter loses with them: rows
// (outputs) by one mask, columns (inputs) by another. Names are fairseq's:
//     embed_tokens, output_projection   columns: stream       layer norms    all: stream
//     fc1     rows: fc_c, columns: stream                     fc2     rows: stream, columns: fc_c
//     q_proj  rows: qk_c, columns: stream                     k_proj  rows: qk_c, columns: memory
//     v_proj  rows: vo_c, columns: memory                     out_proj  rows: stream, columns: vo_c
// where `stream` is the embedding_c of the parameter's side and `memory` that of what keys and
// values are made from: the encoder's in cross-attention. Biases go with the rows.
// Source: selectively regularised pruning of Transformers (SRP, 2022).

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/core/short_text.hpp>
#include <tare/core/tensor.hpp>
#include <tare/prune/mask.hpp>

namespace tare::prune {

/// Masks by the label of their connectivity vector; 1 where a unit is kept.
class unit_masks {
  public:
    void set(std::string_view label, mask keep) {
        masks_.insert_or_assign(std::string(label), std::move(keep));
    }
    /// Null where nothing is known of the label: all is kept.
    [[nodiscard]] const mask* find(std::string_view label) const {
        const auto found = masks_.find(label);
        return found == masks_.end() ? nullptr : &found->second;
    }
    /// The places that are kept, of `width`. **Throws** tare::error on a mask of another width.
    [[nodiscard]] std::vector<extent> kept_of(std::string_view label, extent width) const {
        const mask* const keep = find(label);
        require(keep == nullptr || static_cast<extent>(keep->size()) == width,
                "unit_masks: ", label, " masks ", keep == nullptr ? 0 : keep->size(), " units of ",
                width);
        std::vector<extent> out;
        for (extent i = 0; i < width; ++i)
            if (keep == nullptr || (*keep)[static_cast<std::size_t>(i)] != 0) out.push_back(i);
        return out;
    }

    /// All of them, by label.
    [[nodiscard]] const std::map<std::string, mask, std::less<>>& all() const noexcept {
        return masks_;
    }

  private:
    std::map<std::string, mask, std::less<>> masks_;
};

/// The labels of the masks of a parameter's rows and columns; empty where none applies.
struct parameter_units {
    short_text rows;
    short_text columns;
};

/// What masks the parameter of this name. **Throws** tare::error on a name of no known kind.
[[nodiscard]] inline parameter_units units_of(std::string_view parameter) {
    const auto ends = [&](std::string_view tail) { return parameter.ends_with(tail); };
    const short_text stream = join(parameter.substr(0, parameter.find('.')), ".embedding_c");
    if (ends(".embed_tokens.weight") || ends(".output_projection.weight")) return {{}, stream};
    if (parameter.find("layer_norm.") != std::string_view::npos) return {stream, {}};
    const bool bias = ends(".bias");
    require(bias || ends(".weight"), "units_of: ", parameter, " is neither a weight nor a bias");
    const std::string_view module = parameter.substr(0, parameter.rfind('.'));
    const std::size_t dot = module.rfind('.');
    const std::string_view parent = module.substr(0, dot);
    const std::string_view kind = module.substr(dot + 1);
    const short_text inner = join(parent, ".fc_c");
    const short_text query = join(parent, "_qk_c");
    const short_text value = join(parent, "_vo_c");
    const short_text memory =
        parent.ends_with("encoder_attn") ? short_text("encoder.embedding_c") : stream;
    const auto both = [bias](const short_text& rows, const short_text& columns) {
        return parameter_units{rows, bias ? short_text{} : columns};
    };
    if (kind == "fc1") return both(inner, stream);
    if (kind == "fc2") return both(stream, inner);
    if (kind == "q_proj") return both(query, stream);
    if (kind == "k_proj") return both(query, memory);
    if (kind == "v_proj") return both(value, memory);
    if (kind == "out_proj") return both(stream, value);
    fail("units_of: ", parameter,
         " is no parameter of a translation Transformer; expected "
         "fairseq's names");
}

namespace detail {

struct kept_places {
    std::vector<extent> rows;
    std::vector<extent> columns;
    shape extents;
    extent row_length = 1;
};
/// A parameter of one axis has rows of one value.
inline kept_places places_of(std::string_view parameter, const shape& extents,
                             const unit_masks& masks) {
    require(extents.rank() == 1 || extents.rank() == 2, "unit_masks: ", parameter, " is ", extents,
            "; expected one or two axes");
    const parameter_units units = units_of(parameter);
    const extent length = extents.rank() == 2 ? extents[1] : 1;
    kept_places p{masks.kept_of(units.rows, extents[0]), masks.kept_of(units.columns, length),
                  extents, length};
    const auto n = static_cast<extent>(p.rows.size());
    p.extents = extents.rank() == 1 ? shape{n} : shape{n, static_cast<extent>(p.columns.size())};
    return p;
}

}  // namespace detail

/// The parameter (or what an optimizer keeps beside it) without the rows and columns of pruned
/// units. **Throws** tare::error on a name of no known kind and masks that do not fit.
[[nodiscard]] inline tensor without_pruned(std::string_view parameter, const tensor& values,
                                           const unit_masks& masks) {
    const detail::kept_places p = detail::places_of(parameter, values.shape(), masks);
    tensor out(p.extents);
    auto to = out.mutable_values().begin();
    for (const extent r : p.rows)
        for (const extent c : p.columns)
            *to++ = values.values()[static_cast<std::size_t>(r * p.row_length + c)];
    return out;
}

/// Sets those rows and columns to zero where they are. **Throws** as without_pruned().
inline void clear_pruned(std::string_view parameter, const shape& extents, std::span<float> values,
                         const unit_masks& masks) {
    require(static_cast<extent>(values.size()) == extents.size(), "clear_pruned: ", values.size(),
            " values of ", parameter, ", which is ", extents);
    const detail::kept_places p = detail::places_of(parameter, extents, masks);
    std::vector<float> kept(values.size(), 0.0F);
    for (const extent r : p.rows)
        for (const extent c : p.columns) {
            const auto at = static_cast<std::size_t>(r * p.row_length + c);
            kept[at] = values[at];
        }
    std::copy(kept.begin(), kept.end(), values.begin());
}

}  // namespace tare::prune
