#pragma once
// SPDX-License-Identifier: MIT
// Many products of equal sizes in one call: C_i = op(A_i) op(B_i), the matrices one step apart in
// memory. Attention heads are the typical case: with rows of H heads of width d, head h is the
// matrix (T,d) with stride H d that starts h d further on.

#include <tare/kernels/matmul.hpp>

namespace tare::kernels {

/// `count` matrices like `first`, each `step` elements after the one before; step 0 repeats one.
template <class T>
struct matrix_batch {
    matrix_view<T> first;
    extent count = 0;
    extent step = 0;

    constexpr matrix_batch() = default;
    constexpr matrix_batch(matrix_view<T> first_, extent count_, extent step_)
        : first(first_), count(count_), step(step_) {}
    /// A mutable batch serves where a constant one is asked for.
    template <class U>
        requires(std::is_same_v<const U, T>)
    constexpr matrix_batch(matrix_batch<U> other)
        : matrix_batch(other.first, other.count, other.step) {}

    [[nodiscard]] constexpr matrix_view<T> operator[](extent i) const {
        return {first.data + i * step, first.rows, first.columns, first.stride};
    }
};

namespace detail {

/// Throws unless the batch has `count` matrices, all within reach of a 64-bit offset.
template <class T>
void check_batch(std::string_view name, matrix_batch<T> batch, extent count) {
    require(batch.count == count, "matmul_batch: ", name, " holds ", batch.count,
            " matrices, c holds ", count, "; use step 0 to repeat one matrix");
    require(batch.step >= 0, "matmul_batch: ", name, " has the negative step ", batch.step);
    constexpr extent reach = std::numeric_limits<extent>::max() / 4 / extent{sizeof(T)};
    require(batch.step == 0 || count <= reach / batch.step, "matmul_batch: ", name, " has ", count,
            " matrices ", batch.step, " elements apart; the last lies beyond a 64-bit offset");
}

}  // namespace detail

/// C_i = op(A_i) op(B_i), or C_i += with `accumulate`, for each i.
/// **Shapes** a, b and c hold the same number of matrices, each as matmul takes them; a and b may
/// repeat one (step 0).
/// **Rounding/NaN, accuracy** as matmul on each; an epilogue sees the row and column within C_i.
/// **Throws** tare::error as matmul does; on different counts, negative steps, and when one C_i
/// overlaps another or an input of any product.
/// **Threads** share the products, or each product if there are fewer products than threads; the
/// same bits for any number.
template <epilogue Finish = no_epilogue>
void matmul_batch(matrix_batch<const float> a, matrix_batch<const float> b, matrix_batch<float> c,
                  matmul_options how = {}, const Finish& finish = {}) {
    detail::check_batch("c", c, c.count);
    require(c.count >= 0, "matmul_batch: c holds ", c.count, " matrices");
    detail::check_batch("a", a, c.count);
    detail::check_batch("b", b, c.count);
    if (c.count == 0) return;
    const matmul_sizes size =
        detail::check_matmul<float>("matmul_batch", a.first, b.first, c.first, how);
    detail::check_epilogue(finish, "matmul_batch", c.first);
    for (extent i = 0; i < c.count; ++i) {
        require(i == 0 || !detail::overlap(c.first, c[i]), "matmul_batch: output ", i,
                " overlaps output 0; the step of c is ", c.step);
        // Steps are constant, so the first output against every input, and every output against the
        // first input, tell of all equal distances.
        require(!detail::overlap(c.first, a[i]) && !detail::overlap(c[i], a.first),
                "matmul_batch: an output overlaps matrix ", i, " of a");
        require(!detail::overlap(c.first, b[i]) && !detail::overlap(c[i], b.first),
                "matmul_batch: an output overlaps matrix ", i, " of b");
    }
    const auto one = [&](extent i) { detail::multiply(size, a[i], b[i], c[i], how, finish); };
    if (c.count < threads()) {
        for (extent i = 0; i < c.count; ++i)
            one(i);
        return;
    }
    const extent work = size.m * size.n * size.k / detail::multiplications_per_unit + 1;
    parallel_for(c.count, 1, work, [&](extent begin, extent end) {
        for (extent i = begin; i < end; ++i)
            one(i);
    });
}

}  // namespace tare::kernels
