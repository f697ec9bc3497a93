#pragma once
// SPDX-License-Identifier: MIT
// The last rows that were pushed, oldest first. In the value reading rows are appended in place
// behind those that are there; the others describe the movement by an operation.

#include <algorithm>
#include <utility>

#include <tare/ops/roll.hpp>
#include <tare/readings/value.hpp>

namespace tare {

/// Up to `capacity` rows. No gradient reaches what is remembered.
template <class T>
class rolling_rows {
  public:
    constexpr rolling_rows() = default;
    constexpr explicit rolling_rows(extent capacity) : capacity_(capacity) {}

    /// The rows (n, d); a tensor that does not exist before the first push.
    [[nodiscard]] constexpr const T& rows() const noexcept { return rows_; }
    /// Appends rows (N, d) and forgets the oldest beyond the capacity.
    constexpr void push(const T& fresh) {
        rows_ = rows_.exists() ? apply(op::roll{capacity_}, rows_, detach(fresh))
                               : apply(op::roll{capacity_}, detach(fresh));
    }

  private:
    extent capacity_ = 0;
    T rows_;
};

/// Rows slide through a buffer of twice the capacity: each row is moved at most once more. What
/// rows() handed out stays as it was: places that somebody may see are never written again.
template <class Scalar>
class rolling_rows<basic_tensor<Scalar>> {
  public:
    rolling_rows() = default;
    explicit rolling_rows(extent capacity) : capacity_(capacity) {}
    /// A copy begins a buffer of its own: two histories must not append to one.
    rolling_rows(const rolling_rows& other) : capacity_(other.capacity_), rows_(other.rows_) {}
    rolling_rows(rolling_rows&&) noexcept = default;
    rolling_rows& operator=(rolling_rows other) noexcept {
        std::swap(capacity_, other.capacity_);
        std::swap(buffer_, other.buffer_);
        std::swap(rows_, other.rows_);
        std::swap(end_, other.end_);
        return *this;
    }

    [[nodiscard]] const basic_tensor<Scalar>& rows() const noexcept { return rows_; }
    /// **Throws** tare::error on rows of another length.
    void push(const basic_tensor<Scalar>& fresh) {
        require(fresh.shape().rank() == 2 &&
                    (!rows_.exists() || fresh.shape()[1] == rows_.shape()[1]),
                "rolling_rows: rows are ", fresh.shape(), " after ", rows_.shape(),
                "; they must be equally long");
        const extent width = fresh.shape()[1];
        const extent added = std::min(capacity_, fresh.shape()[0]);
        const extent held = rows_.exists() ? rows_.shape()[0] : 0;
        const extent kept = std::min(held, capacity_ - added);
        if (!buffer_.exists() || end_ + added > 2 * capacity_) {
            basic_tensor<Scalar> next(shape{2 * capacity_, width});
            if (kept > 0)
                std::copy_n(rows_.values().data() + (held - kept) * width, kept * width,
                            next.mutable_values().data());
            buffer_ = std::move(next);
            end_ = kept;
        }
        std::copy_n(fresh.values().data() + (fresh.shape()[0] - added) * width, added * width,
                    buffer_.mutable_values().data() + end_ * width);
        end_ += added;
        rows_ = buffer_.slice(end_ - kept - added, end_);
    }

  private:
    extent capacity_ = 0;
    basic_tensor<Scalar> buffer_;  ///< (2 capacity, d); rows_ is a part of it, or of none yet
    basic_tensor<Scalar> rows_;
    extent end_ = 0;
};

}  // namespace tare
