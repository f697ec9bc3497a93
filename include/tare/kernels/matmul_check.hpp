#pragma once
// SPDX-License-Identifier: MIT
// What every matrix product takes and refuses: the options, and the checks of its public entries.
// A view is refused when it is null though not empty, when its stride is below its columns, or when
// its last element lies beyond what 64-bit byte offsets reach; an output is refused when it shares
// an element with an input.

#include <limits>
#include <string_view>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/view.hpp>

namespace tare::kernels {

/// How a product C = op(A) op(B) reads its operands and writes its result.
///
/// For a linear layer y = x W^T with weights (out, in):
///     forward             matmul(x, w, y, {.transpose_b = true})
///     gradient of x       matmul(dy, w, dx)
///     gradient of w       matmul(dy, x, dw, {.transpose_a = true, .accumulate = true})
struct matmul_options {
    bool transpose_a = false;  ///< op(A) = A^T: `a` holds (K,M)
    bool transpose_b = false;  ///< op(B) = B^T: `b` holds (N,K)
    bool accumulate = false;   ///< C += op(A) op(B) instead of C =
};

/// The three sizes of a product: C (m,n) = op(A) (m,k) op(B) (k,n).
struct matmul_sizes {
    extent m = 0;
    extent n = 0;
    extent k = 0;
};

namespace detail {

/// Rows that a product of `rows` rows counts when its work is estimated: the first few wait for the
/// weights, which beyond the second cache arrive in the time of five. Threads help them more than
/// their arithmetic says, for the caches of several cores may hold what one does not.
constexpr extent rows_of_work(extent rows) {
    return rows < 5 ? 5 : rows;
}

/// Throws unless `v` can be walked: extents, stride, pointer and reach. `T` may be any scalar.
template <class T>
void check_view(std::string_view function, std::string_view name, matrix_view<T> v) {
    require(v.rows >= 0 && v.columns >= 0, function, ": ", name, " has the negative extents (",
            v.rows, ',', v.columns, ")");
    if (v.rows == 0 || v.columns == 0) return;
    require(v.data != nullptr, function, ": ", name, " is (", v.rows, ',', v.columns,
            ") but its pointer is null; point it at memory of that size");
    // The stride of a single row is never used.
    const extent stride = v.rows == 1 ? v.columns : v.stride;
    require(stride >= v.columns, function, ": ", name, " is (", v.rows, ',', v.columns,
            ") with stride ", v.stride, "; the stride must be at least the number of columns");
    const extent reach = std::numeric_limits<extent>::max() / static_cast<extent>(sizeof(T));
    require(v.columns <= reach && v.rows - 1 <= (reach - v.columns) / stride, function, ": ", name,
            " is (", v.rows, ',', v.columns, ") with stride ", v.stride,
            "; its last element lies beyond what a 64-bit offset reaches");
}

/// True when the two views share an element. Exact for equal strides (two column ranges of one
/// matrix do not overlap); different strides count as overlapping as soon as their ranges do.
template <class T, class U>
[[nodiscard]] bool overlap(matrix_view<T> x, matrix_view<U> y) {
    if (x.rows == 0 || x.columns == 0 || y.rows == 0 || y.columns == 0) return false;
    using address = const volatile std::remove_const_t<T>*;
    const address x_begin = x.data;
    const address y_begin = y.data;
    const address x_end = x_begin + (x.rows - 1) * x.stride + x.columns;
    const address y_end = y_begin + (y.rows - 1) * y.stride + y.columns;
    if (!(x_begin < y_end && y_begin < x_end)) return false;
    if (x.rows == 1 && y.rows == 1) return true;
    const extent stride = x.rows == 1 ? y.stride : x.stride;
    if ((y.rows > 1 && y.stride != stride) || x.columns > stride || y.columns > stride) return true;
    // y starts `row` rows and `column` columns behind x; where its rows reach past the stride they
    // come back on the next row of x.
    const extent distance = y_begin - x_begin;
    extent row = distance / stride;
    if (row * stride > distance) --row;
    const extent column = distance - row * stride;
    const auto rows_meet = [&](extent first) { return first < x.rows && first + y.rows > 0; };
    return (column < x.columns && rows_meet(row)) ||
           (column + y.columns > stride && rows_meet(row + 1));
}

/// Checks the operands of one product and returns its sizes.
template <class T>
matmul_sizes check_matmul(std::string_view function, matrix_view<const T> a, matrix_view<const T> b,
                          matrix_view<T> c, matmul_options how) {
    check_view(function, "a", a);
    check_view(function, "b", b);
    check_view(function, "c", c);
    const extent m = how.transpose_a ? a.columns : a.rows;
    const extent k = how.transpose_a ? a.rows : a.columns;
    const extent b_k = how.transpose_b ? b.columns : b.rows;
    const extent n = how.transpose_b ? b.rows : b.columns;
    if (k != b_k) {
        const extent other_b = how.transpose_b ? b.rows : b.columns;
        const std::string_view hint =
            k == other_b
                ? (how.transpose_b ? "Did you mean no transpose_b?" : "Did you mean transpose_b?")
            : m == b_k
                ? (how.transpose_a ? "Did you mean no transpose_a?" : "Did you mean transpose_a?")
                : "Neither transpose_a nor transpose_b alone makes them match";
        fail(function, ": a is (", a.rows, ',', a.columns, how.transpose_a ? ") transposed" : ")",
             ", b is (", b.rows, ',', b.columns, how.transpose_b ? ") transposed" : ")",
             "; inner sizes must match (", k, " vs ", b_k, "). ", hint);
    }
    require(c.rows == m && c.columns == n, function, ": a is (", a.rows, ',', a.columns,
            how.transpose_a ? ") transposed" : ")", ", b is (", b.rows, ',', b.columns,
            how.transpose_b ? ") transposed" : ")", ", so c must be (", m, ',', n, "), but it is (",
            c.rows, ',', c.columns, ")");
    require(!overlap(c, a), function,
            ": c overlaps a; a product cannot be computed in place, give c memory of its own");
    require(!overlap(c, b), function,
            ": c overlaps b; a product cannot be computed in place, give c memory of its own");
    return {m, n, k};
}

}  // namespace detail

}  // namespace tare::kernels
