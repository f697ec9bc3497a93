#pragma once
// SPDX-License-Identifier: MIT
// One mask bit per block of a matrix: the storage of block-sparse weights. Blocks are numbered row
// by row of blocks; a block at the lower or right edge has only the elements that exist. The stored
// array holds the marked blocks in order, each row by row.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/view.hpp>
#include <tare/lossless/bit_mask.hpp>
#include <tare/quantize/storage.hpp>

namespace tare {

/// How a matrix is cut into blocks of `block_rows` x `block_columns` elements.
struct block_grid {
    extent rows = 0;
    extent columns = 0;
    extent block_rows = 1;
    extent block_columns = 1;

    [[nodiscard]] constexpr extent down() const noexcept {
        return (rows + block_rows - 1) / block_rows;
    }
    [[nodiscard]] constexpr extent across() const noexcept {
        return (columns + block_columns - 1) / block_columns;
    }
    /// Number of blocks, whole or not.
    [[nodiscard]] constexpr std::size_t blocks() const noexcept {
        return static_cast<std::size_t>(down() * across());
    }
    /// The part of `matrix` that is block `b`.
    template <class T>
    [[nodiscard]] constexpr matrix_view<T> block(matrix_view<T> matrix, std::size_t b) const {
        const extent r = static_cast<extent>(b) / across() * block_rows;
        const extent c = static_cast<extent>(b) % across() * block_columns;
        return matrix.rows_between(r, std::min(rows, r + block_rows))
            .columns_between(c, std::min(columns, c + block_columns));
    }
    /// Elements of block `b`.
    [[nodiscard]] constexpr std::size_t size(std::size_t b) const noexcept {
        const extent r = static_cast<extent>(b) / across() * block_rows;
        const extent c = static_cast<extent>(b) % across() * block_columns;
        return static_cast<std::size_t>(std::min(block_rows, rows - r) *
                                        std::min(block_columns, columns - c));
    }
    /// Throws unless both block extents are at least 1 and the matrix extents at least 0.
    constexpr void check(const char* function) const {
        require(block_rows >= 1 && block_columns >= 1 && rows >= 0 && columns >= 0, function,
                ": a ", shape{std::max<extent>(rows, 0), std::max<extent>(columns, 0)},
                " matrix cannot be cut into blocks of ", block_rows, " x ", block_columns);
    }
};

namespace detail {

template <class T>
void check_blocks(const char* function, const block_grid& grid, const matrix_view<T>& matrix) {
    grid.check(function);
    require(matrix.rows == grid.rows && matrix.columns == grid.columns, function,
            ": the matrix is ", matrix.shape(), ", the grid is for ",
            shape{grid.rows, grid.columns});
}

}  // namespace detail

/// Marks the blocks that hold an element which is not zero.
template <class T>
[[nodiscard]] bit_mask nonzero_blocks(matrix_view<const T> matrix, const block_grid& grid) {
    detail::check_blocks("nonzero_blocks", grid, matrix);
    bit_mask mask(grid.blocks());
    for (std::size_t b = 0; b < mask.size(); ++b) {
        const matrix_view<const T> block = grid.block(matrix, b);
        bool any = false;
        for (extent r = 0; r < block.rows; ++r)
            for (const T value : block.row(r))
                any |= !(value == T{});
        mask.set(b, any);
    }
    return mask;
}

/// Elements in the marked blocks. Throws if the mask is not of this grid.
[[nodiscard]] inline std::size_t stored_elements(const bit_mask& mask, const block_grid& grid) {
    grid.check("stored_elements");
    require(mask.size() == grid.blocks(), "stored_elements: the mask has ", mask.size(),
            " bits, the grid ", grid.blocks(), " blocks");
    std::size_t elements = 0;
    for (std::size_t b = 0; b < mask.size(); ++b)
        if (mask[b]) elements += grid.size(b);
    return elements;
}

/// Writes the marked blocks, each row by row, to `out` of stored_elements(mask, grid) elements.
/// Throws if the sizes do not match.
template <class T>
void compress_blocks(matrix_view<const T> matrix, const bit_mask& mask, const block_grid& grid,
                     std::span<T> out) {
    detail::check_blocks("compress_blocks", grid, matrix);
    const std::size_t elements = stored_elements(mask, grid);
    require(out.size() == elements, "compress_blocks: out has ", out.size(),
            " elements, the marked blocks ", elements);
    T* to = out.data();
    for (std::size_t b = 0; b < mask.size(); ++b) {
        if (!mask[b]) continue;
        const matrix_view<const T> block = grid.block(matrix, b);
        for (extent r = 0; r < block.rows; ++r)
            to = std::ranges::copy(block.row(r), to).out;
    }
}

/// The inverse of compress_blocks; blocks without a mark become zero. Throws if sizes do not match.
template <class T>
void expand_blocks(std::span<const T> stored, const bit_mask& mask, const block_grid& grid,
                   matrix_view<T> out) {
    detail::check_blocks("expand_blocks", grid, out);
    const std::size_t elements = stored_elements(mask, grid);
    require(stored.size() == elements, "expand_blocks: ", stored.size(),
            " stored values, the marked blocks have ", elements);
    const T* from = stored.data();
    for (std::size_t b = 0; b < mask.size(); ++b) {
        const matrix_view<T> block = grid.block(out, b);
        for (extent r = 0; r < block.rows; ++r) {
            if (mask[b]) {
                std::copy_n(from, block.columns, block.row(r).begin());
                from += block.columns;
            } else {
                std::ranges::fill(block.row(r), T{});
            }
        }
    }
}

/// What a block-sparse matrix costs whose stored elements take `bits_per_value` bits each.
[[nodiscard]] inline storage_cost block_storage(const bit_mask& mask, const block_grid& grid,
                                                int bits_per_value) {
    return {.value_bits = static_cast<std::int64_t>(stored_elements(mask, grid)) * bits_per_value,
            .mask_bits = static_cast<std::int64_t>(mask.size())};
}

}  // namespace tare
