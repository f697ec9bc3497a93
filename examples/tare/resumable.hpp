#pragma once
// SPDX-License-Identifier: MIT
// How a piece of work ends before its end, and what a verb says then.

#include <functional>
#include <iostream>
#include <string>
#include <utility>

namespace tare::tool {

/// Thrown by work that a signal or a loss without value has ended; `code` is the exit code.
struct stage_ended {
    int code;
};

/// `run` as a verb whose work is kept in the folder `work`, if that names one; the options that
/// hold it must live as long as `run`.
[[nodiscard]] inline std::function<int()> resumable(const std::string& work,
                                                    std::function<int()> run) {
    return [&work, run = std::move(run)] {
        try {
            return run();
        } catch (const stage_ended& end) {
            std::cerr << "\ntare: stopped; "
                      << (work.empty() ? "with --work FOLDER such a command goes on later\n"
                                       : "the same command goes on\n");
            return end.code;
        }
    };
}

}  // namespace tare::tool
