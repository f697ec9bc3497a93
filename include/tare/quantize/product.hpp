#pragma once
// SPDX-License-Identifier: MIT
// Product quantization of a matrix: every column (`block` neighbouring values of a row) is replaced
// by the nearest entry of its bucket's codebook.
//     w[place(bucket, i) + d] = codebook[bucket k + codes[bucket, i]][d]
// Bits: ceil(log2 k) for each column, block times the width of an entry's values for each entry.
// Source: Jegou, Douze, Schmid 2011, "Product quantization for nearest neighbor search"; Stock,
// Joulin, Gribonval, Graham, Jegou 2020, "And the bit goes down", section 3.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <tare/core/aligned.hpp>
#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/core/view.hpp>
#include <tare/quantize/bucket_grid.hpp>
#include <tare/quantize/codebook.hpp>
#include <tare/quantize/k_means.hpp>
#include <tare/quantize/storage.hpp>

namespace tare {

/// Bits of one code: ceil(log2 entries), and 1 for a codebook of one entry.
[[nodiscard]] constexpr int product_code_bits(extent entries) noexcept {
    const auto last = static_cast<std::uint64_t>(entries > 1 ? entries - 1 : 1);
    return static_cast<int>(std::bit_width(last));
}

/// Exact bits of the codes and codebooks of a grid, an entry's values in `value_bits` bits each.
[[nodiscard]] constexpr storage_cost product_storage(const bucket_grid& grid, extent entries,
                                                     int value_bits) noexcept {
    return {.value_bits = grid.size() * product_code_bits(entries),
            .codebook_bits =
                grid.size() > 0 ? grid.buckets() * entries * grid.block * value_bits : 0};
}

/// A matrix as codes and codebooks.
struct product_matrix {
    bucket_grid grid;
    extent entries = 0;                 ///< of one codebook
    std::vector<codebook_entry> codes;  ///< bucket by bucket
    aligned_vector<float> codebooks;    ///< (buckets entries, block)

    /// The codes in one order for the whole matrix, whatever its division: entry J rows + r is the
    /// row of `codebooks` for the values [J block, (J + 1) block) of row r.
    [[nodiscard]] std::vector<codebook_entry> global_codes() const {
        return ordered<codebook_entry>(
            [&](extent row, extent block) { return block * grid.rows + row; });
    }
    /// The same rows of `codebooks` in the order of the matrix's memory, block after block.
    [[nodiscard]] std::vector<std::int32_t> row_codes() const {
        const extent blocks = grid.columns / grid.block;
        return ordered<std::int32_t>(
            [&](extent row, extent block) { return row * blocks + block; });
    }

    template <class Code, class Place>
    [[nodiscard]] std::vector<Code> ordered(const Place& place) const {
        std::vector<Code> out(codes.size());
        std::size_t next = 0;
        for (extent bucket = 0; bucket < grid.buckets(); ++bucket)
            grid.for_each_column(bucket, [&](extent row, extent column) {
                out[static_cast<std::size_t>(place(row, column / grid.block))] =
                    static_cast<Code>(bucket * entries + static_cast<extent>(codes[next++]));
            });
        return out;
    }
};

namespace detail {

/// Calls visit(bucket) for every bucket: the threads take buckets where there are enough for all,
/// and otherwise share the work inside each.
template <class Visit>
void for_each_bucket(const bucket_grid& grid, extent work, const Visit& visit) {
    if (grid.buckets() < threads()) {
        for (extent bucket = 0; bucket < grid.buckets(); ++bucket)
            visit(bucket);
        return;
    }
    parallel_for(grid.buckets(), 1, work, [&](extent begin, extent end) {
        for (extent bucket = begin; bucket < end; ++bucket)
            visit(bucket);
    });
}

}  // namespace detail

/// Codes and codebooks of a matrix, each bucket's by find(bucket, columns), which returns a
/// k_means_result of `entries` entries and must not throw.
template <class Find>
[[nodiscard]] product_matrix encode_product_by(const bucket_grid& grid, matrix_view<const float> w,
                                               extent entries, const Find& find) {
    require_matrix("encode_product", grid, w);
    product_matrix out{grid, entries, {}, {}};
    const auto size = static_cast<std::size_t>(grid.bucket_size());
    const auto book = static_cast<std::size_t>(entries * grid.block);
    const auto buckets = static_cast<std::size_t>(grid.buckets());
    out.codes.resize(size * buckets);
    out.codebooks.resize(book * buckets);
    detail::for_each_bucket(grid, grid.bucket_size() * entries * grid.block, [&](extent bucket) {
        const aligned_vector<float> columns = bucket_columns(grid, bucket, w);
        const k_means_result found =
            find(bucket, matrix_view<const float>(columns.data(), grid.bucket_size(), grid.block));
        const auto b = static_cast<std::size_t>(bucket);
        std::ranges::copy(found.codes, out.codes.begin() + static_cast<std::ptrdiff_t>(b * size));
        std::ranges::copy(found.entries,
                          out.codebooks.begin() + static_cast<std::ptrdiff_t>(b * book));
    });
    return out;
}

/// Codes and codebooks of a matrix by k-means in every bucket, each with its own draws of the seed.
/// The codes are those that the entries are means of (quantize/k_means.hpp).
/// **Throws** tare::error on a matrix of another shape than the grid's, or without elements.
/// **Complexity/threads** rows columns k iterations fused multiply-adds; buckets are shared out.
[[nodiscard]] inline product_matrix encode_product(const bucket_grid& grid,
                                                   matrix_view<const float> w,
                                                   const k_means_options& options) {
    require(grid.bucket_size() > 0, "encode_product: a matrix of ", w.shape(), " holds nothing");
    detail::require_k_means({nullptr, grid.bucket_size(), grid.block}, options);
    return encode_product_by(
        grid, w, options.entries, [&](extent bucket, matrix_view<const float> columns) {
            k_means_options own = options;
            own.seed = seed_of_call(options.seed, static_cast<std::uint64_t>(bucket));
            return k_means(columns, own);
        });
}

/// Writes the matrix that codes and codebooks stand for. **Shapes** w (rows, columns) of the grid.
inline void decode_product(const product_matrix& from, matrix_view<float> w) {
    require_matrix("decode_product", from.grid, w);
    const bucket_grid& grid = from.grid;
    const extent size = grid.bucket_size();
    const auto one = [&](extent bucket) {
        const codebook_entry* code = from.codes.data() + bucket * size;
        const float* const book = from.codebooks.data() + bucket * from.entries * grid.block;
        grid.for_each_column(bucket, [&](extent row, extent column) {
            std::copy_n(book + static_cast<extent>(*code++) * grid.block, grid.block,
                        w.data + row * w.stride + column);
        });
    };
    detail::for_each_bucket(grid, 4 * size * grid.block, one);
}

}  // namespace tare
