#pragma once
// SPDX-License-Identifier: MIT
// Help for tests that touch the disk: a folder that vanishes, raw writing, and the text of an
// expected exception.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <tare/core/error.hpp>

namespace tare::testing {

/// A new empty folder, removed with all it holds.
class scratch_folder {
  public:
    scratch_folder() {
        std::string name = (std::filesystem::temp_directory_path() / "tare-test-XXXXXX").string();
        require(::mkdtemp(name.data()) != nullptr, "scratch_folder: cannot create ", name);
        path_ = name;
    }
    scratch_folder(const scratch_folder&) = delete;
    scratch_folder& operator=(const scratch_folder&) = delete;
    ~scratch_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] std::string file(const std::string& name) const {
        return (path_ / name).string();
    }
    /// Names of all files in the folder.
    [[nodiscard]] std::vector<std::string> files() const {
        std::vector<std::string> out;
        for (const auto& entry : std::filesystem::directory_iterator(path_))
            out.push_back(entry.path().filename().string());
        return out;
    }

  private:
    std::filesystem::path path_;
};

/// Writes bytes as they are.
inline void dump(const std::string& path, const std::string& bytes) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    require(static_cast<bool>(out.flush()), "dump: cannot write ", path);
}

/// The message of the `Error` that `run` throws; empty when it throws nothing.
template <class Error, class Run>
std::string raised(Run&& run) {
    try {
        run();
    } catch (const Error& caught) {
        return caught.what();
    }
    return {};
}

}  // namespace tare::testing
