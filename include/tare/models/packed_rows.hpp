#pragma once
// SPDX-License-Identifier: MIT
// The codes of a matrix as dense bits, in blocks of whole rows that can be decoded alone: what a
// product with inputs that are not quantized, or a table that is looked up, reads. Zeros are left
// out behind bit masks where that takes fewer bits.

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <tare/core/view.hpp>
#include <tare/lossless/bit_mask.hpp>
#include <tare/lossless/bit_pack.hpp>
#include <tare/models/stored_model.hpp>

namespace tare {

/// Codes of a matrix in blocks of whole rows, row-major, each block its own bit stream; zeros are
/// left out where a mask takes fewer bits.
class packed_rows {
  public:
    packed_rows() = default;
    explicit packed_rows(const stored_tensor& t)
        : columns_(t.extents.columns()), rows_(t.extents[0]), bits_(t.bits) {
        const extent kept = t.nonzeros();
        // In memory bits alone are the price. A file's mask (io/packed.hpp) must also pay
        // in the score, where taking a mask apart counts as operations: it may decide otherwise.
        masked_ = kept * bits_ + t.extents.size() < t.extents.size() * bits_;
        block_rows_ = std::clamp<extent>(block_codes / std::max<extent>(columns_, 1), 16, 4096);
        for (extent begin = 0; begin < rows_; begin += block_rows_)
            add_block(std::span<const std::int16_t>(t.codes).subspan(
                static_cast<std::size_t>(begin * columns_),
                static_cast<std::size_t>(std::min(block_rows_, rows_ - begin) * columns_)));
    }

    [[nodiscard]] extent blocks() const { return static_cast<extent>(blocks_.size()); }
    [[nodiscard]] extent first_row(extent index) const { return index * block_rows_; }
    [[nodiscard]] extent last_row(extent index) const {
        return std::min(rows_, (index + 1) * block_rows_);
    }
    /// Bytes held: streams and masks.
    [[nodiscard]] std::size_t bytes() const {
        std::size_t sum = 0;
        for (const block& b : blocks_)
            sum += b.stream.size() + b.mask.words().size() * sizeof(std::uint64_t);
        return sum;
    }

    /// The values of a block, zeros included: codes times the step of their row.
    /// **Shapes** steps one for each row of the matrix, out (rows of the block, columns).
    void decode(extent index, std::span<const float> steps, matrix_view<float> out) const {
        static thread_local std::vector<std::uint16_t> codes;
        decode(index, codes);
        const auto width = static_cast<std::size_t>(out.columns);
        for (extent r = 0; r < out.rows; ++r) {
            const float step = steps[static_cast<std::size_t>(first_row(index) + r)];
            const std::uint16_t* from = codes.data() + static_cast<std::size_t>(r) * width;
            float* to = &out(r, 0);
            for (std::size_t i = 0; i < width; ++i)
                to[i] = value(from[i]) * step;
        }
    }
    /// The codes of one row as floats.
    void row(extent r, std::span<float> out) const {
        const block& b = blocks_[static_cast<std::size_t>(r / block_rows_)];
        const auto begin = static_cast<std::size_t>(r % block_rows_ * columns_);
        std::size_t at = masked_ ? b.mask.count(0, begin) : begin;
        for (std::size_t i = 0; i < out.size(); ++i) {
            out[i] = 0.0F;
            if (masked_ && !b.mask[begin + i]) continue;
            out[i] = value(static_cast<std::uint16_t>(packed_code(b.stream, bits_, at++)));
        }
    }

  private:
    /// Codes of a block: with their floats they stay in the first two caches.
    static constexpr extent block_codes = 16384;

    struct block {
        std::vector<std::byte> stream;
        bit_mask mask;
        std::size_t size = 0;
        std::size_t kept = 0;
    };

    [[nodiscard]] float value(std::uint16_t code) const {
        return static_cast<float>(from_twos_complement(code, bits_));
    }
    /// The codes of a block, row-major.
    void decode(extent index, std::vector<std::uint16_t>& codes) const {
        const block& b = blocks_[static_cast<std::size_t>(index)];
        codes.resize(b.size);
        if (!masked_) {
            unpack_bits(std::span<const std::byte>(b.stream), bits_, std::span(codes));
            return;
        }
        static thread_local std::vector<std::uint16_t> kept;
        kept.resize(b.kept);
        unpack_bits(std::span<const std::byte>(b.stream), bits_, std::span(kept));
        expand(std::span<const std::uint16_t>(kept), b.mask, std::span(codes));
    }
    void add_block(std::span<const std::int16_t> codes) {
        block b;
        b.size = codes.size();
        std::vector<std::uint16_t> kept;
        if (masked_) b.mask = bit_mask(codes.size());
        for (std::size_t i = 0; i < codes.size(); ++i) {
            if (masked_ && codes[i] == 0) continue;
            if (masked_) b.mask.set(i);
            kept.push_back(static_cast<std::uint16_t>(to_twos_complement(codes[i], bits_)));
        }
        b.kept = kept.size();
        b.stream.resize(packed_bytes(kept.size(), bits_));
        pack_bits(std::span<const std::uint16_t>(kept), bits_, std::span<std::byte>(b.stream));
        blocks_.push_back(std::move(b));
    }

    extent columns_ = 0;
    extent rows_ = 0;
    extent block_rows_ = 1;
    int bits_ = 0;
    bool masked_ = false;
    std::vector<block> blocks_;
};

}  // namespace tare
