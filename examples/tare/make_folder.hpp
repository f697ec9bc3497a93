#pragma once
// SPDX-License-Identifier: MIT
// Folders that the tool writes into.

#include <filesystem>
#include <string>
#include <system_error>

#include <tare/core/error.hpp>

namespace tare::tool {

/// Makes a folder with all above it, unless it is there.
/// **Throws** tare::file_error that names the folder and the reason.
inline void make_folder(const std::string& path) {
    std::error_code reason;
    std::filesystem::create_directories(path, reason);
    if (!reason && !std::filesystem::is_directory(path, reason) && !reason)
        reason = std::make_error_code(std::errc::not_a_directory);
    if (reason)
        throw file_error(message(path, ": this folder cannot be made (", reason.message(),
                                 "); name one in a place that you may write to"));
}

}  // namespace tare::tool
