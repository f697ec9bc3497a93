#pragma once
// SPDX-License-Identifier: MIT
// A pruned vector of floats: one bit for each value and the values that are not zero, in order.
// A vocabulary's bias is longer than the weights that one word of it has.

#include <bit>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/huge_pages.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/core/simd_int.hpp>
#include <tare/kernels/epilogue.hpp>

namespace tare::kernels {

/// Zeros of either sign become +0; every other value, NaN included, is kept exactly.
class masked_vector {
  public:
    masked_vector() = default;
    /// **Throws** tare::error on more than 2^32 - 1 values.
    explicit masked_vector(std::span<const float> values) : size_(values.size()) {
        require(values.size() < std::numeric_limits<std::uint32_t>::max(),
                "masked_vector: ", values.size(), " values cannot be counted in 32 bits");
        masks_.reserve((size_ + block - 1) / block);
        starts_.reserve(masks_.capacity());
        std::size_t kept = 0;
        for (const float v : values)
            kept += v == 0.0F ? 0 : 1;
        // Expansion reads a whole register from the next value on.
        values_.reserve(kept + simd::lanes);
        for (std::size_t first = 0; first < size_; first += block) {
            starts_.push_back(static_cast<std::uint32_t>(values_.size()));
            std::uint64_t mask = 0;
            for (std::size_t i = first; i < std::min(first + block, size_); ++i) {
                if (values[i] == 0.0F) continue;
                mask |= std::uint64_t{1} << (i - first);
                values_.push_back(values[i]);
            }
            masks_.push_back(mask);
        }
        values_.resize(values_.size() + simd::lanes);
    }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::size_t bytes() const noexcept {
        return masks_.size() * sizeof(std::uint64_t) + starts_.size() * sizeof(std::uint32_t) +
               values_.size() * sizeof(float);
    }
    /// The values [at, at + simd::lanes), zeros behind the last; `at` is a multiple of simd::lanes.
    [[nodiscard, gnu::always_inline]] simd::floats load(extent at) const {
        const auto index = static_cast<std::size_t>(at) / block;
        const auto shift = static_cast<std::size_t>(at) % block;
        const std::uint64_t mask = masks_[index];
        const std::uint64_t before = mask & ((std::uint64_t{1} << shift) - 1);
        // The prefetcher ends at each page; a vocabulary's bias is many.
        simd::prefetch(values_.data(), static_cast<std::ptrdiff_t>(starts_[index]) + 256);
        constexpr std::uint32_t whole = simd::lanes >= 32 ? ~0U : (1U << simd::lanes % 32) - 1U;
        return simd::expand(static_cast<std::uint32_t>(mask >> shift) & whole,
                            values_.data() + starts_[index] + std::popcount(before));
    }
    /// All values. **Shapes** to (size()).
    void copy_to(std::span<float> to) const {
        for (std::size_t i = 0; i < size_; i += simd::lanes)
            detail::store_lanes(to.data() + i, load(static_cast<extent>(i)),
                                std::min(simd::lanes, size_ - i));
    }

  private:
    static constexpr std::size_t block = 64;  ///< values of a mask
    static_assert(block % simd::lanes == 0);

    std::size_t size_ = 0;
    std::vector<std::uint64_t> masks_;
    std::vector<std::uint32_t> starts_;  ///< of the values of each mask
    lasting_vector<float> values_;
};

/// c(i,j) + bias(j) for products whose columns come in whole registers, from a multiple of
/// simd::lanes on. **Throws** (at the product) unless bias has one value for each column.
class add_masked_bias {
  public:
    explicit add_masked_bias(const masked_vector& bias) : bias_(&bias) {}

    [[gnu::always_inline]] simd::floats operator()(simd::floats v, extent, extent column,
                                                   std::size_t) const {
        return v + bias_->load(column);
    }
    void check(std::string_view function, matrix_view<const float> c) const {
        require(static_cast<extent>(bias_->size()) == c.columns, function, ": the bias has ",
                bias_->size(), " values, but c is (", c.rows, ',', c.columns,
                "); it needs one for each column");
    }

  private:
    const masked_vector* bias_;
};

}  // namespace tare::kernels
