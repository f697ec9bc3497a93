#pragma once
// SPDX-License-Identifier: MIT
// Checks at the public entries of the kernels: sizes that must agree, views that are sound, outputs
// that do not half overlap their inputs. Each throws tare::error and names function and argument.

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string_view>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/view.hpp>

namespace tare::kernels::detail {

/// A view has extents of at least 0, rows at least `columns` apart, and memory if it has elements.
template <class T>
void require_view(std::string_view function, std::string_view name, matrix_view<T> v) {
    if (v.rows < 0 || v.columns < 0)
        fail(function, ": ", name, " has the extents (", v.rows, ",", v.columns,
             "); none may be negative");
    if (v.rows > 1 && v.stride < v.columns)
        fail(function, ": the rows of ", name, " are ", v.stride, " elements apart but have ",
             v.columns, " columns; pass a stride of at least ", v.columns);
    if (v.data == nullptr && v.rows > 0 && v.columns > 0)
        fail(function, ": ", name, " is (", v.rows, ",", v.columns,
             ") without memory; pass a view of existing elements");
    constexpr extent reach = std::numeric_limits<extent>::max() / static_cast<extent>(sizeof(T));
    const extent step = v.rows > 1 ? v.stride : v.columns;
    if (v.columns > 0 && (v.columns > reach || v.rows - 1 > (reach - v.columns) / step))
        fail(function, ": ", name, " is (", v.rows, ",", v.columns, ") with rows ", v.stride,
             " elements apart; its last element lies beyond what a 64-bit offset reaches");
}

/// Two matrices have the same shape.
template <class A, class B>
void require_same_shape(std::string_view function, std::string_view a_name, matrix_view<A> a,
                        std::string_view b_name, matrix_view<B> b) {
    if (a.rows != b.rows || a.columns != b.columns)
        fail(function, ": ", a_name, " is (", a.rows, ",", a.columns, ") and ", b_name, " is (",
             b.rows, ",", b.columns, "); the shapes must be equal. Resize ", b_name, " first");
}

/// A span has memory if it has elements.
template <class T>
void require_memory(std::string_view function, std::string_view name, std::span<T> v) {
    if (v.data() == nullptr && !v.empty())
        fail(function, ": ", name, " has ", v.size(),
             " elements without memory; pass a span of existing elements");
}

/// A span has the wanted size.
template <class T>
void require_size(std::string_view function, std::string_view name, std::span<T> v, extent wanted,
                  std::string_view reason) {
    if (static_cast<extent>(v.size()) != wanted)
        fail(function, ": ", name, " has ", v.size(), " elements where ", wanted,
             " are expected: ", reason);
    require_memory(function, name, v);
}

/// First and one-past-last byte of a view, for overlap tests.
struct byte_range {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
};
template <class T>
byte_range bytes_of(std::span<T> v) {
    const auto begin = reinterpret_cast<std::uintptr_t>(v.data());
    return {begin, begin + v.size_bytes()};
}
template <class T>
byte_range bytes_of(matrix_view<T> v) {
    if (v.rows == 0 || v.columns == 0) return {};
    const auto begin = reinterpret_cast<std::uintptr_t>(v.data);
    const auto elements = static_cast<std::size_t>((v.rows - 1) * v.stride + v.columns);
    return {begin, begin + elements * sizeof(T)};
}

/// Whether the two share a byte. An empty range shares none, wherever it points.
[[nodiscard]] constexpr bool share_bytes(const byte_range& a, const byte_range& b) noexcept {
    return std::max(a.begin, b.begin) < std::min(a.end, b.end);
}

/// The two share no byte.
template <class A, class B>
void require_apart(std::string_view function, std::string_view a_name, A a, std::string_view b_name,
                   B b) {
    if (share_bytes(bytes_of(a), bytes_of(b)))
        fail(function, ": ", b_name, " overlaps ", a_name, "; give it memory of its own");
}

/// An operand of a call with several outputs.
struct named_bytes {
    template <class V>
    named_bytes(std::string_view operand, V v) : name(operand), bytes(bytes_of(v)) {}
    std::string_view name;
    byte_range bytes;
};
/// No byte of what is written belongs to anything else that is written or read.
inline void require_all_apart(std::string_view function, std::initializer_list<named_bytes> written,
                              std::initializer_list<named_bytes> read) {
    const auto check = [&](const named_bytes& to, const named_bytes& other) {
        if (share_bytes(to.bytes, other.bytes))
            fail(function, ": ", to.name, " overlaps ", other.name, "; give it memory of its own");
    };
    for (const named_bytes* to = written.begin(); to != written.end(); ++to) {
        for (const named_bytes* other = written.begin(); other != to; ++other)
            check(*to, *other);
        for (const named_bytes& other : read)
            check(*to, other);
    }
}

/// The output is the input itself (same start, same steps) or shares no byte with it.
template <class T, class U>
void require_same_or_apart(std::string_view function, std::string_view in_name, std::span<T> in,
                           std::string_view out_name, std::span<U> out) {
    if (bytes_of(in).begin != bytes_of(out).begin)
        require_apart(function, in_name, in, out_name, out);
}
template <class T, class U>
void require_same_or_apart(std::string_view function, std::string_view in_name, matrix_view<T> in,
                           std::string_view out_name, matrix_view<U> out) {
    const bool same = in.data == out.data && (in.stride == out.stride || in.rows <= 1);
    if (!same) require_apart(function, in_name, in, out_name, out);
}

}  // namespace tare::kernels::detail
