#pragma once
// SPDX-License-Identifier: MIT
// A verb of the tool. Each verb is one file, command_<verb>.cpp, that registers itself: a new verb
// is a new file.

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace CLI {
class App;
}  // namespace CLI

namespace tare::tool {

/// Exit codes: done, a check failed, usage, bad input, ended by a signal.
inline constexpr int done = 0;
inline constexpr int check_failed = 1;
inline constexpr int usage_error = 2;
inline constexpr int bad_input = 3;
inline constexpr int interrupted = 130;

/// Adds a subcommand to the application and returns what runs it.
struct command {
    std::string name;
    std::function<std::function<int()>(CLI::App& parent)> add;
};

inline std::vector<command>& commands() {
    static std::vector<command> all;
    return all;
}

/// Put one at namespace scope of a command's file.
struct registration {
    explicit registration(command c) { commands().push_back(std::move(c)); }
};

}  // namespace tare::tool
