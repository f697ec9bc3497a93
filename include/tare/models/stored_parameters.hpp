#pragma once
// SPDX-License-Identifier: MIT
// The parameter source of a stored model: what it holds, as floats.

#include <string_view>

#include <tare/models/stored_model.hpp>
#include <tare/nn/activation_point.hpp>
#include <tare/nn/parameters.hpp>

namespace tare {

/// The parameters and points of a stored model, as floats: transformer_xl<tensor> made from this
/// simulates the packed model. The stored model must outlive the source, not the model.
class stored_parameters {
  public:
    explicit stored_parameters(const stored_model& stored) : stored_(&stored) {}

    /// Throws on a missing tensor and on one of another shape.
    [[nodiscard]] tensor parameter(std::string_view label, const shape& extents,
                                   const initial&) const {
        const stored_tensor& found = stored_->at(label);
        require(found.extents == extents, "stored_model: ", label, " has shape ", found.extents,
                ", the model needs ", extents);
        return found.decode();
    }
    [[nodiscard]] activation_point<tensor> point(std::string_view label) const {
        if (stored_->how.bits == 32) return {};
        const auto found = stored_->points.find(label);
        require(found != stored_->points.end(), "stored_model: no range for the point ", label);
        return {stored_->how.bits, found->second.max_abs, found->second.inverse_scale};
    }

  private:
    const stored_model* stored_;
};

}  // namespace tare
