#pragma once
// SPDX-License-Identifier: MIT
// The signed dynamic map: 256 values in [-0.99, 1], ascending, whose spacing grows tenfold per
// decade of magnitude, and the code of a number: the index of the nearest value.
// Source: Dettmers, Lewis, Shleifer, Zettlemoyer 2022, "8-bit optimizers via block-wise
// quantization", section 2.

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <tare/quantize/statistics.hpp>

namespace tare {

[[nodiscard]] inline const std::array<float, 256>& dynamic_map() {
    static const std::array<float, 256> map = [] {
        constexpr int decades = 7;
        std::array<float, 256> out{};
        std::size_t size = 0;
        for (int i = 0; i < decades; ++i) {
            const int steps = 1 << i;  // of equal length in [0.1, 1], each gives its middle
            for (int k = 0; k < steps; ++k) {
                const double middle = 0.1 + 0.9 * (k + 0.5) / steps;
                const auto v = static_cast<float>(middle * std::pow(10.0, i - (decades - 1)));
                out[size++] = v;
                out[size++] = -v;
            }
        }
        out[size++] = 0.0F;
        out[size++] = 1.0F;
        std::ranges::sort(out);
        return out;
    }();
    return map;
}

/// Index of the value of the map nearest to v by distances in float32, the lower one on ties. The
/// plain reference of dynamic_codes.
[[nodiscard]] inline std::uint8_t nearest_in_dynamic_map(float v) {
    const auto& map = dynamic_map();
    const auto above = std::ranges::lower_bound(map, v);
    auto k = static_cast<std::size_t>(above - map.begin());
    if (k == map.size() || (k > 0 && v - map[k - 1] <= map[k] - v)) --k;
    return static_cast<std::uint8_t>(k);
}

/// The same by two look-ups: numbers with one sign and exponent and the same first seven bits of
/// their mantissas share an entry, which has the code of the least of them; hardly ever does more
/// than one border follow.
class dynamic_codes {
  public:
    /// The tables, made at the first call.
    static const dynamic_codes& instance() {
        static const dynamic_codes codes;
        return codes;
    }
    /// nearest_in_dynamic_map(v) for |v| <= 1.
    [[nodiscard]] std::uint8_t operator()(float v) const noexcept {
        std::size_t code = first_[entry(detail::ordered_pattern(v))];
        while (v > last_[code])
            ++code;
        return static_cast<std::uint8_t>(code);
    }

  private:
    static constexpr std::int32_t one = 0x3F800000;  // the pattern of 1
    static constexpr int shared_bits = 16;
    static constexpr std::int32_t lowest = (-1 - one) >> shared_bits;  // the entry of -1

    static std::size_t entry(std::int32_t ordered) noexcept {
        return static_cast<std::size_t>((ordered >> shared_bits) - lowest);
    }

    dynamic_codes() {
        for (std::size_t code = 0; code + 1 < last_.size(); ++code) {
            // Between the values of two codes the first changes to the second once.
            std::int32_t low = detail::ordered_pattern(dynamic_map()[code]);
            std::int32_t high = detail::ordered_pattern(dynamic_map()[code + 1]);
            while (high - low > 1) {
                const std::int32_t middle = low + (high - low) / 2;
                (nearest_in_dynamic_map(detail::from_ordered(middle)) > code ? high : low) = middle;
            }
            last_[code] = detail::from_ordered(low);
        }
        last_.back() = std::numeric_limits<float>::infinity();
        std::size_t code = 0;
        for (std::size_t i = 0; i < first_.size(); ++i) {
            const std::int32_t least = (static_cast<std::int32_t>(i) + lowest) * (1 << shared_bits);
            while (detail::ordered_pattern(last_[code]) < least)
                ++code;
            first_[i] = static_cast<std::uint8_t>(code);
        }
    }

    std::array<float, 256> last_{};  // the largest number of every code
    std::array<std::uint8_t, static_cast<std::size_t>((one >> shared_bits) - lowest + 1)> first_{};
};

}  // namespace tare
