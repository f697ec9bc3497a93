#pragma once
// SPDX-License-Identifier: MIT
// A file opened for reading at given offsets (POSIX pread). Readers validate a header first and
// then fetch each payload straight into the memory it is meant for, so a large file is never held
// twice. Memory mapping is left out on purpose: a mapped file that someone truncates kills the
// process with a signal, a short read is an error that can be reported.

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tare/core/error.hpp>

namespace tare::io {

namespace detail {

/// Throws tare::file_error "path: byte N: what".
[[noreturn]] inline void fail_at(const std::string& path, std::uint64_t offset,
                                 const auto&... what) {
    throw file_error(message(path, ": byte ", offset, ": ", what...));
}

/// Throws tare::file_error "path: what: system's reason".
[[noreturn]] inline void fail_errno(const std::string& path, int code, const auto&... what) {
    throw file_error(message(path, ": ", what..., ": ", std::strerror(code)));
}

}  // namespace detail

/// A regular file, read at offsets. Movable; closed by the destructor.
class input_file {
  public:
    /// Throws tare::file_error when the file cannot be opened or is not a regular file.
    explicit input_file(std::string path) : path_(std::move(path)) {
        descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
        if (descriptor_ < 0) detail::fail_errno(path_, errno, "cannot be opened for reading");
        struct stat status {};
        const int code = ::fstat(descriptor_, &status) == 0 ? 0 : errno;
        if (code != 0 || !S_ISREG(status.st_mode)) {
            ::close(descriptor_);
            if (code != 0) detail::fail_errno(path_, code, "cannot be examined");
            throw file_error(message(path_, ": not a regular file; its size must be known "
                                            "before it is read. Copy a pipe to a file first"));
        }
        size_ = static_cast<std::uint64_t>(status.st_size);
    }
    input_file(input_file&& other) noexcept
        : path_(std::move(other.path_)),
          descriptor_(std::exchange(other.descriptor_, -1)),
          size_(other.size_) {}
    input_file& operator=(input_file&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(descriptor_, other.descriptor_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~input_file() {
        if (descriptor_ >= 0) ::close(descriptor_);
    }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

    /// Fills `to` from bytes [offset, offset + to.size()).
    /// Throws tare::file_error when the file ends before (it names where) or the system refuses.
    void read(std::uint64_t offset, std::span<std::byte> to) const {
        // One system call moves at most 2 GiB.
        static constexpr std::size_t largest = std::size_t{1} << 30;
        std::size_t done = 0;
        while (done < to.size()) {
            const ::ssize_t got =
                ::pread(descriptor_, to.data() + done, std::min(to.size() - done, largest),
                        static_cast<::off_t>(offset + done));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) detail::fail_errno(path_, errno, "byte ", offset + done, ": read failed");
            if (got == 0)
                detail::fail_at(path_, offset + done, "the file ends here, ", to.size() - done,
                                " more bytes were expected");
            done += static_cast<std::size_t>(got);
        }
    }

  private:
    std::string path_;
    int descriptor_ = -1;
    std::uint64_t size_ = 0;
};

/// The whole file as bytes. Throws tare::file_error, also beyond `limit` bytes.
[[nodiscard]] inline std::vector<std::byte>
read_bytes(const std::string& path, std::uint64_t limit = std::uint64_t{1} << 40) {
    const input_file file(path);
    if (file.size() > limit)
        throw file_error(message(path, ": has ", file.size(), " bytes, expected at most ", limit));
    std::vector<std::byte> out(static_cast<std::size_t>(file.size()));
    file.read(0, out);
    return out;
}

/// The whole file as text, unchecked. Throws as read_bytes does.
[[nodiscard]] inline std::string read_text(const std::string& path,
                                           std::uint64_t limit = std::uint64_t{1} << 40) {
    const input_file file(path);
    if (file.size() > limit)
        throw file_error(message(path, ": has ", file.size(), " bytes, expected at most ", limit));
    std::string out(static_cast<std::size_t>(file.size()), '\0');
    file.read(0, std::as_writable_bytes(std::span(out)));
    return out;
}

}  // namespace tare::io
