#pragma once
// SPDX-License-Identifier: MIT
// The tensor of the value reading: a shape and a handle to memory that xtensor's uvector owns
// (64-byte aligned, not zeroed). Copies share the elements; operations never write into their
// inputs, so sharing is invisible except to code that asks for a mutable view.

#include <algorithm>
#include <memory>
#include <span>

#include <xtensor/xstorage.hpp>

#include <tare/core/error.hpp>
#include <tare/core/pool.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/view.hpp>

namespace tare {

/// Row-major elements of type `Scalar` (float in use; double and a counting type in tests).
template <class Scalar>
class basic_tensor {
  public:
    using scalar_type = Scalar;
    using buffer_type = xt::uvector<Scalar, pool_allocator<Scalar>>;

    basic_tensor() = default;

    /// Uninitialised elements.
    explicit basic_tensor(const shape& extents)
        : extents_(extents),
          buffer_(std::make_shared<buffer_type>(static_cast<std::size_t>(extents.size()))),
          begin_(buffer_->data()) {}

    /// Every element `value`.
    basic_tensor(const shape& extents, Scalar value) : basic_tensor(extents) {
        std::fill_n(begin_, extents_.size(), value);
    }

    /// Copies `values`. Throws unless their number is the shape's size.
    basic_tensor(const shape& extents, std::span<const Scalar> values) : basic_tensor(extents) {
        require(static_cast<extent>(values.size()) == extents.size(), "tensor: shape ", extents,
                " needs ", extents.size(), " values, got ", values.size());
        std::copy(values.begin(), values.end(), begin_);
    }

    [[nodiscard]] const tare::shape& shape() const noexcept { return extents_; }
    [[nodiscard]] extent size() const noexcept { return extents_.size(); }
    /// False for a default-constructed tensor, which stands for "none".
    [[nodiscard]] bool exists() const noexcept { return buffer_ != nullptr; }

    [[nodiscard]] std::span<const Scalar> values() const noexcept {
        return {begin_, static_cast<std::size_t>(size())};
    }
    /// Mutable elements: also seen by every copy of this handle.
    [[nodiscard]] std::span<Scalar> mutable_values() noexcept {
        return {begin_, static_cast<std::size_t>(size())};
    }
    [[nodiscard]] array_view<const Scalar> view() const noexcept { return {begin_, extents_}; }
    [[nodiscard]] array_view<Scalar> mutable_view() noexcept { return {begin_, extents_}; }

    /// The same elements under another shape of the same size.
    [[nodiscard]] basic_tensor reshaped(const tare::shape& extents) const {
        require(extents.size() == size(), "tensor: ", extents_, " has ", size(),
                " elements and cannot become ", extents);
        basic_tensor out = *this;
        out.extents_ = extents;
        return out;
    }
    /// Entries [begin, end) along the first axis, sharing the elements.
    [[nodiscard]] basic_tensor slice(extent begin, extent end) const {
        require(extents_.rank() > 0 && 0 <= begin && begin <= end && end <= extents_[0],
                "tensor: slice [", begin, ",", end, ") of ", extents_, " does not exist");
        std::array<extent, tare::shape::max_rank> e{};
        std::copy(extents_.extents().begin(), extents_.extents().end(), e.begin());
        const extent inner = extents_[0] == 0 ? 0 : size() / extents_[0];
        e[0] = end - begin;
        basic_tensor out = *this;
        out.extents_ = tare::shape(std::span<const extent>(e.data(), extents_.rank()));
        out.begin_ += begin * inner;
        return out;
    }
    /// A tensor of its own with the same elements.
    [[nodiscard]] basic_tensor clone() const { return basic_tensor(extents_, values()); }

    /// Same memory: what makes two parameters one stored tensor.
    [[nodiscard]] const void* identity() const noexcept { return begin_; }

  private:
    tare::shape extents_;
    std::shared_ptr<buffer_type> buffer_;
    Scalar* begin_ = nullptr;
};

using tensor = basic_tensor<float>;

}  // namespace tare
