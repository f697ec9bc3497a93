#pragma once
// SPDX-License-Identifier: MIT
// A log of metrics: one JSON object per line, appended with a single system call each, so that a
// killed run leaves whole lines and at most one torn one, which the next run mends. A file that is
// no such log is refused, never shortened.
// Source: RFC 8259 (JSON), one text per line.

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <tare/core/error.hpp>
#include <tare/io/input_file.hpp>

namespace tare::io {

/// Appends records to a file that is created if need be.
class json_lines {
  public:
    /// Throws tare::file_error when the file cannot be opened for appending or is not a log.
    explicit json_lines(std::string path) : path_(std::move(path)) {
        descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (descriptor_ < 0) detail::fail_errno(path_, errno, "cannot be opened for appending");
        try {
            mend_last_line();
        } catch (...) {
            ::close(descriptor_);
            throw;
        }
    }
    json_lines(const json_lines&) = delete;
    json_lines& operator=(const json_lines&) = delete;
    ~json_lines() { ::close(descriptor_); }

    /// One line; keys keep their order, NaN and infinity become null (JSON has neither).
    /// Throws tare::file_error when the disk refuses; a part of a line is taken back.
    void append(const nlohmann::ordered_json& record) {
        require(record.is_object(), "json_lines: a record is an object of names and values, got ",
                record.type_name());
        // Text that is not UTF-8 (a path, say) must not end a run: it is replaced.
        std::string line =
            record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
        line += '\n';
        const ::off_t before = size();
        ::ssize_t put = 0;
        do {
            put = ::write(descriptor_, line.data(), line.size());
        } while (put < 0 && errno == EINTR);
        if (put == static_cast<::ssize_t>(line.size())) return;
        const int code = put < 0 ? errno : ENOSPC;
        if (put > 0 && before >= 0) shorten(before);
        detail::fail_errno(path_, code, "a record of ", line.size(),
                           " bytes could not be appended");
    }

  private:
    // Bytes of a regular file, -1 for pipes and devices, which have nothing to mend.
    [[nodiscard]] ::off_t size() const {
        struct stat status {};
        return ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode) ? status.st_size : -1;
    }
    void shorten(::off_t to) const {
        if (::ftruncate(descriptor_, to) != 0)
            detail::fail_errno(path_, errno, "its torn last line could not be cut off");
    }

    void mend_last_line() const {
        const ::off_t end = size();
        if (end <= 0) return;
        const input_file file(path_);
        std::string tail(1, '\0');
        const auto read = [&](::off_t at) {
            file.read(static_cast<std::uint64_t>(at), std::as_writable_bytes(std::span(tail)));
        };
        read(0);
        if (tail != "{") detail::fail_at(path_, 0, "not a log of JSON objects, one per line");
        // No record comes near this length: further back there is nothing to look for.
        static constexpr ::off_t longest = 1 << 20;
        const ::off_t from = end > longest ? end - longest : 0;
        tail.resize(static_cast<std::size_t>(end - from));
        read(from);
        const std::size_t feed = tail.rfind('\n');
        tail.erase(0, feed == std::string::npos ? 0 : feed + 1);
        if (tail.empty()) return;
        if (tail.front() != '{' || (from > 0 && feed == std::string::npos))
            detail::fail_at(path_, static_cast<std::uint64_t>(end) - tail.size(),
                            "the last line is no JSON object; is this a log of metrics?");
        if (!nlohmann::ordered_json::accept(tail)) {
            shorten(end - static_cast<::off_t>(tail.size()));
        } else if (::write(descriptor_, "\n", 1) != 1) {
            detail::fail_errno(path_, errno, "its last line could not be completed");
        }
    }

    std::string path_;
    int descriptor_ = -1;
};

}  // namespace tare::io
