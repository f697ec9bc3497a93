#pragma once
// SPDX-License-Identifier: MIT
// Integers as the file formats of this room store them: least significant byte first.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace tare::io {

/// The unsigned integer in bytes [at, at + width) of `from`; the caller has checked that they
/// exist.
[[nodiscard]] inline std::uint64_t load_little(std::span<const std::byte> from, std::size_t at,
                                               std::size_t width) {
    std::uint64_t value = 0;
    for (std::size_t i = width; i-- > 0;)
        value = value << 8 | std::to_integer<std::uint64_t>(from[at + i]);
    return value;
}

/// Appends the low `width` bytes of `value`; returns `out`, so that calls nest.
inline std::string& append_little(std::string& out, std::uint64_t value, std::size_t width) {
    for (std::size_t i = 0; i < width; ++i)
        out += static_cast<char>(value >> (8 * i) & 0xFF);
    return out;
}

}  // namespace tare::io
