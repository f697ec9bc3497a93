#pragma once
// SPDX-License-Identifier: MIT
// Which elements of a tensor are stored: one bit each. A mask together with the dense array of what
// it marks is the storage of a pruned tensor:
//   bits = value_bits (stored elements) + (elements)
// Bit i % 64 of word i / 64 stands for element i, which is also the order of the bits in the packed
// bytes. One bit per block of a matrix: <tare/lossless/block_mask.hpp>.

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/lossless/lane_moves.hpp>
#include <tare/lossless/lanes.hpp>
#include <tare/quantize/storage.hpp>

namespace tare {

/// A fixed number of bits, all 0 at first. Bits behind the last one stay 0.
class bit_mask {
  public:
    bit_mask() = default;
    explicit bit_mask(std::size_t size) : size_(size), words_((size + 63) / 64) {}

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool operator[](std::size_t i) const noexcept {
        TARE_ASSERT(i < size_);
        return (words_[i / 64] >> (i % 64) & 1) != 0;
    }
    void set(std::size_t i, bool value = true) noexcept {
        TARE_ASSERT(i < size_);
        const std::uint64_t bit = std::uint64_t{1} << (i % 64);
        words_[i / 64] = value ? words_[i / 64] | bit : words_[i / 64] & ~bit;
    }
    /// The words; a writer must leave the bits behind the last one 0.
    [[nodiscard]] std::span<std::uint64_t> words() noexcept { return words_; }
    [[nodiscard]] std::span<const std::uint64_t> words() const noexcept { return words_; }

    /// Number of ones.
    [[nodiscard]] std::size_t count() const noexcept { return count(0, size_); }
    /// Number of ones among the bits [begin, end).
    [[nodiscard]] std::size_t count(std::size_t begin, std::size_t end) const noexcept {
        std::size_t ones = 0;
        for (std::size_t w = begin / 64; w * 64 < end; ++w) {
            std::uint64_t word = words_[w];
            if (w * 64 < begin) word &= ~low_mask(static_cast<int>(begin - w * 64));
            if (end - w * 64 < 64) word &= low_mask(static_cast<int>(end - w * 64));
            ones += static_cast<std::size_t>(std::popcount(word));
        }
        return ones;
    }
    friend bool operator==(const bit_mask&, const bit_mask&) = default;

