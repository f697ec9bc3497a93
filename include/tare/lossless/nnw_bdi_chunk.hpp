#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI, the chunk: its elements in blocks of 64 after the first shift, which of them are stored
// (are not zero), and between which two values those lie. If they span less than 256 the elements
// are also held as bytes, offsets from the least one: 64 of them are one AVX-512 register.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include <tare/lossless/lanes.hpp>
#include <tare/lossless/nnw_bdi_layout.hpp>

namespace tare::detail {

template <bdi_value Value>
class nnw_bdi_chunk_data {
  public:
    explicit nnw_bdi_chunk_data(const nnw_bdi_layout& layout)
        : options_(layout.options),
          bottom_(bdi_range<Value>(layout.raw_bits()).least),
          words_((options_.chunk + 63) / 64),
          values_(64 * words_),
          bytes_(64 * words_ + 1),
          stored_(words_) {}

    void load(std::span<const Value> chunk) noexcept {
        count_ = chunk.size();
        const int shift = options_.init_shift;
        if (count_ == values_.size()) {
            for (std::size_t w = 0; w < words_; ++w)
                shift_64(chunk.data() + 64 * w, shift, values_.data() + 64 * w);
        } else {
            std::ranges::fill(values_, 0U);
            for (std::size_t i = 0; i < count_; ++i)
                values_[i] = static_cast<std::uint32_t>(chunk[i] >> shift);
        }
        const auto low = static_cast<std::uint32_t>(low_mask(options_.delta_shift));
        stored_count_ = 0;
        least_ = std::numeric_limits<Value>::max();
        most_ = std::numeric_limits<Value>::min();
        for (std::size_t w = 0; w < words_; ++w) {
            const std::size_t begin = std::min(count_, 64 * w);
            stored_[w] = low_mask(static_cast<int>(std::min<std::size_t>(64, count_ - begin)));
            if (options_.zero_compression) stored_[w] &= ~within_64(values(w), 0U, low);
            stored_count_ += std::popcount(stored_[w]);
            // An integer may be read through the type of the other signedness.
            extremes_64(reinterpret_cast<const Value*>(values(w)), stored_[w], least_, most_);
        }
        narrow_ = stored_count_ != 0 && extent() < 256;
        if (narrow_)
            for (std::size_t w = 0; w < words_; ++w)
                narrow_64(values(w), least(), bytes_.data() + 64 * w);
    }

    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    [[nodiscard]] std::size_t words() const noexcept { return words_; }
    // Block w: 64 elements, zeros behind the last one of the chunk.
    [[nodiscard]] const std::uint32_t* values(std::size_t w) const noexcept {
        return values_.data() + 64 * w;
    }
    // Block w as offsets from the least stored element, if narrow(); one byte more is readable.
    [[nodiscard]] const std::uint8_t* bytes(std::size_t w) const noexcept {
        return bytes_.data() + 64 * w;
    }
    [[nodiscard]] bool narrow() const noexcept { return narrow_; }
    // Which elements of block w need a delta; and how many of the chunk.
    [[nodiscard]] std::uint64_t stored(std::size_t w) const noexcept { return stored_[w]; }
    [[nodiscard]] const std::uint64_t* stored_words() const noexcept { return stored_.data(); }
    [[nodiscard]] std::int64_t stored_count() const noexcept { return stored_count_; }
    // The least stored element and how far above it the most one lies.
    [[nodiscard]] std::uint32_t least() const noexcept {
        return static_cast<std::uint32_t>(least_);
    }
    [[nodiscard]] std::uint32_t extent() const noexcept {
        return static_cast<std::uint32_t>(most_) - least();
    }
    [[nodiscard]] bool all_within(const bdi_range<Value>& range) const noexcept {
        return range.holds(least_) && range.holds(most_);
    }
    // Rounding a delta down must not step below the least value that a decoder can shift back.
    [[nodiscard]] bool must_stay_raw() const noexcept {
        if (std::is_unsigned_v<Value> || stored_count_ == 0) return false;
        return std::int64_t{least_} - bottom_ <
               static_cast<std::int64_t>(low_mask(options_.delta_shift));
    }

  private:
    // Loops of a known length on pointers of their own: a store to a byte may alias every member.
    static void shift_64(const Value* from, int shift, std::uint32_t* to) noexcept {
        for (std::size_t i = 0; i < mask_block; ++i)
            to[i] = static_cast<std::uint32_t>(from[i] >> shift);
    }
    static void narrow_64(const std::uint32_t* from, std::uint32_t least,
                          std::uint8_t* to) noexcept {
        std::uint8_t bytes[mask_block];
        for (std::size_t i = 0; i < mask_block; ++i)
            bytes[i] = static_cast<std::uint8_t>(from[i] - least);
        std::memcpy(to, bytes, sizeof bytes);
    }

    const nnw_bdi_options& options_;
    std::int64_t bottom_;
    std::size_t words_;
    std::vector<std::uint32_t> values_;
    std::vector<std::uint8_t> bytes_;
    std::vector<std::uint64_t> stored_;
    std::size_t count_ = 0;
    std::int64_t stored_count_ = 0;
    Value least_ = 0;
    Value most_ = 0;
    bool narrow_ = false;
};

}  // namespace tare::detail
