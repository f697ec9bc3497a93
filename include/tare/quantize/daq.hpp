#pragma once
// SPDX-License-Identifier: MIT
// Divide and quantize: a weight matrix is cut into a fixed grid of buckets, each with a codebook of
// its own. More buckets, better codebooks, and more of them to store:
//     bits per weight = log2(k) / b + 16 B k b / (R C)      (B buckets, fp16 entries)
// Cuts go along the rows' length first: across = B, down = 1, and while floor(C / across) is no
// whole number of blocks, across halves and down doubles. Pieces are floor(C / across) wide and
// floor(R / down) high, so that the grid can be finer than asked for.
// Source: the published code of DAQ (divide and quantize on hardware-aware Transformers, 2021).

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

#include <tare/core/error.hpp>
#include <tare/quantize/bucket_grid.hpp>
#include <tare/quantize/product_quantizer.hpp>

namespace tare {

namespace detail {

/// Why a matrix cannot be divided; empty where it can, and then `grid` is the division.
[[nodiscard]] inline std::string divide_daq(extent rows, extent columns, extent asked_block,
                                            extent entries, extent buckets, bucket_grid& grid) {
    const extent block = fitting_block(columns, asked_block);
    if (buckets < 1 || !std::has_single_bit(static_cast<std::uint64_t>(buckets)))
        return message(buckets, " buckets; their number must be a power of two");
    const extent all = rows * (columns / block);
    if (buckets > all / entries)
        return message(buckets, " buckets of ", entries, " entries for the ", all, " columns of (",
                       rows, ',', columns, ") in blocks of ", block, "; at most ", all / entries,
                       " buckets have as many columns as entries");
    extent across = buckets;
    extent down = 1;
    while (columns / across % block != 0) {
        across /= 2;  // ends at 1: the block divides the row
        down *= 2;
    }
    const extent width = columns / across;
    const extent height = rows / down;
    if (height == 0 || width == 0 || columns % width != 0 || rows % height != 0)
        return message(buckets, " buckets cut (", rows, ',', columns, ") into pieces of ", height,
                       " x ", width, ", which leave a rest; choose another number of buckets");
    grid = {rows, columns, block, rows / height, columns / width};
    return {};
}

}  // namespace detail

/// The division of a matrix into `buckets` rectangles for codebooks of `entries` entries.
/// **Throws** tare::error where the number is no power of two, where buckets would have fewer
/// columns to cluster than entries, and where pieces would leave a rest.
[[nodiscard]] inline bucket_grid daq_grid(extent rows, extent columns, extent block, extent entries,
                                          extent buckets) {
    bucket_grid grid;
    const std::string refused = detail::divide_daq(rows, columns, block, entries, buckets, grid);
    require(refused.empty(), "daq_grid: ", refused);
    return grid;
}

/// The division as a policy of the quantizer.
struct daq_buckets {
    static constexpr std::string_view name = "daq";
    extent buckets = 16;
    /// Halves the number until the matrix can be divided so, down to one codebook of no more
    /// entries than there are columns, instead of refusing.
    bool or_fewer = false;

    [[nodiscard]] product_plan divide(extent rows, extent columns,
                                      const product_options& options) const {
        const extent entries = options.search.entries;
        if (!or_fewer) return {daq_grid(rows, columns, options.block, entries, buckets), entries};
        require(buckets >= 1 && std::has_single_bit(static_cast<std::uint64_t>(buckets)), name,
                ": ", buckets, " buckets; their number must be a power of two");
        bucket_grid grid;
        for (extent some = buckets; some >= 1; some /= 2)
            if (detail::divide_daq(rows, columns, options.block, entries, some, grid).empty())
                return {grid, entries};
        return one_codebook{}.divide(rows, columns, options);
    }
    friend bool operator==(const daq_buckets&, const daq_buckets&) = default;
};

/// Product quantization with a codebook for each bucket of a grid.
template <numeric_format Entry = saturated_fp16>
class daq_quantizer : public divided_product<daq_buckets, Entry> {
    using divided_product<daq_buckets, Entry>::divided_product;
};
static_assert(packing_quantizer<daq_quantizer<>> && differentiable_quantizer<daq_quantizer<>>);

}  // namespace tare
