#pragma once
// SPDX-License-Identifier: MIT
// Checks of the command line. Those of numbers name the bound: CLI11's own print the range of
// double, three hundred digits long.

#include <charconv>
#include <string>
#include <system_error>

#include <CLI/CLI.hpp>

#include <tare/core/error.hpp>
#include <tare/io/atomic_file.hpp>

namespace tare {

/// Fails unless the text is a number for which `holds`: "0 is not a number above 0" with `what` =
/// "above 0".
template <class Holds>
[[nodiscard]] CLI::Validator number_check(const std::string& what, Holds holds) {
    return CLI::Validator(
        [what, holds](const std::string& text) {
            double value = 0;
            const char* const end = text.data() + text.size();
            const auto [rest, failure] = std::from_chars(text.data(), end, value);
            const bool number = failure == std::errc() && rest == end;
            return number && holds(value) ? std::string()
                                          : message(text, " is not a number ", what);
        },
        message("NUMBER ", what));
}

inline const CLI::Validator positive_number =
    number_check("above 0", [](double value) { return value > 0; });
inline const CLI::Validator non_negative_number =
    number_check("of at least 0", [](double value) { return value >= 0; });

/// Fails unless a file can be written there: better now than when there is something to lose.
inline const CLI::Validator writable_file(
    [](const std::string& path) {
        try {
            const io::atomic_file trial(path);
            return std::string();
        } catch (const error& refused) {
            return std::string(refused.what());
        }
    },
    "FILE");

}  // namespace tare
