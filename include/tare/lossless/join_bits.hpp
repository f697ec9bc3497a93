#pragma once
// SPDX-License-Identifier: MIT
// Strings of bits, each from the beginning of a byte on, one behind the other without a gap: how
// the parts of a stream that threads made come together. All whole bytes of the result are written
// by the threads; the bytes in which strings meet follow on one. Bit order: as in
// <tare/lossless/bit_pack.hpp>, least significant bit first.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <tare/core/bits.hpp>
#include <tare/core/parallel.hpp>

namespace tare {

/// The first `bits` bits from `data` on; those behind them in the last byte may be anything.
struct bit_string {
    const std::byte* data = nullptr;
    std::int64_t bits = 0;
};

namespace detail {

/// out[0 .. bytes) = the bits of `from` from bit `skip` (0 to 7) on.
inline void copy_shifted(const std::byte* from, int skip, std::int64_t bytes,
                         std::byte* out) noexcept {
    if (skip == 0) {
        if (bytes > 0) std::memcpy(out, from, static_cast<std::size_t>(bytes));
        return;
    }
    // The byte behind the last one that is written belongs to the string, so that a word and one
    // byte may be read as long as a word is written.
    const std::int64_t words = bytes / 8;
#pragma omp simd
    for (std::int64_t w = 0; w < words; ++w) {
        std::uint64_t low;
        std::memcpy(&low, from + 8 * w, sizeof low);
        const auto high = std::to_integer<std::uint64_t>(from[8 * w + 8]);
        const std::uint64_t word = low >> skip | high << (64 - skip);
        std::memcpy(out + 8 * w, &word, sizeof word);
    }
    for (std::int64_t b = 8 * words; b < bytes; ++b)
        out[b] = from[b] >> skip | from[b + 1] << (8 - skip);
}

}  // namespace detail

/// Writes all strings to `out`, which holds their bits; bits behind the last one become 0. Returns
/// the bits.
/// **Complexity/threads** strings on all threads; a string is not divided.
inline std::int64_t join_bits(std::span<const bit_string> strings, std::byte* out) {
    std::vector<std::int64_t> begin;  // of every string, and the end of the last
    begin.reserve(strings.size() + 1);
    std::int64_t all = 0;
    for (const bit_string& s : strings) {
        begin.push_back(all);
        all += s.bits;
    }
    begin.push_back(all);
    constexpr extent bits_per_step = 64;
    const auto count = static_cast<extent>(strings.size());
    const extent work = count > 0 ? all / count / bits_per_step + 1 : 1;
    parallel_for(count, 1, work, [&](extent first, extent last) {
        for (extent i = first; i < last; ++i) {
            const auto k = static_cast<std::size_t>(i);
            const std::int64_t from = (begin[k] + 7) / 8;
            const std::int64_t whole = begin[k + 1] / 8 - from;
            const int skip = static_cast<int>(8 * from - begin[k]);
            detail::copy_shifted(strings[k].data, skip, whole, out + from);
        }
    });
    // What is left of each: bits of the byte that it begins in, and of that in which it ends.
    for (const std::int64_t place : begin)
        if (place % 8 != 0) out[place / 8] = std::byte{0};
    for (std::size_t k = 0; k < strings.size(); ++k) {
        const auto put = [&](std::int64_t from, std::int64_t to) {
            for (std::int64_t bit = from; bit < to; ++bit) {
                const std::int64_t in = bit - begin[k];
                const std::byte one = strings[k].data[in / 8] >> (in % 8) & std::byte{1};
                out[bit / 8] |= one << (bit % 8);
            }
        };
        const std::int64_t head = std::min((begin[k] + 7) / 8 * 8, begin[k + 1]);
        put(begin[k], head);
        put(std::max(head, begin[k + 1] / 8 * 8), begin[k + 1]);
    }
    return all;
}

}  // namespace tare
