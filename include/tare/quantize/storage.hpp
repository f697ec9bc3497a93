#pragma once
// SPDX-License-Identifier: MIT
// What a compressed tensor occupies, in bits, split by what the bits are for. The packed file
// writes exactly these bits and the accounting charges exactly these bits.

#include <cstdint>

namespace tare {

/// Bits of one stored tensor.
struct storage_cost {
    std::int64_t value_bits = 0;     ///< codes of the elements that are stored
    std::int64_t mask_bits = 0;      ///< which elements or blocks are stored
    std::int64_t scale_bits = 0;     ///< scales, zero points, means, deviations
    std::int64_t codebook_bits = 0;  ///< tables that codes point into

    [[nodiscard]] constexpr std::int64_t total_bits() const noexcept {
        return value_bits + mask_bits + scale_bits + codebook_bits;
    }
    /// Bits of several tensors, or of the parts of one.
    constexpr storage_cost& operator+=(const storage_cost& other) noexcept {
        value_bits += other.value_bits;
        mask_bits += other.mask_bits;
        scale_bits += other.scale_bits;
        codebook_bits += other.codebook_bits;
        return *this;
    }
    friend constexpr bool operator==(const storage_cost&, const storage_cost&) = default;
};

}  // namespace tare
