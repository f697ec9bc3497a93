#pragma once
// SPDX-License-Identifier: MIT
// What names the inputs of a stage, a search or a file of labels: results kept under one key are
// taken up again, all others are made anew.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>

#include "language_model.hpp"

namespace tare::tool {

/// FNV-1a over texts, numbers and weights: names a stage's inputs. Not for use against malice.
class input_key {
  public:
    input_key& add(std::string_view text) {
        for (const char c : text)
            mix(static_cast<unsigned char>(c));
        mix(0xFF);  // no text holds this byte: neighbours stay apart
        return *this;
    }
    input_key& add(std::span<const token> words) {
        for (const token w : words)
            for (int byte = 0; byte < 4; ++byte)
                mix(static_cast<unsigned char>(static_cast<std::uint32_t>(w) >> (8 * byte)));
        return *this;
    }
    input_key& add(const weights& values) {
        for (const auto& [label, value] : values) {
            add(label);
            for (const std::byte byte : std::as_bytes(value.values()))
                mix(static_cast<unsigned char>(byte));
        }
        return *this;
    }
    [[nodiscard]] std::uint64_t value() const noexcept { return hash_; }
    [[nodiscard]] std::string text() const {
        char out[20];
        std::snprintf(out, sizeof out, "%016llx", static_cast<unsigned long long>(hash_));
        return out;
    }

  private:
    void mix(unsigned char byte) { hash_ = (hash_ ^ byte) * 0x100000001B3U; }
    std::uint64_t hash_ = 0xCBF29CE484222325U;
};

}  // namespace tare::tool
