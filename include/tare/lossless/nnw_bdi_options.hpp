#pragma once
// SPDX-License-Identifier: MIT
// What the NNW-BDI encoders are told: chunk length, configurations, immediates, shifts and the
// three switches. NNW-BDI is base-delta-immediate compression for quantized weights: within a chunk
// an element is zero, or a small delta from a known immediate, or a small delta from one of a few
// bases taken from the chunk itself. Source: the Rust library of the BDI repository of the authors
// of SmaQ (2020); classic scheme: Pekhimenko et al. 2012, "Base-delta-immediate compression",
// section 3.

#include <concepts>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>

namespace tare {

/// The integers that NNW-BDI encodes.
template <class Value>
concept bdi_value = std::same_as<Value, std::uint32_t> || std::same_as<Value, std::int32_t>;

/// One way to encode a chunk: up to `bases` bases of `base_bits`, all deltas of `delta_bits`.
/// A size of 0 bits stands for 32, as in the reference's release builds.
struct nnw_bdi_config {
    int bases = 0;
    int base_bits = 32;
    int delta_bits = 32;

    friend constexpr bool operator==(const nnw_bdi_config&, const nnw_bdi_config&) = default;
};

/// Options of both encoders; shifts in bits, to the right while encoding.
struct nnw_bdi_options {
    std::size_t chunk = 64;                   ///< elements that share bases and a configuration
    std::vector<nnw_bdi_config> configs;      ///< tried for each chunk; the smallest result wins
    std::vector<std::int64_t> immediates{0};  ///< bases known to both sides, free in the chunk
    int init_shift = 0;                       ///< of every value, before anything else
    int base_shift = 0;                       ///< of the bases
    int delta_shift = 0;                      ///< of the deltas
    bool zero_compression = true;             ///< a mask bit per element; zeros need no delta
    bool stochastic_rounding = false;         ///< of deltas when delta_shift > 0
    bool random_bases = false;                ///< a random candidate instead of the first
    std::uint64_t seed = 0;                   ///< of the two switches above

    /// The switches as the reference sets them: all three on. It has no default configurations.
    [[nodiscard]] static nnw_bdi_options reference_defaults() {
        nnw_bdi_options options;
        options.stochastic_rounding = options.random_bases = true;
        return options;
    }
};

/// Smallest and largest value of `bits` bits (0 stands for 32).
template <bdi_value Value>
struct bdi_range {
    Value least;
    Value most;

    explicit constexpr bdi_range(int bits) noexcept {
        const int unused = bits == 0 ? 0 : 32 - bits;
        least = static_cast<Value>(std::numeric_limits<Value>::min() >> unused);
        most = static_cast<Value>(std::numeric_limits<Value>::max() >> unused);
    }
    [[nodiscard]] constexpr bool holds(Value v) const noexcept { return least <= v && v <= most; }
};

inline constexpr std::size_t max_bdi_chunk = 4096;
inline constexpr std::size_t max_bdi_configs = 64;
inline constexpr std::size_t max_bdi_sources = 128;  ///< immediates, or bases of a configuration

/// Throws tare::error naming `function` and the option that is out of range.
template <bdi_value Value>
void check_options(const nnw_bdi_options& o, std::string_view function) {
    const auto shift_ok = [](int s) { return s >= 0 && s < 32; };
    const auto bits_ok = [](int b) { return b >= 0 && b <= 32; };
    require(o.chunk >= 1 && o.chunk <= max_bdi_chunk, function, ": chunk is ", o.chunk,
            " elements; it must be 1 to ", max_bdi_chunk);
    require(shift_ok(o.init_shift) && shift_ok(o.base_shift) && shift_ok(o.delta_shift), function,
            ": shifts are ", o.init_shift, ", ", o.base_shift, ", ", o.delta_shift,
            " (init, base, delta); each must be 0 to 31");
    require(o.configs.size() <= max_bdi_configs, function, ": ", o.configs.size(),
            " configurations; at most ", max_bdi_configs, " are supported");
    for (const nnw_bdi_config& c : o.configs) {
        require(c.bases >= 0 && c.bases <= static_cast<int>(max_bdi_sources), function,
                ": a configuration has ", c.bases, " bases; it must be 0 to ", max_bdi_sources);
        require(bits_ok(c.base_bits) && bits_ok(c.delta_bits), function,
                ": a configuration has bases of ", c.base_bits, " and deltas of ", c.delta_bits,
                " bits; both must be 0 to 32 (0 stands for 32)");
    }
    require(o.immediates.size() <= max_bdi_sources, function, ": ", o.immediates.size(),
            " immediates; at most ", max_bdi_sources, " are supported");
    for (const std::int64_t i : o.immediates)
        require(std::int64_t{std::numeric_limits<Value>::min()} <= i &&
                    i <= std::int64_t{std::numeric_limits<Value>::max()},
                function, ": immediate ", i, " does not fit in the ",
                std::is_signed_v<Value> ? "signed" : "unsigned", " 32-bit type of the values");
}

}  // namespace tare
