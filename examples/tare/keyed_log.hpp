#pragma once
// SPDX-License-Identifier: MIT
// What a piece of work that may be killed has found out so far: JSON lines after a first one with
// the key of everything that the work is made from. Under another key it begins anew.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <tare/io/input_file.hpp>
#include <tare/io/json_lines.hpp>

namespace tare::tool {

class keyed_log {
  public:
    /// Without a path nothing is known and nothing kept.
    keyed_log() = default;
    /// `clear` removes what else is kept of another key: it is called before the new key stands in
    /// the file, so that a run killed in between is no trap.
    /// A file whose first line is no record, torn or foreign, counts as one of another key.
    /// **Throws** tare::file_error where the disk refuses.
    keyed_log(const std::string& path, const std::string& key,
              const std::function<void()>& clear = {}) {
        read(path, key);
        if (!records_.empty()) {
            records_.erase(records_.begin());
            file_ = std::make_unique<io::json_lines>(path);
            return;
        }
        std::filesystem::remove(path);
        if (clear) clear();
        file_ = std::make_unique<io::json_lines>(path);
        file_->append({{"key", key}});
    }

    /// What it found, in its order.
    [[nodiscard]] std::span<const nlohmann::ordered_json> known() const noexcept {
        return records_;
    }
    void append(const nlohmann::ordered_json& record) {
        if (file_ != nullptr) file_->append(record);
    }

  private:
    /// The key and what follows it; nothing under another key. A torn last line is none.
    void read(const std::string& path, const std::string& key) {
        if (!std::filesystem::exists(path)) return;
        std::istringstream text(io::read_text(path, std::uint64_t{1} << 26));
        std::string line;
        while (std::getline(text, line)) {
            auto record = nlohmann::ordered_json::parse(line, nullptr, false);
            if (!record.is_object()) return;
            if (records_.empty() && record.value("key", "") != key) return;
            records_.push_back(std::move(record));
        }
    }

    std::vector<nlohmann::ordered_json> records_;
    std::unique_ptr<io::json_lines> file_;
};

/// A number of a record; JSON has no NaN and writes null.
[[nodiscard]] inline double number_in(const nlohmann::ordered_json& record, const char* name) {
    const auto found = record.find(name);
    return found != record.end() && found->is_number() ? found->get<double>()
                                                       : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace tare::tool
