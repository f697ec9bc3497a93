#pragma once
// SPDX-License-Identifier: MIT
// What a linear layer costs whose weights are multiplied as codes (kernels/codebook_product.hpp):
// tables of dot products with the codebooks' entries, then one addition for each block and output.
// A price alone: values are models/product_weight.hpp's.
//     E entries, buckets down, K inputs, N outputs, blocks of b, for each row of x:
//     down E K multiplications, down E (K - K / b) + N (K / b - 1) additions, N more for the bias

#include <algorithm>
#include <span>
#include <string_view>

#include <tare/kernels/codebook_weights.hpp>
#include <tare/ops/linear.hpp>

namespace tare::op {

/// Inputs as linear's.
struct codebook_linear {
    static constexpr std::string_view name = "codebook_linear";
    kernels::codebook_layout layout;

    constexpr shape result_shape(std::span<const shape> in) const {
        const shape out = linear{}.result_shape(in);
        require(in[1] == shape{layout.rows, layout.columns}, name, ": W is ", in[1],
                ", its codes are those of (", layout.rows, ',', layout.columns, ')');
        return out;
    }
    constexpr price cost(std::span<const operand> in, const operand&) const {
        const extent rows = in[0].extents.rows();
        const extent entries = layout.down * layout.entries;
        price p;
        p.contraction(layout.columns, layout.rows)
            .multiplications("table", rows * entries * layout.columns,
                             std::max(in[0].bits, in[1].bits))
            .additions("table", rows * entries * (layout.columns - layout.blocks()))
            .additions("sum", rows * layout.rows * (layout.blocks() - 1));
        if (in.size() == 3) p.additions("bias", rows * in[2].nonzeros);
        return p;
    }
};

}  // namespace tare::op
