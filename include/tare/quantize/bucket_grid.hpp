#pragma once
// SPDX-License-Identifier: MIT
// A weight matrix cut into equal rectangles ("buckets"), each cut into columns of `block`
// neighbouring values of a row: what product quantization clusters. Within a bucket of height h,
// column j h + r holds the values [j block, (j + 1) block) of row r; buckets are numbered row by
// row of the grid. One bucket is plain product quantization.
//
// A convolution's weight (out, in, kh, kw) is the matrix (out, in kh kw).

#include <tare/core/aligned.hpp>
#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/view.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// The rectangles of a matrix. Made by whole_grid or daq_grid, which check it.
struct bucket_grid {
    extent rows = 0;
    extent columns = 0;
    extent block = 1;   ///< values of one column to cluster
    extent down = 1;    ///< buckets along the rows of the matrix
    extent across = 1;  ///< buckets along its columns

    [[nodiscard]] constexpr extent buckets() const noexcept { return down * across; }
    [[nodiscard]] constexpr extent height() const noexcept { return rows / down; }
    [[nodiscard]] constexpr extent width() const noexcept { return columns / across; }
    /// Columns to cluster, in one bucket and in all.
    [[nodiscard]] constexpr extent bucket_size() const noexcept {
        return height() * (width() / block);
    }
    [[nodiscard]] constexpr extent size() const noexcept { return rows * (columns / block); }

    /// Calls visit(row, column) for every column of a bucket, in order: where its values begin.
    template <class Visit>
    constexpr void for_each_column(extent bucket, Visit&& visit) const {
        const extent row = bucket / across * height();
        const extent column = bucket % across * width();
        for (extent j = 0; j < width(); j += block)
            for (extent r = 0; r < height(); ++r)
                visit(row + r, column + j);
    }
    friend bool operator==(const bucket_grid&, const bucket_grid&) = default;
};

/// The block length to use in rows of `columns` values: `block`, or the whole row where that is
/// shorter and divides it. **Throws** tare::error unless it divides the row.
[[nodiscard]] inline extent fitting_block(extent columns, extent block) {
    require(columns >= 1 && block >= 1, "bucket_grid: rows of ", columns, " values in blocks of ",
            block, "; both must be positive");
    if (block > columns && block % columns == 0) return columns;
    require(columns % block == 0, "bucket_grid: rows of ", columns,
            " values are no whole number of blocks of ", block,
            "; choose a block that divides the row");
    return block;
}

/// One bucket. **Throws** as fitting_block.
[[nodiscard]] inline bucket_grid whole_grid(extent rows, extent columns, extent block) {
    return {rows, columns, fitting_block(columns, block), 1, 1};
}

/// Throws unless the grid divides such a matrix.
inline void require_matrix(const char* who, const bucket_grid& grid, matrix_view<const float> w) {
    require(w.rows == grid.rows && w.columns == grid.columns, who, ": the matrix is ", w.shape(),
            ", the grid divides (", grid.rows, ',', grid.columns, ')');
}

/// The columns of one bucket, one after another. NaN and infinities count as zero.
/// **Shapes** w (rows, columns) of the grid, result (bucket_size, block).
/// **Throws** tare::error on a matrix of another shape.
[[nodiscard]] inline aligned_vector<float> bucket_columns(const bucket_grid& grid, extent bucket,
                                                          matrix_view<const float> w) {
    require_matrix("bucket_columns", grid, w);
    aligned_vector<float> out(static_cast<std::size_t>(grid.bucket_size() * grid.block));
    float* to = out.data();
    grid.for_each_column(bucket, [&](extent row, extent column) {
        const float* const from = w.data + row * w.stride + column;
        for (extent d = 0; d < grid.block; ++d)
            *to++ = is_finite(from[d]) ? from[d] : 0.0F;
    });
    return out;
}

}  // namespace tare
