#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI, what configurations cost: 8 families of them side by side, each in a lane of its own, so
// that a row of 64-bit numbers is one AVX-512 register. A price is the size in bits,
//   bits = front + used bases base_bits + stored elements (delta_bits + selector bits),
// above the index of the configuration: the least price is the smallest result, the first one of
// equals. Configurations that differ in the number of bases only are one family: they take the same
// bases in turn and stop at different ones.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <tare/core/simd.hpp>

namespace tare::detail {

inline constexpr std::size_t bdi_lanes = 8;    // families at most
inline constexpr std::size_t bdi_sources = 7;  // immediates and bases of a chunk at most

// One number of each family.
template <class T>
struct alignas(sizeof(T) * bdi_lanes) bdi_row {
    T at[bdi_lanes];
};
using bdi_words = bdi_row<std::uint64_t>;

inline constexpr int bdi_price_shift = 8;                              // room for the index
inline constexpr std::uint64_t bdi_no_price = std::uint64_t{1} << 48;  // above all others

// What does not depend on the elements. Bits are shifted left by bdi_price_shift.
struct bdi_price_table {
    std::size_t immediates = 0;
    std::size_t most_bases = 0;
    bdi_words delta_bits{};
    bdi_words base_bits{};
    bdi_words front[bdi_sources + 1];  // by number of bases; bdi_no_price: there is no such one
};

// Which stored elements each source takes, immediates first, and by number of bases which are left.
struct bdi_cover {
    bdi_words masks[bdi_sources] = {};
    bdi_words left[bdi_sources + 1] = {};
};

// The least price of all families under `stored` elements. The plain reference of bdi_least_price.
[[nodiscard]] inline std::uint64_t bdi_least_price_plain(const bdi_price_table& table,
                                                         const bdi_cover& cover,
                                                         std::uint64_t stored) noexcept {
    std::uint64_t best = bdi_no_price;
    for (std::size_t l = 0; l < bdi_lanes; ++l) {
        std::uint64_t sources = 0;
        for (std::size_t i = 0; i < table.immediates; ++i)
            sources += cover.masks[i].at[l] != 0;
        std::uint64_t bits = 0;
        for (std::size_t b = 0;; ++b) {
            const auto planes =
                static_cast<std::uint64_t>(std::bit_width(sources - (sources != 0)));
            const std::uint64_t each = table.delta_bits.at[l] + (planes << bdi_price_shift);
            const std::uint64_t fails = cover.left[b].at[l] != 0 ? bdi_no_price : 0;
            best = std::min(best, table.front[b].at[l] + bits + stored * each + fails);
            if (b == table.most_bases) break;
            const bool used = cover.masks[table.immediates + b].at[l] != 0;
            sources += used;
            bits += used ? table.base_bits.at[l] : 0;
        }
    }
    return best;
}

// As bdi_least_price_plain, all families at once.
[[nodiscard]] inline std::uint64_t bdi_least_price(const bdi_price_table& table,
                                                   const bdi_cover& cover,
                                                   std::uint64_t stored) noexcept {
#ifdef TARE_SIMD_512
    const __m512i one = _mm512_set1_epi64(1);
    const __m512i none = _mm512_set1_epi64(static_cast<long long>(bdi_no_price));
    const __m512i times = _mm512_set1_epi64(static_cast<long long>(stored));
    const __m512i delta_bits = _mm512_load_si512(table.delta_bits.at);
    const __m512i base_bits = _mm512_load_si512(table.base_bits.at);
    // Selector bits of 0 to 7 sources.
    const __m512i planes =
        _mm512_slli_epi64(_mm512_setr_epi64(0, 0, 1, 2, 2, 3, 3, 3), bdi_price_shift);
    __m512i sources = _mm512_setzero_si512();
    __m512i bits = _mm512_setzero_si512();
    __m512i best = none;
    const auto count = [&](std::size_t source) {
        const __m512i mask = _mm512_load_si512(cover.masks[source].at);
        const __mmask8 used = _mm512_test_epi64_mask(mask, mask);
        sources = _mm512_mask_add_epi64(sources, used, sources, one);
        return used;
    };
    for (std::size_t i = 0; i < table.immediates; ++i)
        (void)count(i);
    for (std::size_t b = 0;; ++b) {
        const __m512i each =
            _mm512_add_epi64(delta_bits, _mm512_permutexvar_epi64(sources, planes));
        const __m512i left = _mm512_load_si512(cover.left[b].at);
        const __m512i front = _mm512_add_epi64(_mm512_load_si512(table.front[b].at), bits);
        const __m512i price = _mm512_add_epi64(front, _mm512_mul_epu32(each, times));
        best = _mm512_mask_min_epu64(best, _mm512_testn_epi64_mask(left, left), best, price);
        if (b == table.most_bases) break;
        const __mmask8 used = count(table.immediates + b);
        bits = _mm512_mask_add_epi64(bits, used, bits, base_bits);
    }
    return _mm512_reduce_min_epu64(best);
#else
    return bdi_least_price_plain(table, cover, stored);
#endif
}

}  // namespace tare::detail
