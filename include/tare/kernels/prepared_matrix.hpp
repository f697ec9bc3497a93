#pragma once
// SPDX-License-Identifier: MIT
// A right-hand matrix packed once for many products: the weights of a layer. The strips lie in
// memory as the tiles read them, [strip][k][strip_columns], so that a product copies nothing and a
// single row streams them at the read bandwidth of the cache that holds them.

#include <limits>

#include <tare/core/huge_pages.hpp>
#include <tare/kernels/matmul.hpp>

namespace tare::kernels {

/// The right-hand operand (K,N) of a product, packed.
class prepared_matrix {
  public:
    prepared_matrix() = default;

    /// Packs `b`, stored (K,N), or (N,K) with `transposed` (the layout of a linear layer).
    /// **Throws** tare::error on a null view, a short stride, or sizes beyond 64 bits.
    explicit prepared_matrix(matrix_view<const float> b, bool transposed = false) {
        detail::check_view("prepared_matrix", "b", b);
        const detail::right_operand right{b, transposed};
        depth_ = right.depth();
        columns_ = right.columns();
        if (depth_ == 0 || columns_ == 0) return;
        const extent strips = detail::strips_of(columns_);
        require(strips <= std::numeric_limits<extent>::max() / 4 / detail::strip_columns / depth_,
                "prepared_matrix: b of (", b.rows, ',', b.columns,
                ") has more bytes than 64 bits count once its columns are rounded up to ",
                detail::strip_columns, "; split it");
        strips_.resize(static_cast<std::size_t>(strips * depth_ * detail::strip_columns));
        detail::pack_strips(right, 0, depth_, 0, strips, strips_.data(),
                            depth_ * detail::strip_columns);
    }

    /// K: the length of each sum.
    [[nodiscard]] extent depth() const noexcept { return depth_; }
    /// N: the number of outputs.
    [[nodiscard]] extent columns() const noexcept { return columns_; }
    /// The packed strips, [ceil(N / strip_columns)][K][strip_columns], zeros behind column N.
    [[nodiscard]] std::span<const float> strips() const noexcept { return strips_; }

    /// The strips from column `first` on, a multiple of strip_columns.
    [[nodiscard]] const float* strips_of_columns(extent first, extent) const noexcept {
        return strips_.data() + first * depth_;
    }

    /// Column n of B as it was before packing, bit for bit. **Shapes** to (K); 0 <= n < N.
    void copy_column(extent n, std::span<float> to) const {
        TARE_ASSERT(0 <= n && n < columns_ && static_cast<extent>(to.size()) == depth_);
        const float* from = strips_.data() +
                            n / detail::strip_columns * depth_ * detail::strip_columns +
                            n % detail::strip_columns;
        for (std::size_t k = 0; k < to.size(); ++k, from += detail::strip_columns)
            to[k] = *from;
    }

  private:
    lasting_vector<float> strips_;
    extent depth_ = 0;
    extent columns_ = 0;
};

/// C = finish(op(A) B) or C = finish(C + op(A) B), like matmul on the matrix that was packed.
/// `how.transpose_b` must be false: the layout of B was told to the prepared_matrix.
template <epilogue Finish = no_epilogue>
void matmul(matrix_view<const float> a, const prepared_matrix& b, matrix_view<float> c,
            matmul_options how = {}, const Finish& finish = {}) {
    require(!how.transpose_b, "matmul: transpose_b came with a prepared matrix; say how b is "
                              "stored when preparing it: prepared_matrix(b, true)");
    const matrix_view<const float> right(b.strips().data(), b.depth(), b.columns());
    const matmul_sizes size = detail::check_matmul("matmul", a, right, c, how);
    detail::check_epilogue(finish, "matmul", c);
    if (size.m == 0 || size.n == 0) return;
    if (size.k == 0) {
        detail::finish_empty_sums(c, how.accumulate, finish);
        return;
    }
    const detail::packed_right packed{b.strips().data(), b.depth()};
    detail::for_each_cell(size, true, [&](detail::cell where) {
        detail::multiply_cell(where, size.k, {a, how.transpose_a}, packed, c, how.accumulate,
                              finish);
    });
}

}  // namespace tare::kernels
