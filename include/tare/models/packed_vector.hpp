#pragma once
// SPDX-License-Identifier: MIT
// A bias beside a packed weight: floats, or, where pruning left few, those that are not zero.

#include <cstddef>
#include <memory>
#include <utility>

#include <tare/kernels/masked_vector.hpp>
#include <tare/nn/linear_layer.hpp>
#include <tare/readings/value.hpp>

namespace tare {

/// A vector of values that are read in order. Copies share their memory.
class packed_vector {
  public:
    packed_vector() = default;
    /// Keeps `values` as they are, or without their zeros where that takes at most three quarters.
    packed_vector(const tensor& values) : extents_(values.shape()), dense_(values) {
        kernels::masked_vector masked(values.values());
        if (masked.bytes() > values.values().size_bytes() / 4 * 3) return;
        masked_ = std::make_shared<const kernels::masked_vector>(std::move(masked));
        dense_ = {};
    }

    [[nodiscard]] bool exists() const noexcept { return dense_.exists() || masked_ != nullptr; }
    [[nodiscard]] const tare::shape& shape() const noexcept { return extents_; }
    [[nodiscard]] extent size() const noexcept { return extents_.size(); }
    [[nodiscard]] std::size_t bytes() const {
        return masked_ ? masked_->bytes() : dense_.values().size_bytes();
    }
    /// Null where all values are held.
    [[nodiscard]] const kernels::masked_vector* masked() const noexcept { return masked_.get(); }
    /// All values, shared or unpacked.
    [[nodiscard]] tensor decoded() const {
        if (!masked_) return dense_;
        tensor out(extents_);
        masked_->copy_to(out.mutable_values());
        return out;
    }

  private:
    tare::shape extents_;
    tensor dense_;
    std::shared_ptr<const kernels::masked_vector> masked_;
};

}  // namespace tare
