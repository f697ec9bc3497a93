#pragma once
// SPDX-License-Identifier: MIT
// A file that appears whole or not at all: written under a temporary name in the same folder,
// flushed to the disk (fsync), renamed over the old one, and the folder flushed too. Whatever goes
// wrong before the rename (full disk, exception, kill) leaves the old file as it was.
// Source: POSIX.1-2017, rename() and fsync().

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tare/core/error.hpp>
#include <tare/io/input_file.hpp>

namespace tare::io {

/// Bytes on their way to `path`. Call write() as often as needed, then commit(); without commit()
/// the destructor removes the temporary file and the old file stays.
class atomic_file {
  public:
    /// Opens the temporary file beside `path` (a symbolic link is followed, the link stays).
    /// Throws tare::file_error when the folder is not writable or `path` is a folder or device.
    explicit atomic_file(const std::string& path) : path_(resolve(path)) {
        struct stat old {};
        const bool exists = ::stat(path_.c_str(), &old) == 0;
        // Renaming over a device or folder would replace it: refuse.
        if (exists && !S_ISREG(old.st_mode))
            throw file_error(message(path_, ": exists and is not a regular file; name a file"));
        // The process id keeps two writers apart; a leftover of a killed writer with the same id
        // is skipped over.
        for (int attempt = 0; descriptor_ < 0; ++attempt) {
            temporary_ = message(path_, ".tmp.", static_cast<long>(::getpid()), '.', attempt);
            descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
            if (descriptor_ < 0 && (errno != EEXIST || attempt == 1000))
                detail::fail_errno(path_, errno, "cannot write a temporary file beside it");
        }
        // The new file keeps the permissions of the one it replaces; not being allowed to set them
        // is no reason to lose the data.
        if (exists && ::fchmod(descriptor_, old.st_mode & 07777U) != 0) errno = 0;
    }
    atomic_file(const atomic_file&) = delete;
    atomic_file& operator=(const atomic_file&) = delete;
    ~atomic_file() { discard(); }

    /// Appends bytes. Throws tare::file_error (disk full, file too large) and gives up the
    /// temporary file; the old file stays.
    void write(std::span<const std::byte> bytes) {
        require(descriptor_ >= 0, "atomic_file: ", path_,
                " is already committed or given up; nothing can be written to it");
        static constexpr std::size_t largest = std::size_t{1} << 30;
        while (!bytes.empty()) {
            const ::ssize_t put =
                ::write(descriptor_, bytes.data(), std::min(bytes.size(), largest));
            if (put < 0 && errno == EINTR) continue;
            if (put <= 0) give_up(put < 0 ? errno : ENOSPC, "write failed after ");
            written_ += static_cast<std::uint64_t>(put);
            bytes = bytes.subspan(static_cast<std::size_t>(put));
        }
    }
    void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

    /// Flushes and puts the file in place of the old one. Throws tare::file_error; then the old
    /// file is still there, except when only the flush of the folder failed.
    void commit() {
        require(descriptor_ >= 0, "atomic_file: ", path_, " is already committed or given up");
        if (::fsync(descriptor_) != 0) give_up(errno, "flush to disk failed after ");
        if (::close(std::exchange(descriptor_, -1)) != 0) give_up(errno, "close failed after ");
        if (std::rename(temporary_.c_str(), path_.c_str()) != 0)
            give_up(errno, "the finished file could not be renamed after ");
        temporary_.clear();
        flush_folder();
    }

    [[nodiscard]] std::uint64_t written() const noexcept { return written_; }

  private:
    // A link to a file that does not exist yet has no target to resolve: the link is replaced.
    static std::string resolve(const std::string& path) {
        struct stat status {};
        if (::lstat(path.c_str(), &status) != 0 || !S_ISLNK(status.st_mode)) return path;
        char* const target = ::realpath(path.c_str(), nullptr);
        if (target == nullptr) return path;
        std::string out(target);
        std::free(target);
        return out;
    }

    void discard() noexcept {
        if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
        if (!temporary_.empty()) ::unlink(temporary_.c_str());
        temporary_.clear();
    }

    [[noreturn]] void give_up(int code, const char* what) {
        discard();
        detail::fail_errno(path_, code, what, written_,
                           " bytes; the file was left as it was before");
    }

    // The rename itself must survive a power cut. File systems that cannot flush a folder say
    // EINVAL; there is nothing more to be done there.
    void flush_folder() {
        const std::size_t slash = path_.rfind('/');
        const std::string folder =
            slash == std::string::npos ? std::string(1, '.') : path_.substr(0, slash + 1);
        const int handle = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (handle < 0) return;
        const int code = ::fsync(handle) == 0 ? 0 : errno;
        ::close(handle);
        if (code != 0 && code != EINVAL)
            detail::fail_errno(path_, code, "written, but its folder could not be flushed");
    }

    std::string path_;
    std::string temporary_;
    int descriptor_ = -1;
    std::uint64_t written_ = 0;
};

/// Writes `text` to `path`, whole or not at all. Throws as atomic_file does.
inline void write_text(const std::string& path, std::string_view text) {
    atomic_file out(path);
    out.write(text);
    out.commit();
}

}  // namespace tare::io
