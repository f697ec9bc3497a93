#pragma once
// SPDX-License-Identifier: MIT
// The extents of a tensor, outermost first, row-major; usable in constant expressions.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>

#include <tare/core/error.hpp>

namespace tare {

/// Extents and sizes are signed: a difference of two sizes must not wrap.
using extent = std::int64_t;

/// Up to six extents. Rank 0 is a scalar (size 1).
class shape {
  public:
    static constexpr std::size_t max_rank = 6;

    constexpr shape() = default;
    constexpr shape(std::initializer_list<extent> extents)
        : shape(std::span<const extent>(extents.begin(), extents.size())) {}

    /// Throws on more than six extents, a negative one, or a product beyond 2^63 - 1.
    constexpr explicit shape(std::span<const extent> extents) : rank_(extents.size()) {
        require(extents.size() <= max_rank, "shape: ", extents, " has ", extents.size(),
                " extents; at most ", max_rank, " are supported");
        extent product = 1;
        for (std::size_t i = 0; i < rank_; ++i) {
            const extent e = extents[i];
            require(e >= 0, "shape: ", extents, " has the negative extent ", e);
            require(e == 0 || product <= std::numeric_limits<extent>::max() / e, "shape: ", extents,
                    " has more elements than a 64-bit integer counts");
            product *= e;
            extents_[i] = e;
        }
    }

    [[nodiscard]] constexpr std::size_t rank() const noexcept { return rank_; }
    [[nodiscard]] constexpr extent operator[](std::size_t axis) const {
        TARE_ASSERT(axis < rank_);
        return extents_[axis];
    }
    /// Last extent (1 for a scalar): the length of a row.
    [[nodiscard]] constexpr extent columns() const noexcept {
        return rank_ == 0 ? 1 : extents_[rank_ - 1];
    }
    /// Product of all extents but the last: the number of rows.
    [[nodiscard]] constexpr extent rows() const noexcept {
        extent product = 1;
        for (std::size_t i = 0; i + 1 < rank_; ++i)
            product *= extents_[i];
        return product;
    }
    /// Number of elements.
    [[nodiscard]] constexpr extent size() const noexcept { return rows() * columns(); }

    /// The same shape with another last extent.
    [[nodiscard]] constexpr shape with_columns(extent columns) const {
        shape out = *this;
        require(rank_ > 0, "shape: a scalar has no columns to replace");
        out.extents_[rank_ - 1] = columns;
        return out;
    }

    [[nodiscard]] constexpr std::span<const extent> extents() const noexcept {
        return {extents_.data(), rank_};
    }
    /// "(2,3)", "(5,)", "()".
    [[nodiscard]] std::string to_string() const {
        std::string out;
        detail::append(out, extents());
        return out;
    }

    friend constexpr bool operator==(const shape& a, const shape& b) noexcept {
        return a.rank_ == b.rank_ &&
               std::equal(a.extents_.begin(),
                          a.extents_.begin() + static_cast<std::ptrdiff_t>(a.rank_),
                          b.extents_.begin());
    }

  private:
    std::array<extent, max_rank> extents_{};
    std::size_t rank_ = 0;
};

}  // namespace tare
