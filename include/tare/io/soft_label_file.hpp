#pragma once
// SPDX-License-Identifier: MIT
// Soft labels on disk: 64 bytes of header, then blocks of rows of equal size, so that any row is
// found by its number. A row is K word numbers (2, 3 or 4 bytes, what the vocabulary needs) and K
// float32 probabilities; a block is 1024 rows (fewer in the last) and their CRC-32. Blocks are
// appended as they are finished: a killed run leaves whole blocks and at most a torn one, and the
// next run goes on behind the last whole block.
//     header: "TARESOFT", then little-endian u64: version 1, tokens, vocabulary, K, chunk, identity
//     of teacher and text, CRC-32 of all before it

#include <algorithm>
#include <array>
#include <bit>
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
#include <zlib.h>

#include <tare/io/input_file.hpp>
#include <tare/io/little_endian.hpp>
#include <tare/ops/gather.hpp>

namespace tare::io {

/// What a file of soft labels was made from; two files with equal facts hold equal rows.
struct soft_label_facts {
    extent tokens = 0;  ///< rows
    extent vocabulary = 0;
    extent kept = 30;            ///< K
    extent chunk = 4032;         ///< tokens the teacher saw at once
    std::uint64_t identity = 0;  ///< checksum of teacher and text

    friend bool operator==(const soft_label_facts&, const soft_label_facts&) = default;
};

namespace detail {

inline constexpr extent soft_label_block = 1024;
inline constexpr std::size_t soft_label_header = 64;

inline std::uint32_t crc32_of(std::span<const std::byte> bytes) {
    return static_cast<std::uint32_t>(
        ::crc32_z(0, reinterpret_cast<const ::Bytef*>(bytes.data()), bytes.size()));
}
inline std::string soft_label_header_text(const soft_label_facts& f) {
    std::string out = "TARESOFT";
    for (const std::uint64_t v :
         {std::uint64_t{1}, static_cast<std::uint64_t>(f.tokens),
          static_cast<std::uint64_t>(f.vocabulary), static_cast<std::uint64_t>(f.kept),
          static_cast<std::uint64_t>(f.chunk), f.identity})
        append_little(out, v, 8);
    append_little(out, crc32_of(std::as_bytes(std::span(out))), 8);
    return out;
}
/// Bytes of one word number.
constexpr std::size_t word_bytes(extent vocabulary) {
    return vocabulary <= (extent{1} << 16) ? 2 : vocabulary <= (extent{1} << 24) ? 3 : 4;
}
inline std::size_t row_bytes(const soft_label_facts& f) {
    return static_cast<std::size_t>(f.kept) * (word_bytes(f.vocabulary) + 4);
}
/// Rows and first byte of a block.
inline extent rows_of_block(const soft_label_facts& f, extent block) {
    return std::min(soft_label_block, f.tokens - block * soft_label_block);
}
inline std::uint64_t block_offset(const soft_label_facts& f, extent block) {
    return soft_label_header +
           static_cast<std::uint64_t>(block) *
               (static_cast<std::uint64_t>(soft_label_block) * row_bytes(f) + 4);
}
inline extent soft_label_blocks(const soft_label_facts& f) {
    return (f.tokens + soft_label_block - 1) / soft_label_block;
}

}  // namespace detail

/// Reads rows by number; every block is checked when it is read.
class soft_label_reader {
  public:
    /// **Throws** tare::file_error on anything that is not such a file.
    explicit soft_label_reader(const std::string& path) : file_(path) {
        std::array<std::byte, detail::soft_label_header> head{};
        if (file_.size() < head.size())
            detail::fail_at(path, 0, "not a file of soft labels, or cut off");
        file_.read(0, head);
        const auto number = [&](std::size_t i) {
            return static_cast<extent>(load_little(head, 8 + 8 * i, 8));
        };
        facts_ = {number(1), number(2), number(3), number(4),
                  static_cast<std::uint64_t>(number(5))};
        const std::string expected = detail::soft_label_header_text(facts_);
        if (std::memcmp(expected.data(), head.data(), head.size()) != 0)
            detail::fail_at(path, 0, "not a file of soft labels, or its header is damaged");
        constexpr extent most = extent{1} << 40;
        if (facts_.tokens < 1 || facts_.tokens > most || facts_.kept < 1 || facts_.kept > 65536 ||
            facts_.vocabulary < facts_.kept || facts_.vocabulary > most)
            detail::fail_at(path, 8, "impossible sizes in the header");
    }

