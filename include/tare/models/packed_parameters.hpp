#pragma once
// SPDX-License-Identifier: MIT
// Packed weights out of a stored model: which matrix multiplies the codes of which quantization
// point, and which multiplies floats.

#include <string>
#include <string_view>
#include <utility>

#include <tare/models/packed_operations.hpp>
#include <tare/models/stored_parameters.hpp>

namespace tare {

/// A stored model as a source of packed weights, float vectors and points. The stored model must
/// outlive the source, not the model.
class packed_parameters {
  public:
    /// `exact`: products give the bits of the simulated model, slowly.
    explicit packed_parameters(const stored_model& stored, bool exact = false)
        : stored_(&stored), plain_(stored), exact_(exact) {}

    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial& start) const {
        return plain_.parameter(label, extents, start);
    }
    [[nodiscard]] packed_weight weight(std::string_view label, const shape& extents,
                                       const initial&) const {
        const stored_tensor& found = stored_->at(label);
        require(found.extents == extents, "stored_model: ", label, " has shape ", found.extents,
                ", the model needs ", extents);
        return {found, input_of(label)};
    }
    [[nodiscard]] activation_point<tensor> point(std::string_view label) const {
        return plain_.point(label);
    }

  private:
    /// The quantization point whose output a weight multiplies; empty where it multiplies floats.
    [[nodiscard]] static std::string point_before(std::string_view label) {
        constexpr std::pair<std::string_view, std::string_view> pairs[] = {
            {".qkv.weight", ".ln1"},
            {".out.weight", ".attn_out"},
            {".fc.0.weight", ".ln2"},
            {".fc.3.weight", ".relu"}};
        for (const auto& [weight, before] : pairs)
            if (label.starts_with("layers.") && label.ends_with(weight))
                return message(label.substr(0, label.size() - weight.size()), before);
        const bool reads_state = label == "embed.layers.0.weight" ||
                                 label == "loss.clusters.weight" ||
                                 label.starts_with("loss.projections.");
        return reads_state ? "final" : "";
    }
    [[nodiscard]] packed_input input_of(std::string_view label) const {
        const auto found = stored_->points.find(point_before(label));
        if (found == stored_->points.end()) return {32, 1.0F, exact_};
        return {stored_->how.bits, found->second.inverse_scale, exact_};
    }

    const stored_model* stored_;
    stored_parameters plain_;
    bool exact_;
};

}  // namespace tare
