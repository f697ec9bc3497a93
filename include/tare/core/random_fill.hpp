#pragma once
// SPDX-License-Identifier: MIT
// Many consecutive words of a random_stream at once: the same bits as random_stream::bits. Philox
// counters lie side by side, one in each 64-bit lane, because its multiplication takes 32-bit
// halves to a 64-bit product and never looks at the upper halves: they need not be cleared. Source:
// Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <tare/core/random.hpp>
#include <tare/core/simd_tables.hpp>
#include <tare/core/simd_words64.hpp>

namespace tare {

namespace detail {

inline constexpr std::size_t philox_counters = 32;
inline constexpr std::size_t philox_words = 4 * philox_counters;

/// The keys of all rounds in every lane, and the fixed half of the counter.
template <int Rounds = philox_rounds>
struct philox_keys {
    static constexpr auto rounds = static_cast<std::size_t>(Rounds);
    std::array<simd::words64, rounds> key0;
    std::array<simd::words64, rounds> key1;
    std::array<std::uint64_t, 2> start0, start1;  // of the first two rounds
    std::uint64_t stream;

    explicit philox_keys(const random_stream& draws) noexcept : stream(draws.stream()) {
        auto k0 = static_cast<std::uint32_t>(draws.seed());
        auto k1 = static_cast<std::uint32_t>(draws.seed() >> 32);
        for (std::size_t round = 0; round < rounds; ++round) {
            key0[round] = simd::words64(std::uint64_t{k0});
            key1[round] = simd::words64(std::uint64_t{k1});
            if (round < start0.size()) {
                start0[round] = k0;
                start1[round] = k1;
            }
            k0 += 0x9E3779B9U;
            k1 += 0xBB67AE85U;
        }
    }
};

/// Words [philox_words * group, philox_words * (group + 1)) of the stream, or twice as many
/// half-words, the lower one of a word first: `out` may be an array of either.
template <int Rounds>
void philox_group(const philox_keys<Rounds>& keys, std::uint64_t group, void* out) noexcept {
    using simd::words64;
    const std::uint64_t first = group * philox_counters;
    std::array<std::uint64_t, philox_counters> counters;
    for (std::size_t i = 0; i < philox_counters; ++i)
        counters[i] = first + i;

    constexpr std::uint64_t factor0 = 0xD2511F53U;
    constexpr std::uint64_t factor1 = 0xCD9E8D57U;
    const words64 multiplier0(factor0);
    const words64 multiplier1(factor1);
    const words64 half(std::uint64_t{0xFFFF'FFFFU});
    // The counters of a group differ in one word alone, so that half of the first two rounds is
    // the same for all of them.
    const std::uint64_t p1 = factor1 * (keys.stream & 0xFFFF'FFFFU);
    const std::uint64_t a0 = (p1 >> 32 ^ first >> 32 ^ keys.start0[0]) & 0xFFFF'FFFFU;
    const std::uint64_t p0 = factor0 * a0;
    const words64 xor0(p1 ^ keys.start0[1]);
    const words64 xor2(keys.stream >> 32 ^ keys.start1[0]);
    const words64 xor4(p0 >> 32 ^ keys.start1[1]);
    // Several registers of counters side by side: a round is a chain of a product, a shuffle and an
    // exclusive or, and one chain alone leaves the multipliers idle most of the time.
    constexpr std::size_t side = simd::lanes64 >= 8 ? 4 : (simd::lanes64 > 1 ? 2 : 1);
    for (std::size_t at = 0; at < philox_counters; at += side * simd::lanes64) {
        words64 c0[side], c1[side], c2[side], c3[side];
#pragma GCC unroll 4
        for (std::size_t k = 0; k < side; ++k) {
            const words64 low =
                simd::mul_low(simd::load(counters.data() + at + k * simd::lanes64), multiplier0);
            c1[k] = simd::mul_low(simd::high_to_low(low) ^ xor2, multiplier1);
            c0[k] = simd::high_to_low(c1[k]) ^ xor0;
            c2[k] = low ^ xor4;
            c3[k] = words64(p0);
        }
#pragma GCC unroll 8
        for (std::size_t round = 2; round < keys.rounds; ++round) {
#pragma GCC unroll 4
            for (std::size_t k = 0; k < side; ++k) {
                const words64 q0 = simd::mul_low(c0[k], multiplier0);
                const words64 q1 = simd::mul_low(c2[k], multiplier1);
                c0[k] = simd::high_to_low(q1) ^ c1[k] ^ keys.key0[round];
                c1[k] = q1;
                c2[k] = simd::high_to_low(q0) ^ c3[k] ^ keys.key1[round];
                c3[k] = q0;
            }
        }
#pragma GCC unroll 4
        for (std::size_t k = 0; k < side; ++k)
            simd::store_in_turns(static_cast<std::byte*>(out) + 16 * (at + k * simd::lanes64),
                                 (c0[k] & half) | (c1[k] << 32), (c2[k] & half) | (c3[k] << 32));
    }
}

}  // namespace detail

/// out[i] = stream.bits(first + i) for every i.
/// **Complexity/threads** about 0.4 ns a word with AVX-512, on the calling thread.
inline void fill_bits(const random_stream& stream, std::uint64_t first,
                      std::span<std::uint32_t> out) noexcept {
    const detail::philox_keys<> keys(stream);
    std::size_t done = 0;
    while (done < out.size()) {
        const std::uint64_t at = first + done;
        const auto skip = static_cast<std::size_t>(at % detail::philox_words);
        const std::size_t left = out.size() - done;
        if (skip == 0 && left >= detail::philox_words) {
            detail::philox_group(keys, at / detail::philox_words, out.data() + done);
            done += detail::philox_words;
        } else {
            std::array<std::uint32_t, detail::philox_words> group;
            detail::philox_group(keys, at / detail::philox_words, group.data());
            const std::size_t count = std::min(left, detail::philox_words - skip);
            std::copy_n(group.begin() + static_cast<std::ptrdiff_t>(skip), count,
                        out.begin() + static_cast<std::ptrdiff_t>(done));
            done += count;
        }
    }
}

/// The `index`-th half-word of a stream of rounding_rounds, for rounding: two for each word,
/// because the generator costs more than what is usually done with a draw.
[[nodiscard]] constexpr std::uint16_t rounding_bits(const random_stream& random,
                                                    std::uint64_t index) noexcept {
    const std::uint32_t word = random.bits<rounding_rounds>(index / 2);
    return static_cast<std::uint16_t>(word >> (16 * (index % 2)));
}
/// (h + 1/2) / 2^16 of half-words: uniform in (0, 1), and a fraction exceeds it with a probability
/// that is right to 2^-17.
[[nodiscard, gnu::always_inline]] inline simd::floats uniform_16(simd::ints halves) {
    // Both steps are exact, fused or not.
    return simd::fma(simd::to_floats(halves), simd::broadcast(0x1p-16F), simd::broadcast(0x1p-17F));
}
/// The same of one, the `index`-th.
[[nodiscard]] constexpr float uniform_16(const random_stream& random,
                                         std::uint64_t index) noexcept {
    const std::int32_t half = rounding_bits(random, index);
    return (static_cast<float>(half) + 0.5F) * 0x1p-16F;
}

/// Half-words that fill_rounding_bits writes at a time.
inline constexpr std::size_t rounding_bits_block = 2 * detail::philox_words;

/// out[i] = rounding_bits(first + i) for every i, on the calling thread. `first` and the size of
/// `out` are multiples of rounding_bits_block. A function of its own, not inlined: the generator
/// unrolls to thousands of instructions.
[[gnu::noinline]] inline void fill_rounding_bits(const detail::philox_keys<rounding_rounds>& keys,
                                                 std::uint64_t first,
                                                 std::span<std::uint16_t> out) noexcept {
    static_assert(std::endian::native == std::endian::little);
    for (std::size_t at = 0; at < out.size(); at += rounding_bits_block)
        detail::philox_group(keys, (first + at) / rounding_bits_block, out.data() + at);
}

}  // namespace tare