    [[nodiscard]] const soft_label_facts& facts() const noexcept { return facts_; }

    /// Whole, undamaged blocks from the start on.
    [[nodiscard]] extent whole_blocks() const {
        extent block = 0;
        for (; block < detail::soft_label_blocks(facts_); ++block)
            if (end_of(block) > file_.size() || !read_block(block)) break;
        return block;
    }
    /// **Throws** tare::file_error unless every row is there.
    void require_complete() const {
        const std::uint64_t end = end_of(detail::soft_label_blocks(facts_) - 1);
        if (file_.size() != end)
            detail::fail_at(file_.path(), file_.size(), "incomplete: expected ", end, " bytes for ",
                            facts_.tokens,
                            " tokens; run the generation again, it goes on where it stopped");
    }

    /// Appends rows [first, first + count) to both lists.
    /// **Throws** tare::file_error on damage and rows that are not there.
    void read(extent first, extent count, std::vector<token>& words,
              std::vector<float>& probabilities) const {
        require(first >= 0 && count >= 0 && first + count <= facts_.tokens,
                "soft_label_reader: ", file_.path(), " has rows 0 to ", facts_.tokens - 1,
                ", asked for ", count, " from ", first);
        const std::size_t width = detail::word_bytes(facts_.vocabulary);
        const auto kept = static_cast<std::size_t>(facts_.kept);
        for (extent row = first; row < first + count; ++row) {
            const extent block = row / detail::soft_label_block;
            if (block != loaded_ && !read_block(block))
                detail::fail_at(file_.path(), detail::block_offset(facts_, block), "block ", block,
                                " of soft labels is damaged; generate it again");
            std::size_t at = static_cast<std::size_t>(row % detail::soft_label_block) *
                             detail::row_bytes(facts_);
            for (std::size_t k = 0; k < kept; ++k, at += width)
                words.push_back(static_cast<token>(load_little(block_, at, width)));
            for (std::size_t k = 0; k < kept; ++k, at += 4)
                probabilities.push_back(
                    std::bit_cast<float>(static_cast<std::uint32_t>(load_little(block_, at, 4))));
        }
    }

  private:
    [[nodiscard]] std::uint64_t end_of(extent block) const {
        return detail::block_offset(facts_, block) + size_of(block);
    }
    [[nodiscard]] std::uint64_t size_of(extent block) const {
        return static_cast<std::uint64_t>(detail::rows_of_block(facts_, block)) *
                   detail::row_bytes(facts_) +
               4;
    }
    /// Whether the block's checksum holds.
    bool read_block(extent block) const {
        loaded_ = -1;
        block_.resize(static_cast<std::size_t>(size_of(block)));
        file_.read(detail::block_offset(facts_, block), block_);
        const std::size_t payload = block_.size() - 4;
        if (detail::crc32_of(std::span<const std::byte>(block_).first(payload)) !=
            load_little(block_, payload, 4))
            return false;
        loaded_ = block;
        return true;
    }

