#pragma once
// SPDX-License-Identifier: MIT
// One codebook for several matrices, for example the query projections of all layers: their columns
// are clustered together, each matrix keeps its own codes. Optionally each is first divided by the
// root mean square of its values, so that matrices of different sizes can share shapes:
//     w = g codebook[codes],  g = rms(w), or 1
// Bits: the codes of all, one codebook, and 32 for each g. In training the codebook is one
// parameter (ops/decode_codebook.hpp), and its gradient is the sum over all matrices.

#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/quantize/product.hpp>

namespace tare {

/// Matrices as codes of one codebook.
struct shared_product {
    struct member {
        bucket_grid grid;  ///< one bucket
        std::vector<codebook_entry> codes;
        float scale = 1.0F;
    };
    extent block = 1;
    extent entries = 0;
    bool scaled = false;
    aligned_vector<float> codebook;  ///< (entries, block)
    std::vector<member> members;

    /// Exact bits with entries of `value_bits` bits a value.
    [[nodiscard]] storage_cost storage(int value_bits = 16) const {
        storage_cost cost{.codebook_bits = entries * block * value_bits};
        for (const member& one : members) {
            cost.value_bits += one.grid.size() * product_code_bits(entries);
            if (scaled) cost.scale_bits += 32;
        }
        return cost;
    }
    /// Writes matrix `index`. **Throws** tare::error on another shape or no such matrix.
    void decode(std::size_t index, matrix_view<float> w) const {
        require(index < members.size(), "shared_product: matrix ", index, " of ", members.size());
        const member& one = members[index];
        require_matrix("shared_product", one.grid, w);
        const codebook_entry* code = one.codes.data();
        one.grid.for_each_column(0, [&](extent row, extent column) {
            const float* const from =
                codebook.data() + static_cast<extent>(*code++) * one.grid.block;
            float* const to = w.data + row * w.stride + column;
            for (extent d = 0; d < one.grid.block; ++d)
                to[d] = one.scale * from[d];
        });
    }
};

/// One codebook and codes for all `matrices`, whose rows are whole numbers of blocks.
/// **Throws** tare::error without a matrix or with one that blocks do not divide.
/// **Complexity/threads** one k-means over all columns (quantize/k_means.hpp).
[[nodiscard]] inline shared_product
encode_shared(std::span<const matrix_view<const float>> matrices, extent block,
              const k_means_options& options, bool scaled = false) {
    require(!matrices.empty(), "encode_shared: no matrix");
    shared_product out{block, options.entries, scaled, {}, {}};
    aligned_vector<float> all;
    for (const matrix_view<const float>& w : matrices) {
        require(w.columns % block == 0 && w.rows >= 1, "encode_shared: matrix ", out.members.size(),
                " is ", w.shape(), "; its rows must be blocks of ", block);
        const bucket_grid grid = whole_grid(w.rows, w.columns, block);
        aligned_vector<float> columns = bucket_columns(grid, 0, w);
        shared_product::member one{grid, {}, 1.0F};
        double squares = 0.0;
        for (const float v : columns)
            squares += static_cast<double>(v) * static_cast<double>(v);
        if (scaled && squares > 0.0)
            one.scale =
                static_cast<float>(std::sqrt(squares / static_cast<double>(columns.size())));
        if (scaled)
            for (float& v : columns)
                v /= one.scale;
        all.insert(all.end(), columns.begin(), columns.end());
        out.members.push_back(std::move(one));
    }
    k_means_result found =
        k_means({all.data(), static_cast<extent>(all.size()) / block, block}, options);
    out.codebook = std::move(found.entries);
    auto next = found.codes.begin();
    for (shared_product::member& one : out.members) {
        one.codes.assign(next, next + one.grid.size());
        next += one.grid.size();
    }
    return out;
}

}  // namespace tare
