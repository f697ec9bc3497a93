#pragma once
// SPDX-License-Identifier: MIT
// Gathering and scattering of bits in a 64-bit word: the scalar instructions PEXT and PDEP where
// the target has BMI2, and plain loops with the same results everywhere else (also with
// TARE_NO_SIMD).

#include <bit>
#include <cstdint>

#include <tare/core/simd.hpp>

#if !defined(TARE_NO_SIMD) && defined(__BMI2__)
#define TARE_HAS_BMI2 1
#else
#define TARE_HAS_BMI2 0
#endif

namespace tare {

// Packed streams are little-endian; words are moved with memcpy and never byte-swapped.
static_assert(std::endian::native == std::endian::little,
              "tare stores packed words in little-endian order and needs such a machine");

/// The lowest `count` bits set, 0 <= count <= 64.
[[nodiscard]] constexpr std::uint64_t low_mask(int count) noexcept {
    return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

/// The bits of `word` where `mask` is 1, moved together at the low end in order (PEXT).
/// The plain reference of extract_bits.
[[nodiscard]] constexpr std::uint64_t extract_bits_plain(std::uint64_t word,
                                                         std::uint64_t mask) noexcept {
    std::uint64_t out = 0;
    for (int at = 0; mask != 0; mask &= mask - 1, ++at)
        out |= (word >> std::countr_zero(mask) & 1) << at;
    return out;
}

/// The low bits of `word` moved, in order, to the places where `mask` is 1 (PDEP).
/// The plain reference of deposit_bits.
[[nodiscard]] constexpr std::uint64_t deposit_bits_plain(std::uint64_t word,
                                                         std::uint64_t mask) noexcept {
    std::uint64_t out = 0;
    for (; mask != 0; mask &= mask - 1, word >>= 1)
        out |= (word & 1) << std::countr_zero(mask);
    return out;
}

#if TARE_HAS_BMI2
/// As extract_bits_plain, in one instruction.
[[nodiscard]] inline std::uint64_t extract_bits(std::uint64_t word, std::uint64_t mask) noexcept {
    return _pext_u64(word, mask);
}
/// As deposit_bits_plain, in one instruction.
[[nodiscard]] inline std::uint64_t deposit_bits(std::uint64_t word, std::uint64_t mask) noexcept {
    return _pdep_u64(word, mask);
}
#else
[[nodiscard]] inline std::uint64_t extract_bits(std::uint64_t word, std::uint64_t mask) noexcept {
    return extract_bits_plain(word, mask);
}
[[nodiscard]] inline std::uint64_t deposit_bits(std::uint64_t word, std::uint64_t mask) noexcept {
    return deposit_bits_plain(word, mask);
}
#endif

/// The lowest `bits` (1 to 8) bits of each of the 8 bytes, moved together at the low end in order.
[[nodiscard]] inline std::uint64_t squeeze_bytes(std::uint64_t word, int bits) noexcept {
#if TARE_HAS_BMI2
    return _pext_u64(word, low_mask(bits) * 0x0101010101010101U);
#else
    std::uint64_t out = 0;
    for (int byte = 0; byte < 8; ++byte)
        out |= (word >> (8 * byte) & low_mask(bits)) << (byte * bits);
    return out;
#endif
}

}  // namespace tare
