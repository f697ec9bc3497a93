#pragma once
// SPDX-License-Identifier: MIT
// A short text that lives inside its object, so that names of parameters and modules work in
// constant expressions (std::string does not, under Clang 14) and cost no allocation.

#include <array>
#include <cstddef>
#include <string_view>

#include <tare/core/error.hpp>

namespace tare {

/// Up to 63 characters.
class short_text {
  public:
    static constexpr std::size_t capacity = 63;

    constexpr short_text() = default;
    constexpr short_text(std::string_view text) { append(text); }
    constexpr short_text(const char* text) { append(text); }

    /// Appends text. Throws when the whole would be longer than 63 characters.
    constexpr short_text& append(std::string_view text) {
        require(size_ + text.size() <= capacity, "short_text: '", view(), text, "' is longer than ",
                capacity, " characters");
        for (const char c : text)
            characters_[size_++] = c;
        return *this;
    }
    /// Appends a number in decimal.
    constexpr short_text& append(std::size_t number) {
        std::array<char, 20> digits{};
        std::size_t n = 0;
        do {
            digits[n++] = static_cast<char>('0' + number % 10);
            number /= 10;
        } while (number != 0);
        while (n > 0)
            append(std::string_view(&digits[--n], 1));
        return *this;
    }

    [[nodiscard]] constexpr std::string_view view() const noexcept {
        return {characters_.data(), size_};
    }
    constexpr operator std::string_view() const noexcept { return view(); }

    friend constexpr bool operator==(const short_text& a, const short_text& b) noexcept {
        return a.view() == b.view();
    }

  private:
    std::array<char, capacity> characters_{};
    unsigned char size_ = 0;
};

/// Joins texts and numbers: join("layers.", 3, ".qkv") is "layers.3.qkv".
template <class... Parts>
[[nodiscard]] constexpr short_text join(const Parts&... parts) {
    short_text out;
    const auto one = [&out](const auto& part) {
        if constexpr (std::is_integral_v<std::decay_t<decltype(part)>>) {
            out.append(static_cast<std::size_t>(part));
        } else {
            out.append(std::string_view(part));
        }
    };
    (one(parts), ...);
    return out;
}

}  // namespace tare
