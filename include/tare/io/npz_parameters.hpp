#pragma once
// SPDX-License-Identifier: MIT
// Parameters of a model from the arrays of an .npz archive.

#include <string>
#include <string_view>

#include <tare/core/tensor.hpp>
#include <tare/io/npz.hpp>
#include <tare/nn/parameters.hpp>

namespace tare::io {

/// A parameter source that reads `prefix` + name. Throws on a missing array and on a wrong shape.
template <class Scalar>
class npz_parameters {
  public:
    npz_parameters(const npz_archive& archive, std::string prefix)
        : archive_(&archive), prefix_(std::move(prefix)) {}

    [[nodiscard]] basic_tensor<Scalar> parameter(std::string_view label, const shape& extents,
                                                 const initial&) const {
        const auto found = archive_->find(prefix_ + std::string(label));
        require(found != archive_->end(), "npz: the archive holds no parameter ", prefix_, label);
        require(found->second.extents == extents, "npz: ", prefix_, label, " has shape ",
                found->second.extents, ", the model needs ", extents);
        const std::vector<float> values = found->second.template as<float>();
        basic_tensor<Scalar> out(extents);
        std::copy(values.begin(), values.end(), out.mutable_values().begin());
        return out;
    }

  private:
    const npz_archive* archive_;
    std::string prefix_;
};

}  // namespace tare::io
