#pragma once
// SPDX-License-Identifier: MIT
// Stages that need not be done twice. A stage has a record in the output folder, with the key of
// everything it is made from (its configuration, its texts, the stages before it), and a folder of
// files. A run whose key is the same takes a finished stage's result and goes on with the files of
// an unfinished one; any change makes this stage and all after it anew.

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <string>
#include <utility>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <unistd.h>

#include <tare/io/atomic_file.hpp>
#include <tare/io/input_file.hpp>
#include <tare/io/json_lines.hpp>

#include "make_folder.hpp"
#include "resumable.hpp"

namespace tare::tool {

/// The output folder, its log, and how stages are skipped.
class stage_folder {
  public:
    explicit stage_folder(std::string path)
        : path_(std::move(path)),
          lock_((make_folder(path_), file("lock"))),
          log_(file("log.jsonl")) {}

    [[nodiscard]] std::string file(const std::string& name) const {
        return (std::filesystem::path(path_) / name).string();
    }
    /// What is known of a stage; an empty object if nothing.
    [[nodiscard]] nlohmann::ordered_json facts(const std::string& name) const {
        const std::string record = file(name + ".json");
        const auto nothing = nlohmann::ordered_json::object();
        if (!std::filesystem::exists(record)) return nothing;
        const auto known = nlohmann::ordered_json::parse(
            io::read_text(record, std::uint64_t{1} << 20), nullptr, false);
        return known.is_object() ? known : nothing;
    }
    /// Facts of a finished stage: from its record if the key is still the same, else what `make`
    /// returns, with the seconds of all runs that worked on it. `make` writes the stage's own
    /// files, into the folder of its name if it has several; a stage of another key loses that
    /// folder first.
    void run(const std::string& name, const std::string& key,
             const std::function<nlohmann::ordered_json()>& make) {
        const nlohmann::ordered_json known = facts(name);
        const bool same = known.value("key", "") == key;
        if (same && known.value("done", false)) {
            std::cerr << message(name, ": done before\n");
            return;
        }
        if (!same) std::filesystem::remove_all(file(name));
        stage_ = name;
        key_ = key;
        before_ = same ? known.value("seconds", 0.0) : 0.0;
        parts_ =
            same && known.contains("parts") ? known["parts"] : nlohmann::ordered_json::object();
        begin_ = std::chrono::steady_clock::now();
        keep_time();
        nlohmann::ordered_json made = make();
        made["stage"] = name;
        made["key"] = key;
        made["done"] = true;
        made["seconds"] = seconds();
        io::write_text(file(name + ".json"), made.dump(1) + "\n");
        log_.append(made);
        std::cerr << message(name, ": ", made["seconds"].get<double>(), " s\n");
    }
    /// The stage that is running.
    [[nodiscard]] const std::string& stage() const noexcept { return stage_; }
    /// A result within the running stage: what an earlier run has kept, or what `make` returns.
    nlohmann::ordered_json part(const std::string& name,
                                const std::function<nlohmann::ordered_json()>& make) {
        if (!parts_.contains(name)) {
            parts_[name] = make();
            keep_time();
        }
        return parts_[name];
    }
    /// Notes the time spent so far, in case this is the last thing the run does.
    void keep_time() {
        const nlohmann::ordered_json record{{"stage", stage_},
                                            {"key", key_},
                                            {"done", false},
                                            {"seconds", seconds()},
                                            {"parts", parts_}};
        io::write_text(file(stage_ + ".json"), record.dump(1) + "\n");
    }

  private:
    [[nodiscard]] double seconds() const {
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin_;
        return before_ + took.count();
    }

    /// Two runs in one folder would write over each other: the second is refused. The lock goes
    /// with the process, however it ends.
    class folder_lock {
      public:
        explicit folder_lock(const std::string& path)
            : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
            if (descriptor_ < 0) io::detail::fail_errno(path, errno, "cannot be opened");
            if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
            ::close(descriptor_);
            throw file_error(message(path, ": another run works in this folder; wait for its end "
                                           "or name another folder"));
        }
        folder_lock(const folder_lock&) = delete;
        folder_lock& operator=(const folder_lock&) = delete;
        ~folder_lock() { ::close(descriptor_); }

      private:
        int descriptor_;
    };

    std::string path_;
    folder_lock lock_;
    io::json_lines log_;
    std::string stage_;
    std::string key_;
    double before_ = 0.0;
    nlohmann::ordered_json parts_;  ///< of the running stage
    std::chrono::steady_clock::time_point begin_{};
};

}  // namespace tare::tool
