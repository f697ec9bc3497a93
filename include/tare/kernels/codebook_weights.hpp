#pragma once
// SPDX-License-Identifier: MIT
// A product-quantized matrix as its product reads it (kernels/codebook_product.hpp): codes in
// strips of outputs, so that a register takes neighbouring codes; codebooks with their entries side
// by side, so that a register multiplies several entries by one input.
//     w[n, j b + d] = codebook(bucket of n and j)[code(n, j)][d]
//     codes      [strip][j][strip_outputs] bytes; strips do not cross buckets, the rest of one is 0
//     codebooks  [bucket][d][entries, rounded up to whole registers] floats
// One byte for each block of b weights: 1/32 of the floats' bytes at b = 8.

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <tare/core/aligned.hpp>
#include <tare/core/error.hpp>
#include <tare/core/simd.hpp>
#include <tare/core/view.hpp>

namespace tare::kernels {

/// How a matrix is cut: into buckets down x across with a codebook each, and rows into blocks.
struct codebook_layout {
    extent rows = 0;     ///< outputs, N
    extent columns = 0;  ///< inputs, K
    extent block = 1;    ///< b
    extent down = 1;
    extent across = 1;
    extent entries = 0;  ///< of one codebook, 1 to 256

    [[nodiscard]] constexpr extent blocks() const noexcept { return columns / block; }
    [[nodiscard]] constexpr extent buckets() const noexcept { return down * across; }
    /// Whether tables take fewer multiplications than the decoded matrix: as many as entries for
    /// each input, in place of one for each output. Codes must be bytes, too.
    [[nodiscard]] constexpr bool tables_pay() const noexcept {
        return entries <= 256 && down * entries < rows;
    }
    friend bool operator==(const codebook_layout&, const codebook_layout&) = default;
};

class codebook_weights {
  public:
    /// Outputs of a strip: four registers of AVX-512, whose sums then wait for nothing.
    static constexpr extent strip_outputs = 64;
    /// Outputs of one strip that exist.
    struct strip {
        extent first = 0;
        extent count = 0;
        extent down = 0;  ///< which buckets
    };

    codebook_weights() = default;
    /// **Shapes** rows_of_codebooks (N, K / b): which of all entries each block is, bucket times
    /// entries plus code; codebooks (buckets entries, b).
    /// **Throws** tare::error on cuts that leave a rest, more than 256 entries, arrays of other
    /// sizes, and an entry of another bucket.
    codebook_weights(const codebook_layout& layout, std::span<const std::int32_t> rows_of_codebooks,
                     std::span<const float> codebooks)
        : layout_(layout) {
        check_layout(layout);
        require(static_cast<extent>(rows_of_codebooks.size()) == layout.rows * layout.blocks() &&
                    static_cast<extent>(codebooks.size()) ==
                        layout.buckets() * layout.entries * layout.block,
                "codebook_weights: ", rows_of_codebooks.size(), " codes and ", codebooks.size(),
                " values of codebooks; ", layout.rows * layout.blocks(), " and ",
                layout.buckets() * layout.entries * layout.block, " belong to the layout");
        // A strip in two buckets would need two tables at once.
        const extent height = layout.rows / layout.down;
        for (extent down = 0; down < layout.down; ++down)
            for (extent n = 0; n < height; n += strip_outputs)
                strips_.push_back({down * height + n, std::min(strip_outputs, height - n), down});
        put_codes(rows_of_codebooks);
        put_codebooks(codebooks);
        entry_rows_.assign(codebooks.begin(), codebooks.end());
    }

