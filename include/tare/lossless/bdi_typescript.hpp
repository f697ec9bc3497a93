#pragma once
// SPDX-License-Identifier: MIT
// The accounting of the TypeScript encoder in the BDI repository (2020), by name, with its defects:
// one block of signed 64-bit integers, an immediate base 0 and one more base, six configurations.
//   bits = base bits (if the base is used) + elements delta_bits
// Neither the base index of an element nor the configuration is paid for, negative deltas of any
// size pass, and the limits are not 2^n - 1; a stream of these sizes cannot be decoded.

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include <tare/core/error.hpp>

namespace tare {

/// Base and delta bits of the six configurations, in the order in which the encoder tries them.
inline constexpr std::array<std::array<int, 2>, 6> bdi_typescript_configs{
    {{64, 8}, {64, 32}, {64, 16}, {32, 16}, {32, 8}, {16, 8}}};

/// One encoded block.
struct bdi_typescript_block {
    std::size_t config = 0;          ///< index into bdi_typescript_configs
    std::int64_t bits = 0;           ///< by the encoder's accounting
    std::int64_t original_bits = 0;  ///< as the encoder counts them: 100 an element, not 64
    int bases = 1;                   ///< in use, the zero immediate included
    std::int64_t base = 0;           ///< the one that is not immediate, 0 if unused
    std::vector<int> base_index;     ///< of each element: 0 immediate, 1 base
    std::vector<std::int64_t> delta;
};

/// The encoder's limit of n bits: the OR of i << i for i below n, where 2^n - 1 was meant. n is 8,
/// 16 or 32; for 64 the true figure is beyond 64 bits and holds every value.
[[nodiscard]] constexpr std::int64_t bdi_typescript_limit(int bits) noexcept {
    if (bits == 64) return std::numeric_limits<std::int64_t>::max();
    std::int64_t limit = 0;
    for (std::int64_t i = 0; i < bits; ++i)
        limit |= i << i;
    return limit;
}

namespace detail {

// value - base <= limit, for differences of up to 65 bits.
[[nodiscard]] constexpr bool within_typescript(std::int64_t value, std::int64_t base,
                                               std::int64_t limit) noexcept {
    if (value < base) return true;  // the encoder has no lower bound
    return static_cast<std::uint64_t>(value) - static_cast<std::uint64_t>(base) <=
           static_cast<std::uint64_t>(limit);
}

inline std::optional<bdi_typescript_block> try_typescript(std::span<const std::int64_t> values,
                                                          std::size_t config) {
    const auto [base_bits, delta_bits] = bdi_typescript_configs[config];
    const std::int64_t base_limit = bdi_typescript_limit(base_bits);
    const std::int64_t delta_limit = bdi_typescript_limit(delta_bits);
    bdi_typescript_block out;
    out.config = config;
    out.base_index.assign(values.size(), -1);
    out.delta.assign(values.size(), 0);
    std::size_t left = values.size();
    const auto run = [&](std::int64_t base, int index) {
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (out.base_index[i] >= 0 || !within_typescript(values[i], base, delta_limit))
                continue;
            out.base_index[i] = index;
            out.delta[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(values[i]) -
                                                     static_cast<std::uint64_t>(base));
            --left;
        }
    };
    run(0, 0);
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (out.base_index[i] >= 0 || values[i] > base_limit) continue;
        out.base = values[i];
        out.bases = 2;
        out.bits = base_bits;
        run(out.base, 1);
        break;
    }
    if (left != 0) return std::nullopt;
    out.bits += static_cast<std::int64_t>(values.size()) * delta_bits;
    return out;
}

}  // namespace detail

/// Encodes one block: the configuration with the fewest bits, the later one on ties.
/// Deltas beyond 64 bits (they need values of opposite sign near the ends of the type) wrap.
/// Throws if no configuration fits.
[[nodiscard]] inline bdi_typescript_block bdi_typescript(std::span<const std::int64_t> values) {
    std::optional<bdi_typescript_block> best;
    for (std::size_t c = 0; c < bdi_typescript_configs.size(); ++c) {
        auto tried = detail::try_typescript(values, c);
        if (tried && (!best || tried->bits <= best->bits)) best = std::move(tried);
    }
    require(best.has_value(), "bdi_typescript: no configuration fits the block of ", values.size(),
            " values; this encoder has no uncompressed form");
    constexpr std::int64_t counted_bits = 100;  // the encoder writes 0x64 where 64 was meant
    best->original_bits = static_cast<std::int64_t>(values.size()) * counted_bits;
    return std::move(*best);
}

}  // namespace tare