  private:
    std::size_t size_ = 0;
    std::vector<std::uint64_t> words_;
};

/// Marks the elements that are not zero (NaN is not zero, -0 is).
/// Threads: words; the result does not depend on their number.
template <class T>
[[nodiscard]] bit_mask nonzero_mask(std::span<const T> values) {
    bit_mask mask(values.size());
    const std::span<std::uint64_t> words = mask.words();
    const std::size_t whole = values.size() / mask_block;
    parallel_for(static_cast<extent>(whole), 8, 64, [&](extent begin, extent end) {
        for (auto w = static_cast<std::size_t>(begin); w < static_cast<std::size_t>(end); ++w)
            words[w] = nonzero_64(values.data() + mask_block * w);
    });
    for (std::size_t i = whole * mask_block; i < values.size(); ++i)
        mask.set(i, !(values[i] == T{}));
    return mask;
}

/// Writes the marked values, in order, to `out`, which has mask.count() elements.
/// Throws if the sizes do not match. Threads: words.
template <class T>
void compress(std::span<const T> values, const bit_mask& mask, std::span<T> out) {
    require(values.size() == mask.size(), "compress: ", values.size(), " values under a mask of ",
            mask.size(), " bits");
    require(out.size() == mask.count(), "compress: out has ", out.size(), " elements, the mask ",
            mask.count(), " ones");
    const std::span<const std::uint64_t> words = mask.words();
    parallel_for(static_cast<extent>(words.size()), 8, 64, [&](extent begin, extent end) {
        std::size_t at = mask.count(0, static_cast<std::size_t>(begin) * mask_block);
        // A block may be written whole, stored values and what follows, where this thread writes.
        const std::size_t stop =
            at + mask.count(static_cast<std::size_t>(begin) * mask_block,
                            std::min(mask.size(), static_cast<std::size_t>(end) * mask_block));
        for (auto w = static_cast<std::size_t>(begin); w < static_cast<std::size_t>(end); ++w) {
            const T* from = values.data() + mask_block * w;
            if (stop - at >= mask_block && values.size() - mask_block * w >= mask_block)
                at += compress_64(from, words[w], out.data() + at);
            else
                at += compress_64_plain(from, words[w], out.data() + at);
        }
    });
}

/// The inverse of compress: `out` (mask.size() elements) gets the stored values where the mask is 1
/// and zeros elsewhere. Throws if the sizes do not match. Threads: words.
template <class T>
void expand(std::span<const T> stored, const bit_mask& mask, std::span<T> out) {
    require(out.size() == mask.size(), "expand: out has ", out.size(), " elements, the mask ",
            mask.size(), " bits");
    require(stored.size() == mask.count(), "expand: ", stored.size(),
            " stored values for a mask with ", mask.count(), " ones");
    const std::span<const std::uint64_t> words = mask.words();
    parallel_for(static_cast<extent>(words.size()), 8, 64, [&](extent begin, extent end) {
        std::size_t at = mask.count(0, static_cast<std::size_t>(begin) * mask_block);
        for (auto w = static_cast<std::size_t>(begin); w < static_cast<std::size_t>(end); ++w) {
            T* const to = out.data() + mask_block * w;
            if (stored.size() - at >= mask_block && out.size() - mask_block * w >= mask_block) {
                expand_64(stored.data() + at, words[w], to);
            } else {
                T block[mask_block];
                expand_64_plain(stored.data() + at, words[w], block);
                std::copy_n(block, std::min(mask_block, out.size() - mask_block * w), to);
            }
            at += static_cast<std::size_t>(std::popcount(words[w]));
        }
    });
}

/// Ones in each row of a mask of `columns` bits a row, the last row possibly shorter.
/// Throws if `columns` is 0 and the mask is not empty.
[[nodiscard]] inline std::vector<std::size_t> row_counts(const bit_mask& mask,
                                                         std::size_t columns) {
    require(columns > 0 || mask.size() == 0, "row_counts: rows of 0 columns in a mask of ",
            mask.size(), " bits");
    std::vector<std::size_t> counts;
    for (std::size_t begin = 0; begin < mask.size(); begin += columns)
        counts.push_back(mask.count(begin, std::min(mask.size(), begin + columns)));
    return counts;
}

/// Bytes of a packed mask of `size` bits.
[[nodiscard]] constexpr std::size_t mask_bytes(std::size_t size) noexcept {
    return size / 8 + (size % 8 != 0);  // no sum that a huge size could wrap
}

/// Writes the mask to exactly mask_bytes(mask.size()) bytes. Throws if `out` is of another size.
inline void pack_mask(const bit_mask& mask, std::span<std::byte> out) {
    require(out.size() == mask_bytes(mask.size()), "pack_mask: out has ", out.size(),
            " bytes, the mask takes ", mask_bytes(mask.size()));
    if (!out.empty()) std::memcpy(out.data(), mask.words().data(), out.size());
}

/// Reads a mask of `size` bits back. Throws, with the byte, if `in` is shorter or longer than
/// mask_bytes(size) or has a padding bit set.
[[nodiscard]] inline bit_mask unpack_mask(std::span<const std::byte> in, std::size_t size) {
    require(in.size() == mask_bytes(size), "unpack_mask: the stream ends at byte ", in.size(), "; ",
            size, " bits take exactly ", mask_bytes(size), " bytes");
    require(size % 8 == 0 || std::to_integer<unsigned>(in.back()) >> (size % 8) == 0,
            "unpack_mask: byte ", in.size() - 1, ": padding bits behind the last one are not zero");
    bit_mask mask(size);
    if (!in.empty()) std::memcpy(mask.words().data(), in.data(), in.size());
    return mask;
}

/// What a tensor costs whose marked elements are stored with `bits_per_value` bits each.
[[nodiscard]] inline storage_cost mask_storage(const bit_mask& mask, int bits_per_value) noexcept {
    return {.value_bits = static_cast<std::int64_t>(mask.count()) * bits_per_value,
            .mask_bits = static_cast<std::int64_t>(mask.size())};
}

}  // namespace tare