    [[nodiscard]] const codebook_layout& layout() const noexcept { return layout_; }
    [[nodiscard]] std::span<const strip> strips() const noexcept { return strips_; }
    /// Codes of block j of a strip.
    [[nodiscard]] const std::uint8_t* codes(std::size_t of_strip, extent j) const noexcept {
        return codes_.data() +
               (static_cast<extent>(of_strip) * layout_.blocks() + j) * strip_outputs;
    }
    /// Entries with those that fill the last register.
    [[nodiscard]] extent table_entries() const noexcept { return table_entries_; }
    /// Which bucket block j of a strip reads.
    [[nodiscard]] extent bucket(extent down, extent j) const noexcept {
        return down * layout_.across + j * layout_.across / layout_.blocks();
    }
    /// Value d of all entries of a bucket.
    [[nodiscard]] const float* entries(extent of_bucket, extent d) const noexcept {
        return codebooks_.data() + (of_bucket * layout_.block + d) * table_entries_;
    }
    /// One row's weights. **Rounding** none. **Throws** tare::error on another size.
    void copy_row(extent n, std::span<float> out) const {
        require(n >= 0 && n < layout_.rows && static_cast<extent>(out.size()) == layout_.columns,
                "codebook_weights: row ", n, " of ", layout_.rows, " into ", out.size(),
                " values; a row has ", layout_.columns);
        const extent height = layout_.rows / layout_.down;
        const extent down = n / height;
        const extent in_bucket = n % height;
        const extent strips_of_bucket = (height + strip_outputs - 1) / strip_outputs;
        const auto s =
            static_cast<std::size_t>(down * strips_of_bucket + in_bucket / strip_outputs);
        const extent b = layout_.block;
        for (extent j = 0; j < layout_.blocks(); ++j) {
            const extent code = codes(s, j)[in_bucket % strip_outputs];
            const extent from = (bucket(down, j) * layout_.entries + code) * b;
            std::copy_n(entry_rows_.data() + from, b, out.data() + j * b);
        }
    }
    [[nodiscard]] std::size_t bytes() const noexcept {
        return codes_.size() + (codebooks_.size() + entry_rows_.size()) * sizeof(float);
    }

  private:
    static void check_layout(const codebook_layout& l) {
        require(l.rows >= 1 && l.columns >= 1 && l.block >= 1 && l.down >= 1 && l.across >= 1 &&
                    l.rows % l.down == 0 && l.columns % l.across == 0 &&
                    l.columns / l.across % l.block == 0,
                "codebook_weights: (", l.rows, ',', l.columns, ") in ", l.down, " x ", l.across,
                " buckets and blocks of ", l.block, "; nothing may be left over");
        require(l.entries >= 1 && l.entries <= 256, "codebook_weights: ", l.entries,
                " entries; codes of a byte take 1 to 256");
    }
    void put_codes(std::span<const std::int32_t> rows_of_codebooks) {
        const extent blocks = layout_.blocks();
        codes_.assign(strips_.size() * static_cast<std::size_t>(blocks * strip_outputs), 0);
        for (std::size_t s = 0; s < strips_.size(); ++s)
            for (extent i = 0; i < strips_[s].count; ++i)
                for (extent j = 0; j < blocks; ++j) {
                    // From rows to strips: what lies side by side there is read by one register.
                    const extent at = (strips_[s].first + i) * blocks + j;
                    const extent code = rows_of_codebooks[static_cast<std::size_t>(at)] -
                                        bucket(strips_[s].down, j) * layout_.entries;
                    require(code >= 0 && code < layout_.entries, "codebook_weights: row ",
                            strips_[s].first + i, ", block ", j, " has entry ",
                            rows_of_codebooks[static_cast<std::size_t>(at)], " of another bucket");
                    codes_[static_cast<std::size_t>(
                        (static_cast<extent>(s) * blocks + j) * strip_outputs + i)] =
                        static_cast<std::uint8_t>(code);
                }
    }
    void put_codebooks(std::span<const float> codebooks) {
        constexpr extent whole = 16;  // lanes of the widest registers, so that builds agree
        table_entries_ = (layout_.entries + whole - 1) / whole * whole;
        codebooks_.assign(
            static_cast<std::size_t>(layout_.buckets() * layout_.block * table_entries_), 0.0F);
        // Transposed: value d of all entries side by side.
        std::size_t from = 0;
        for (extent bucket = 0; bucket < layout_.buckets(); ++bucket)
            for (extent k = 0; k < layout_.entries; ++k)
                for (extent d = 0; d < layout_.block; ++d)
                    codebooks_[static_cast<std::size_t>(
                        (bucket * layout_.block + d) * table_entries_ + k)] = codebooks[from++];
    }

    codebook_layout layout_;
    std::vector<strip> strips_;
    aligned_vector<std::uint8_t> codes_;
    aligned_vector<float> codebooks_;
    aligned_vector<float> entry_rows_;  ///< the codebooks as given: what rows are decoded from
    extent table_entries_ = 0;
};

}  // namespace tare::kernels
