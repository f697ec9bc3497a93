#pragma once
// SPDX-License-Identifier: MIT
// A stream of bytes from a plain or gzip-compressed file (told apart by the first two bytes, not by
// the name), in blocks, so that a file of any size needs 128 KiB. Every checksum of the compressed
// form is checked; cut-off data and bytes behind the end are errors.
// Source: RFC 1952 (gzip), through zlib.

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <tare/core/error.hpp>
#include <tare/io/input_file.hpp>

namespace tare::io {

/// Reads a file from its beginning to its end; pipes are welcome. Meets text::byte_source.
class text_file {
  public:
    /// Throws tare::file_error when the file cannot be opened or is a folder.
    explicit text_file(std::string path) : path_(std::move(path)), state_(new state) {
        state_->descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
        if (state_->descriptor < 0)
            detail::fail_errno(path_, errno, "cannot be opened for reading");
        // Two bytes tell gzip; a pipe may hand them over one at a time.
        while (available_ < 2 && fetch()) {
        }
        compressed_ = available_ >= 2 && buffer()[0] == 0x1F && buffer()[1] == 0x8B;
        if (!compressed_) return;
        // 15 + 16: the largest window, gzip wrapper only.
        require(::inflateInit2(&state_->inflater, 15 + 16) == Z_OK, "text_file: ", path_,
                ": zlib cannot start");
        state_->inflating = true;
    }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] bool compressed() const noexcept { return compressed_; }

    /// The next bytes of the (uncompressed) text; 0 at its end only.
    /// Throws tare::file_error naming the byte offset in the file on disk.
    [[nodiscard]] std::size_t read(std::span<char> to) {
        if (to.empty() || finished_) return 0;
        return compressed_ ? read_compressed(to) : read_plain(to);
    }

  private:
    // On the heap, because zlib keeps a pointer to its stream: the file itself can then be moved.
    struct state {
        int descriptor = -1;
        bool inflating = false;
        ::z_stream inflater{};
        std::array<unsigned char, 65536> buffer{};

        state() = default;
        state(const state&) = delete;
        state& operator=(const state&) = delete;
        ~state() {
            if (inflating) ::inflateEnd(&inflater);
            if (descriptor >= 0) ::close(descriptor);
        }
    };

    [[nodiscard]] unsigned char* buffer() const noexcept { return state_->buffer.data(); }

    // Appends to the buffer what the system has; false at the end of the file.
    bool fetch() {
        if (available_ == 0) begin_ = 0;
        const std::size_t used = begin_ + available_;
        ::ssize_t got = 0;
        do {
            got = ::read(state_->descriptor, buffer() + used, state_->buffer.size() - used);
        } while (got < 0 && errno == EINTR);
        if (got < 0)
            detail::fail_errno(path_, errno, "byte ", offset_ + available_, ": read failed");
        available_ += static_cast<std::size_t>(got);
        return got > 0;
    }

    void consume(std::size_t bytes) {
        begin_ += bytes;
        available_ -= bytes;
        offset_ += bytes;
    }

    std::size_t read_plain(std::span<char> to) {
        if (available_ == 0 && !fetch()) {
            finished_ = true;
            return 0;
        }
        const std::size_t take = std::min(to.size(), available_);
        std::copy_n(buffer() + begin_, take, to.begin());
        consume(take);
        return take;
    }

    std::size_t read_compressed(std::span<char> to) {
        ::z_stream& z = state_->inflater;
        z.next_out = reinterpret_cast<::Bytef*>(to.data());
        z.avail_out = static_cast<::uInt>(std::min<std::size_t>(to.size(), 1U << 30));
        const ::uInt wanted = z.avail_out;
        while (z.avail_out == wanted) {
            if (available_ == 0 && !fetch())
                detail::fail_at(path_, offset_, "the gzip data are cut off here");
            z.next_in = buffer() + begin_;
            z.avail_in = static_cast<::uInt>(available_);
            const int code = ::inflate(&z, Z_NO_FLUSH);
            consume(available_ - z.avail_in);
            if (code == Z_STREAM_END) {
                if (!next_member()) {
                    finished_ = true;
                    break;
                }
            } else if (code != Z_OK && code != Z_BUF_ERROR) {
                detail::fail_at(path_, offset_,
                                "damaged gzip data: ", z.msg != nullptr ? z.msg : "unknown reason");
            }
        }
        return wanted - z.avail_out;
    }

    // A gzip file may be several compressed texts in a row, and nothing else.
    bool next_member() {
        if (available_ == 0 && !fetch()) return false;
        if (buffer()[begin_] != 0x1F)
            detail::fail_at(path_, offset_, "bytes behind the end of the gzip data");
        require(::inflateReset(&state_->inflater) == Z_OK, "text_file: ", path_,
                ": zlib cannot restart");
        return true;
    }

    std::string path_;
    std::unique_ptr<state> state_;
    bool compressed_ = false;
    bool finished_ = false;
    std::size_t begin_ = 0;      // of the unread bytes within the buffer
    std::size_t available_ = 0;  // unread bytes in the buffer
    std::uint64_t offset_ = 0;   // of the unread bytes within the file
};

}  // namespace tare::io
