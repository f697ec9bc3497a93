#pragma once
// SPDX-License-Identifier: MIT
// NumPy's .npz: a zip archive of .npy members, read stored or deflated, written stored (the common
// ground with NumPy; the layout is that of numpy.savez). Larger than 4 GiB through zip64.
// Source: NumPy format specification; PKWARE APPNOTE 6.3.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <zlib.h>

#include <tare/core/error.hpp>
#include <tare/io/atomic_file.hpp>
#include <tare/io/input_file.hpp>
#include <tare/io/little_endian.hpp>
#include <tare/io/npy.hpp>
#include <tare/io/zip.hpp>

namespace tare::io {

/// All arrays of an archive by name (without ".npy").
using npz_archive = std::map<std::string, npy_array, std::less<>>;

/// Reads an archive from memory; `path` only serves messages. Throws tare::file_error naming path,
/// byte offset and what is wrong.
[[nodiscard]] inline npz_archive parse_npz(std::span<const std::byte> file,
                                           const std::string& path) {
    npz_archive out;
    for (const zip_member& member : list_zip(file, path)) {
        std::string name = member.name;
        if (name.ends_with(".npy")) name.resize(name.size() - 4);
        npy_array array = parse_npy(extract_zip(file, member, path), path, member.data);
        if (!out.emplace(std::move(name), std::move(array)).second)
            detail::fail_at(path, member.header, "two arrays are named ", member.name,
                            " but for the ending .npy");
    }
    return out;
}

/// Reads an archive whole. Throws tare::file_error naming path, byte offset and what is wrong.
[[nodiscard]] inline npz_archive load_npz(const std::string& path) {
    return parse_npz(read_bytes(path), path);
}

namespace detail {

/// Grows a zip archive of stored members; zip64 fields appear where a number needs them.
class zip_writer {
  public:
    explicit zip_writer(atomic_file& file) : file_(file) {}

    void add(const std::string& name, std::span<const std::byte> content) {
        require(name.size() <= escape16, "save_npz: the name of an array has ", name.size(),
                " bytes, at most ", escape16, " are allowed");
        const std::uint64_t at = file_.written();
        const std::uint64_t size = content.size();
        const std::uint64_t crc =
            ::crc32_z(0, reinterpret_cast<const ::Bytef*>(content.data()), content.size());
        std::string wide;
        if (size >= escape32) put(put(put(put(wide, 1, 2), 16, 2), size, 8), size, 8);
        std::string head;
        put(head, local_signature, 4);
        put_common(head, crc, size, name, wide.size());
        file_.write(head + name + wide);
        file_.write(content);

        wide.clear();
        const std::uint64_t wide_bytes = (size >= escape32 ? 16U : 0U) + (at >= escape32 ? 8U : 0U);
        if (wide_bytes > 0) put(put(wide, 1, 2), wide_bytes, 2);
        if (size >= escape32) put(put(wide, size, 8), size, 8);
        if (at >= escape32) put(wide, at, 8);
        put(directory_, central_signature, 4);
        put(directory_, wide_bytes > 0 ? 45 : 20, 2);  // version of the format it takes to write
        put_common(directory_, crc, size, name, wide.size());
        put(directory_, 0, 2);  // no comment
        put(directory_, 0, 8);  // volume, attributes
        put(directory_, std::min(at, escape32), 4);
        directory_ += name + wide;
        ++entries_;
    }

    void finish() {
        const std::uint64_t at = file_.written();
        const std::uint64_t size = directory_.size();
        std::string end;
        if (entries_ >= escape16 || at >= escape32 || size >= escape32) {
            put(put(end, end64_signature, 4), end64_bytes - 12, 8);
            put(put(put(end, 45, 2), 45, 2), 0, 8);
            put(put(end, entries_, 8), entries_, 8);
            put(put(end, size, 8), at, 8);
            put(put(end, locator64_signature, 4), 0, 4);
            put(put(end, at + size, 8), 1, 4);
        }
        put(put(end, end_signature, 4), 0, 4);
        put(put(end, std::min(entries_, escape16), 2), std::min(entries_, escape16), 2);
        put(put(end, std::min(size, escape32), 4), std::min(at, escape32), 4);
        put(end, 0, 2);
        file_.write(directory_);
        file_.write(end);
    }

  private:
    static std::string& put(std::string& out, std::uint64_t value, std::size_t width) {
        return append_little(out, value, width);
    }
    // The fields that local header and central directory share. The date is the first that the
    // format knows (1 January 1980): same arrays, same bytes.
    static void put_common(std::string& out, std::uint64_t crc, std::uint64_t size,
                           const std::string& name, std::uint64_t extra) {
        put(out, extra > 0 ? 45 : 20, 2);
        put(put(out, 0, 2), 0, 2);  // no flags, stored
        put(put(out, 0, 2), 0x21, 2);
        put(out, crc, 4);
        put(put(out, std::min(size, escape32), 4), std::min(size, escape32), 4);
        put(put(out, name.size(), 2), extra, 2);
    }

    atomic_file& file_;
    std::string directory_;
    std::uint64_t entries_ = 0;
};

}  // namespace detail

/// Writes an archive that numpy.load reads, whole or not at all; the same arrays give the same
/// bytes. Throws tare::error on an array that does not fit its shape, tare::file_error when the
/// disk refuses: the old file is then left as it was.
inline void save_npz(const std::string& path, const npz_archive& arrays) {
    atomic_file file(path);
    detail::zip_writer zip(file);
    for (const auto& [name, array] : arrays)
        zip.add(name + ".npy", format_npy(array));
    zip.finish();
    file.commit();
}

}  // namespace tare::io
