#pragma once
// SPDX-License-Identifier: MIT
// Counter-based random numbers: the n-th draw is a function of (seed, stream, n) alone, so results
// depend neither on threads nor on the order of the calls, and any draw can be recomputed.
// Philox-4x32 with 10 rounds, 7 for stochastic rounding. Source: Salmon, Moraes, Dror, Shaw 2011,
// "Parallel random numbers: as easy as 1, 2, 3" (SC '11), sections 2 (BigCrush) and 3.

#include <array>
#include <cmath>
#include <cstdint>

namespace tare {

/// Rounds of Philox-4x32 as its authors recommend it: with a margin of safety.
inline constexpr int philox_rounds = 10;
/// Rounds behind a draw that only decides a rounding. Seven are the fewest with which Philox-4x32
/// passes all of BigCrush (Salmon et al.); the other three are the margin. Rounding shows
/// no more of a draw than one comparison and needs none of it, while three rounds are a third of
/// what the draws cost. Weights, samples and dropout keep the ten.
inline constexpr int rounding_rounds = 7;

/// Four random 32-bit words for one 128-bit counter under one 64-bit key.
template <int Rounds = philox_rounds>
[[nodiscard]] constexpr std::array<std::uint32_t, 4>
philox(std::array<std::uint32_t, 4> counter, std::uint32_t key0, std::uint32_t key1) noexcept {
    static_assert(Rounds >= rounding_rounds, "fewer rounds than seven fail BigCrush");
    for (int round = 0; round < Rounds; ++round) {
        const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * counter[0];
        const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * counter[2];
        counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key0,
                   static_cast<std::uint32_t>(p1),
                   static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key1,
                   static_cast<std::uint32_t>(p0)};
        key0 += 0x9E3779B9U;
        key1 += 0xBB67AE85U;
    }
    return counter;
}

/// A stream of random numbers addressed by index. Copy it freely: it holds no position.
class random_stream {
  public:
    constexpr random_stream(std::uint64_t seed, std::uint64_t stream) noexcept
        : seed_(seed), stream_(stream) {}

    /// 32 random bits, the `index`-th of the stream (of that number of rounds).
    template <int Rounds = philox_rounds>
    [[nodiscard]] constexpr std::uint32_t bits(std::uint64_t index) const noexcept {
        const std::uint64_t block = index / 4;
        return philox<Rounds>(
            {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
             static_cast<std::uint32_t>(stream_), static_cast<std::uint32_t>(stream_ >> 32)},
            static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32))[index % 4];
    }
    /// Uniform in [0, 1) on the 2^-24 grid (exact in float32).
    [[nodiscard]] constexpr float uniform(std::uint64_t index) const noexcept {
        return static_cast<float>(bits(index) >> 8) * 0x1p-24F;
    }
    /// Uniform integer in [0, bound), bound > 0 (multiply-shift; bias below bound / 2^32).
    [[nodiscard]] constexpr std::uint32_t below(std::uint64_t index,
                                                std::uint32_t bound) const noexcept {
        return static_cast<std::uint32_t>((std::uint64_t{bits(index)} * bound) >> 32);
    }
    /// Standard normal (Box and Muller 1958, cosine branch), computed in double.
    [[nodiscard]] float normal(std::uint64_t index) const noexcept {
        const double u = (static_cast<double>(bits(2 * index)) + 1.0) * 0x1p-32;
        const double v = static_cast<double>(bits(2 * index + 1)) * 0x1p-32;
        return static_cast<float>(std::sqrt(-2.0 * std::log(u)) *
                                  std::cos(6.283185307179586476925 * v));
    }

    [[nodiscard]] constexpr std::uint64_t seed() const noexcept { return seed_; }
    [[nodiscard]] constexpr std::uint64_t stream() const noexcept { return stream_; }

  private:
    std::uint64_t seed_;
    std::uint64_t stream_;
};

/// The seed of the `call`-th use of a seed: 64 mixed bits, so that neighbouring calls share no
/// draws.
[[nodiscard]] constexpr std::uint64_t seed_of_call(std::uint64_t seed,
                                                   std::uint64_t call) noexcept {
    constexpr std::uint64_t seeds_stream = 0x73656564U;
    const random_stream words(seed, seeds_stream);
    return std::uint64_t{words.bits(2 * call)} << 32 | words.bits(2 * call + 1);
}

}  // namespace tare
