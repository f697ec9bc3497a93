#pragma once
// SPDX-License-Identifier: MIT
// Tells text from binary data while it streams by: strict UTF-8 (no overlong forms, surrogates or
// values above U+10FFFF) without zero bytes, across any cut into blocks.
// Source: RFC 3629, section 4 (the grammar of well-formed byte sequences).

#include <cstddef>
#include <string_view>

namespace tare::text {

/// Feed blocks in order; the state between them is at most one unfinished character.
class utf8_checker {
  public:
    /// Position within `block` of the first byte that cannot be text, or block.size() if none.
    /// After such a byte the checker is of no further use.
    [[nodiscard]] constexpr std::size_t feed(std::string_view block) noexcept {
        std::size_t i = 0;
        while (i < block.size()) {
            const auto byte = static_cast<unsigned char>(block[i]);
            if (pending_ > 0) {
                if (byte < low_ || byte > high_) return i;
                low_ = 0x80;
                high_ = 0xBF;
                --pending_;
            } else if (!start(byte)) {
                return i;
            }
            ++i;
        }
        return i;
    }

    /// False when the text ends inside a character.
    [[nodiscard]] constexpr bool complete() const noexcept { return pending_ == 0; }

  private:
    // The second byte is what excludes overlong forms (E0, F0), surrogates (ED) and values above
    // U+10FFFF (F4); later ones are always 80..BF.
    constexpr bool start(unsigned char byte) noexcept {
        if (byte < 0x80) return byte != 0;
        if (byte < 0xC2 || byte > 0xF4) return false;
        pending_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
        low_ = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
        high_ = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
        return true;
    }

    int pending_ = 0;
    unsigned char low_ = 0x80;
    unsigned char high_ = 0xBF;
};

/// Whether all of `text` is well-formed UTF-8 without zero bytes.
[[nodiscard]] constexpr bool is_text(std::string_view text) noexcept {
    utf8_checker checker;
    return checker.feed(text) == text.size() && checker.complete();
}

/// Bytes of the character that `text` begins with; 0 where it begins with none.
[[nodiscard]] constexpr std::size_t first_character(std::string_view text) noexcept {
    utf8_checker checker;
    for (std::size_t length = 1; length <= text.size(); ++length) {
        if (checker.feed(text.substr(length - 1, 1)) == 0) return 0;
        if (checker.complete()) return length;
    }
    return 0;
}

}  // namespace tare::text
