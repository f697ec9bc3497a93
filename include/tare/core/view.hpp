#pragma once
// SPDX-License-Identifier: MIT
// Plain views that kernels take: a pointer, two extents and a row stride. They own nothing and
// check nothing; public entries check.

#include <span>
#include <type_traits>

#include <tare/core/shape.hpp>

namespace tare {

/// A row-major matrix in somebody else's memory: element (r, c) is data[r * stride + c].
template <class T>
struct matrix_view {
    T* data = nullptr;
    extent rows = 0;
    extent columns = 0;
    extent stride = 0;  ///< elements from one row to the next, at least `columns`

    constexpr matrix_view() = default;
    constexpr matrix_view(T* data_, extent rows_, extent columns_)
        : matrix_view(data_, rows_, columns_, columns_) {}
    constexpr matrix_view(T* data_, extent rows_, extent columns_, extent stride_)
        : data(data_), rows(rows_), columns(columns_), stride(stride_) {}
    /// A mutable view serves where a constant one is asked for.
    template <class U>
        requires(std::is_same_v<const U, T>)
    constexpr matrix_view(matrix_view<U> other)
        : matrix_view(other.data, other.rows, other.columns, other.stride) {}

    constexpr T& operator()(extent r, extent c) const { return data[r * stride + c]; }
    [[nodiscard]] constexpr std::span<T> row(extent r) const {
        return {data + r * stride, static_cast<std::size_t>(columns)};
    }
    /// Rows [begin, end).
    [[nodiscard]] constexpr matrix_view rows_between(extent begin, extent end) const {
        return {data + begin * stride, end - begin, columns, stride};
    }
    /// Columns [begin, end).
    [[nodiscard]] constexpr matrix_view columns_between(extent begin, extent end) const {
        return {data + begin, rows, end - begin, stride};
    }
    [[nodiscard]] constexpr tare::shape shape() const { return tare::shape{rows, columns}; }
};

/// A dense row-major tensor in somebody else's memory. A null pointer says "not wanted" where an
/// output is optional.
template <class T>
struct array_view {
    T* data = nullptr;
    tare::shape extents;

    constexpr array_view() = default;
    constexpr array_view(T* data_, const tare::shape& extents_) : data(data_), extents(extents_) {}
    template <class U>
        requires(std::is_same_v<const U, T>)
    constexpr array_view(const array_view<U>& other) : data(other.data), extents(other.extents) {}

    [[nodiscard]] constexpr extent size() const noexcept { return extents.size(); }
    [[nodiscard]] constexpr std::span<T> span() const noexcept {
        return {data, data == nullptr ? 0 : static_cast<std::size_t>(extents.size())};
    }
    /// All axes but the last as rows.
    [[nodiscard]] constexpr matrix_view<T> matrix() const noexcept {
        return {data, extents.rows(), extents.columns()};
    }
    constexpr T& operator[](extent i) const { return data[i]; }
    explicit constexpr operator bool() const noexcept { return data != nullptr; }
};

}  // namespace tare
