#pragma once
// SPDX-License-Identifier: MIT
// The least and the greatest byte of each of eight blocks of 64, a lane of a row each. Halves are
// compared until a byte is left, all blocks at once: a block alone would take a step of its own for
// every halving.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <tare/core/simd.hpp>
#include <tare/lossless/lanes.hpp>
#include <tare/lossless/word_row.hpp>

namespace tare {

#if defined(TARE_SIMD_512)

namespace detail {

// The best byte of each block in the lowest byte of its lane, the rest of which is zero.
template <class Better>
[[gnu::always_inline]] inline __m512i best_bytes(const std::uint8_t* bytes, Better better) {
    // Blocks 0, 2, 4, 6 and 1, 3, 5, 7, so that the last halving leaves them in order.
    __m512i v[row_lanes];
    for (int l = 0; l < 8; ++l)
        v[l] = _mm512_loadu_si512(bytes + 64 * (l < 4 ? 2 * l : 2 * l - 7));
    for (int l = 0; l < 4; ++l)
        v[l] = better(_mm512_shuffle_i64x2(v[2 * l], v[2 * l + 1], 0x44),
                      _mm512_shuffle_i64x2(v[2 * l], v[2 * l + 1], 0xEE));
    for (int l = 0; l < 2; ++l)
        v[l] = better(_mm512_shuffle_i64x2(v[2 * l], v[2 * l + 1], 0x88),
                      _mm512_shuffle_i64x2(v[2 * l], v[2 * l + 1], 0xDD));
    __m512i best = better(_mm512_unpacklo_epi64(v[0], v[1]), _mm512_unpackhi_epi64(v[0], v[1]));
    best = better(best, _mm512_srli_epi64(best, 32));
    best = better(best, _mm512_srli_epi64(best, 16));
    best = better(best, _mm512_srli_epi64(best, 8));
    return _mm512_and_si512(best, _mm512_set1_epi64(255));
}

}  // namespace detail

#endif

/// Stores the least and the greatest of bytes[64 l] to bytes[64 l + 63] in lane l.
inline void byte_extremes(const std::uint8_t* bytes, stored_row& least, stored_row& most) noexcept {
#if defined(TARE_SIMD_512)
    _mm512_store_si512(least.at, detail::best_bytes(bytes, [](__m512i a, __m512i b) {
                           return _mm512_min_epu8(a, b);
                       }));
    _mm512_store_si512(most.at, detail::best_bytes(bytes, [](__m512i a, __m512i b) {
                           return _mm512_max_epu8(a, b);
                       }));
#else
    for (std::size_t l = 0; l < row_lanes; ++l) {
        const auto block =
            std::span(bytes, row_lanes * mask_block).subspan(mask_block * l, mask_block);
        const auto [low, high] = std::ranges::minmax(block);
        least.at[l] = low;
        most.at[l] = high;
    }
#endif
}

}  // namespace tare
