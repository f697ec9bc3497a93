#pragma once
// SPDX-License-Identifier: MIT
// What the library throws and how a message is put together. Misuse at run time is an exception
// derived from tare::error, in every build type, raised at the entry of a public function; broken
// invariants of our own are TARE_ASSERT (debug builds only).

#include <cassert>
#include <cstdint>
#include <cstdio>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace tare {

/// Base of every exception of the library. The message names function, argument, what came, what
/// was expected and the way out.
class error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// A file that cannot be read as what it claims to be. The message starts with path and, where it
/// makes sense, the byte offset.
class file_error : public error {
  public:
    using error::error;
};

namespace detail {

inline void append(std::string& out, std::string_view part) {
    out += part;
}
inline void append(std::string& out, const char* part) {
    out += part;
}
inline void append(std::string& out, const std::string& part) {
    out += part;
}
inline void append(std::string& out, char part) {
    out += part;
}
inline void append(std::string& out, bool part) {
    out += part ? "true" : "false";
}

template <class Number>
    requires(std::is_arithmetic_v<Number>)
void append(std::string& out, Number part) {
    if constexpr (std::is_floating_point_v<Number>) {
        char digits[40];
        const int n = std::snprintf(digits, sizeof digits, "%.9g", static_cast<double>(part));
        out.append(digits, static_cast<std::size_t>(n));
    } else {
        out += std::to_string(part);
    }
}

template <class Extent>
    requires(std::is_integral_v<Extent>)
void append(std::string& out, std::span<const Extent> extents) {
    out += '(';
    for (std::size_t i = 0; i < extents.size(); ++i) {
        if (i != 0) out += ',';
        out += std::to_string(extents[i]);
    }
    out += extents.size() == 1 ? ",)" : ")";
}

}  // namespace detail

/// Joins text, numbers and shapes into one string, in order. Anything with a member
/// `to_string()` (tare::shape) is welcome too.
template <class... Parts>
[[nodiscard]] std::string message(const Parts&... parts) {
    std::string out;
    const auto one = [&out](const auto& part) {
        if constexpr (requires { part.to_string(); }) {
            out += part.to_string();
        } else {
            detail::append(out, part);
        }
    };
    (one(parts), ...);
    return out;
}

/// Throws tare::error with the joined message.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
    throw error(message(parts...));
}

/// Throws tare::error with the joined message unless `holds`. The message is only built on failure.
template <class... Parts>
constexpr void require(bool holds, const Parts&... parts) {
    if (!holds) fail(parts...);
}

}  // namespace tare

#define TARE_ASSERT(condition) assert(condition)
