#pragma once
// SPDX-License-Identifier: MIT
// NNW-BDI, what configurations cost. Those that differ in the number of bases only are a family:
// they take the same bases in turn and stop at different ones. A price is the size in bits,
//   bits = front + used bases base_bits + stored elements (delta_bits + selector bits),
// above the index of the configuration: the least price is the smallest result, the first one of
// equals. Eight chunks are priced together, a lane of a row each.

#include <bit>
#include <cstddef>
#include <cstdint>

#include <tare/lossless/word_row.hpp>

namespace tare::detail {

inline constexpr std::size_t bdi_families = 8;  // at most
inline constexpr std::size_t bdi_sources = 7;   // immediates and bases of a chunk at most

inline constexpr int bdi_price_shift = 8;                              // room for the index
inline constexpr std::uint64_t bdi_no_price = std::uint64_t{1} << 48;  // above all others

// One family's prices: of the configuration that has room for so many used bases and the shortest
// fields in front of the selectors, shifted left by bdi_price_shift.
struct bdi_price_table {
    stored_row front;  // those fields with the bases, and the index; bdi_no_price: there is none
    std::uint64_t delta_bits = 0;
};

// The price of one chunk. The plain reference of bdi_price.
[[nodiscard]] inline std::uint64_t bdi_price_plain(const bdi_price_table& table,
                                                   std::uint64_t bases, std::uint64_t sources,
                                                   std::uint64_t stored) noexcept {
    const auto planes = static_cast<std::uint64_t>(std::bit_width(sources - (sources != 0)));
    return table.front.at[bases] + stored * ((table.delta_bits + planes) << bdi_price_shift);
}

// The prices of eight chunks that use 0 to 7 `bases` and so many immediates more that there are
// 0 to 7 `sources`.
[[nodiscard]] inline word_row bdi_price(const bdi_price_table& table, word_row bases,
                                        word_row sources, word_row stored) noexcept {
    static constexpr stored_row planes = {{0, 0, 1, 2, 2, 3, 3, 3}};
    const word_row each = looked_up(planes, sources) + word_row(table.delta_bits);
    return looked_up(table.front, bases) +
           (product(each, stored) << word_row(std::uint64_t{bdi_price_shift}));
}

}  // namespace tare::detail
