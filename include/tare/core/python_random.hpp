#pragma once
// SPDX-License-Identifier: MIT
// The draws of Python's random module, for searches that must repeat what a Python program drew:
// Mersenne Twister MT19937, seeded with an integer as random.seed(n) does (init_by_array of its
// 32-bit words), and random.choice: draw bit_length(n) bits until they are below n.
// Sources: Matsumoto and Nishimura 1998; the module's documented reproducibility.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include <tare/core/error.hpp>

namespace tare {

/// A generator with a position, unlike random_stream.
class python_random {
  public:
    explicit constexpr python_random(std::uint64_t seed) {
        const std::array<std::uint32_t, 2> key{static_cast<std::uint32_t>(seed),
                                               static_cast<std::uint32_t>(seed >> 32)};
        start(std::span(key).first(key[1] == 0 ? 1 : 2));
    }

    /// The next 32 bits.
    constexpr std::uint32_t next() {
        if (at_ == size) turn();
        std::uint32_t y = state_[at_++];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9D2C5680U;
        y ^= (y << 15) & 0xEFC60000U;
        return y ^ (y >> 18);
    }
    /// A number below `count`, as random.randrange(count). **Throws** tare::error on 0.
    constexpr std::uint32_t below(std::uint32_t count) {
        require(count >= 1, "python_random: a number below 0 was asked for");
        const auto bits = static_cast<int>(std::bit_width(count));
        std::uint32_t drawn = next() >> (32 - bits);
        while (drawn >= count)
            drawn = next() >> (32 - bits);
        return drawn;
    }
    /// One of the elements, as random.choice.
    template <class T>
    constexpr const T& choice(std::span<const T> elements) {
        return elements[below(static_cast<std::uint32_t>(elements.size()))];
    }

  private:
    static constexpr std::size_t size = 624;
    static constexpr std::size_t shift = 397;

    constexpr void start(std::span<const std::uint32_t> key) {
        state_[0] = 19650218U;
        for (std::size_t i = 1; i < size; ++i)
            state_[i] = 1812433253U * (state_[i - 1] ^ (state_[i - 1] >> 30)) +
                        static_cast<std::uint32_t>(i);
        std::size_t i = 1;
        const auto mix = [&](std::uint32_t factor) {
            const std::uint32_t mixed =
                state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * factor);
            return mixed;
        };
        const auto advance = [&] {
            if (++i < size) return;
            state_[0] = state_[size - 1];
            i = 1;
        };
        for (std::size_t n = 0; n < size; ++n) {
            const std::size_t j = n % key.size();
            state_[i] = mix(1664525U) + key[j] + static_cast<std::uint32_t>(j);
            advance();
        }
        for (std::size_t n = 1; n < size; ++n) {
            state_[i] = mix(1566083941U) - static_cast<std::uint32_t>(i);
            advance();
        }
        state_[0] = 0x80000000U;
    }
    constexpr void turn() {
        for (std::size_t i = 0; i < size; ++i) {
            const std::uint32_t y =
                (state_[i] & 0x80000000U) | (state_[(i + 1) % size] & 0x7FFFFFFFU);
            state_[i] = state_[(i + shift) % size] ^ (y >> 1) ^ ((y & 1U) != 0 ? 0x9908B0DFU : 0U);
        }
        at_ = 0;
    }

    std::array<std::uint32_t, size> state_{};
    std::size_t at_ = size;
};

}  // namespace tare
