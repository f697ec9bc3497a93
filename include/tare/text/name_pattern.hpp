#pragma once
// SPDX-License-Identifier: MIT
// Regular expressions over tensor names: POSIX extended syntax (the C library's; standard C++'s
// takes seconds to compile and recurses over its input), always against whole names.
// Source: POSIX.1-2017, Base Definitions, section 9.4.

#include <memory>
#include <string>
#include <string_view>

#include <regex.h>

#include <tare/core/error.hpp>

namespace tare::text {

/// A compiled pattern. Copies share it.
class name_pattern {
  public:
    /// Throws tare::error on a text that is no pattern. Counted repetition, a{2,3}, is left out:
    /// nested counts can make a short pattern take all memory.
    explicit name_pattern(const std::string& text) {
        require(
            text.find('{') == std::string::npos && text.size() <= 1024, "name_pattern: \"", text,
            "\": counted repetition {...} and patterns above 1024 characters are not supported");
        // Groups make the anchors hold for every alternative.
        auto fresh = std::make_unique<::regex_t>();
        const int code =
            ::regcomp(fresh.get(), ("^(" + text + ")$").c_str(), REG_EXTENDED | REG_NOSUB);
        if (code != 0) {
            char reason[128];
            ::regerror(code, fresh.get(), reason, sizeof reason);
            fail("name_pattern: \"", text, "\" is not a regular expression: ", reason);
        }
        compiled_ = {fresh.release(), [](::regex_t* old) {
                         ::regfree(old);
                         delete old;
                     }};
    }

    /// Whether all of `name` fits.
    [[nodiscard]] bool matches(const std::string& name) const {
        return ::regexec(compiled_.get(), name.c_str(), 0, nullptr, 0) == 0;
    }

    /// Whether a text holds anything but a plain name. Points are part of ordinary tensor names and
    /// no sign of a pattern.
    [[nodiscard]] static bool is_pattern(std::string_view text) noexcept {
        return text.find_first_of("*+?[](){}|^$\\") != std::string_view::npos;
    }

  private:
    std::shared_ptr<::regex_t> compiled_;
};

}  // namespace tare::text