    input_file file_;
    soft_label_facts facts_;
    mutable std::vector<std::byte> block_;
    mutable extent loaded_ = -1;
};

/// Appends rows in order; goes on behind the whole blocks of an earlier, unfinished file.
class soft_label_writer {
  public:
    /// Opens or creates the file. **Throws** tare::file_error when the disk refuses or the file was
    /// made from something else.
    soft_label_writer(const std::string& path, const soft_label_facts& facts)
        : path_(path), facts_(facts) {
        struct stat status {};
        const bool exists = ::stat(path.c_str(), &status) == 0 && status.st_size > 0;
        extent blocks = 0;
        if (exists && status.st_size >= static_cast<::off_t>(detail::soft_label_header)) {
            const soft_label_reader old(path);
            if (!(old.facts() == facts))
                throw file_error(message(path, ": soft labels of another teacher, text or size; "
                                               "remove the file or name another one"));
            blocks = old.whole_blocks();
        }
        descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (descriptor_ < 0) detail::fail_errno(path, errno, "cannot be opened for writing");
        rows_ = std::min(facts.tokens, blocks * detail::soft_label_block);
        const std::uint64_t end =
            blocks == 0 ? 0
            : rows_ == facts.tokens
                ? detail::block_offset(facts, blocks - 1) +
                      static_cast<std::uint64_t>(detail::rows_of_block(facts, blocks - 1)) *
                          detail::row_bytes(facts) +
                      4
                : detail::block_offset(facts, blocks);
        if (::ftruncate(descriptor_, static_cast<::off_t>(end)) != 0 ||
            ::lseek(descriptor_, 0, SEEK_END) < 0)
            detail::fail_errno(path, errno, "its torn end could not be cut off");
        if (end == 0) put(detail::soft_label_header_text(facts));
    }
    soft_label_writer(const soft_label_writer&) = delete;
    soft_label_writer& operator=(const soft_label_writer&) = delete;
    ~soft_label_writer() { ::close(descriptor_); }

    /// Rows on disk: generation goes on with this token.
    [[nodiscard]] extent rows() const noexcept { return rows_; }

    /// Adds the next rows; those before the current end are passed over (`first` is the number of
    /// the first row given). **Throws** tare::file_error when the disk refuses.
    void append(extent first, std::span<const token> words, std::span<const float> probabilities) {
        const auto kept = static_cast<std::size_t>(facts_.kept);
        require(words.size() == probabilities.size() && words.size() % kept == 0 &&
                    first <= next_row(),
                "soft_label_writer: ", words.size(), " words and ", probabilities.size(),
                " probabilities from row ", first, "; the next row is ", next_row());
        const std::size_t width = detail::word_bytes(facts_.vocabulary);
        const auto skip = static_cast<std::size_t>(next_row() - first);
        for (std::size_t r = skip; r < words.size() / kept; ++r) {
            for (std::size_t k = 0; k < kept; ++k)
                append_little(block_, static_cast<std::uint64_t>(words[r * kept + k]), width);
            for (std::size_t k = 0; k < kept; ++k)
                append_little(block_, std::bit_cast<std::uint32_t>(probabilities[r * kept + k]), 4);
            ++pending_;
            if (pending_ == detail::soft_label_block || next_row() == facts_.tokens) flush();
        }
    }
    /// **Throws** tare::error unless every row came; flushes to the disk.
    void finish() {
        require(rows_ == facts_.tokens, "soft_label_writer: ", path_, " has ", rows_, " of ",
                facts_.tokens, " rows");
        if (::fsync(descriptor_) != 0) detail::fail_errno(path_, errno, "flush failed");
    }

  private:
    [[nodiscard]] extent next_row() const noexcept { return rows_ + pending_; }
    void flush() {
        append_little(block_, detail::crc32_of(std::as_bytes(std::span(block_))), 4);
        put(block_);
        rows_ += pending_;
        pending_ = 0;
        block_.clear();
    }
    void put(std::string_view bytes) {
        while (!bytes.empty()) {
            const ::ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0)
                detail::fail_errno(path_, n < 0 ? errno : ENOSPC, "write failed after row ", rows_,
                                   "; what is there is kept, run again to go on");
            bytes.remove_prefix(static_cast<std::size_t>(n));
        }
    }

    std::string path_;
    soft_label_facts facts_;
    int descriptor_ = -1;
    extent rows_ = 0;
    extent pending_ = 0;
    std::string block_;
};

}  // namespace tare::io
