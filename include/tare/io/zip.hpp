#pragma once
// SPDX-License-Identifier: MIT
// A zip archive, as far as NumPy's .npz needs it: stored and deflated members, zip64, no
// encryption, one volume. Reading trusts nothing: central directory and local headers must agree,
// members may not overlap, and every content is checked against its CRC-32. Source: PKWARE
// APPNOTE 6.3, sections 4.3 (structure), 4.4 (fields), 4.5.3 (zip64).

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <zlib.h>

#include <tare/core/error.hpp>
#include <tare/io/input_file.hpp>
#include <tare/io/little_endian.hpp>

namespace tare::io {

/// One member of an archive in memory.
struct zip_member {
    std::string name;
    std::uint64_t header = 0;  ///< offset of the local header
    std::uint64_t data = 0;    ///< offset of the (compressed) content
    std::uint64_t packed = 0;  ///< bytes in the archive
    std::uint64_t size = 0;    ///< bytes of the content
    std::uint32_t crc = 0;
    bool deflated = false;
};

namespace detail {

inline constexpr std::uint64_t local_signature = 0x04034B50;
inline constexpr std::uint64_t central_signature = 0x02014B50;
inline constexpr std::uint64_t end_signature = 0x06054B50;
inline constexpr std::uint64_t end64_signature = 0x06064B50;
inline constexpr std::uint64_t locator64_signature = 0x07064B50;
inline constexpr std::uint64_t escape16 = 0xFFFF;      // "see the zip64 field" in 16 bits
inline constexpr std::uint64_t escape32 = 0xFFFFFFFF;  // and in 32 bits
inline constexpr std::size_t local_bytes = 30;
inline constexpr std::size_t central_bytes = 46;
inline constexpr std::size_t end_bytes = 22;
inline constexpr std::size_t end64_bytes = 56;
inline constexpr std::size_t locator64_bytes = 20;

/// Where the central directory lies.
struct zip_directory {
    std::uint64_t entries = 0;
    std::uint64_t size = 0;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;  // where it must end: the start of the end records
};

/// A reader over the whole archive, with the path for messages.
class zip_reader {
  public:
    zip_reader(std::span<const std::byte> file, const std::string& path)
        : file_(file), path_(path) {}

    std::vector<zip_member> members() const {
        const zip_directory directory = find_directory();
        std::vector<zip_member> out;
        std::set<std::string> names;
        std::uint64_t at = directory.begin;
        for (std::uint64_t i = 0; i < directory.entries; ++i) {
            if (directory.end - at < central_bytes || get(at, 4) != central_signature)
                fail_at(path_, at, "no entry of the central directory here, ",
                        directory.entries - i, " more were announced");
            out.push_back(central_entry(at, directory.end));
            if (!names.insert(out.back().name).second)
                fail_at(path_, at, "two members are named ", out.back().name);
            at += central_bytes + get(at + 28, 2) + get(at + 30, 2) + get(at + 32, 2);
        }
        if (at != directory.end)
            fail_at(path_, at, "the central directory has ", directory.end - at,
                    " bytes behind its last entry");
        for (zip_member& member : out)
            locate(member, directory.begin);
        check_overlaps(out);
        return out;
    }

  private:
    [[nodiscard]] std::uint64_t get(std::uint64_t at, std::size_t width) const {
        return load_little(file_, static_cast<std::size_t>(at), width);
    }

    zip_directory find_directory() const {
        if (file_.size() < end_bytes)
            fail_at(path_, 0, "not a zip archive: ", file_.size(), " bytes");
        // The end record closes the file; only a comment of at most 65,535 bytes may follow it.
        const std::uint64_t last = file_.size() - end_bytes;
        const std::uint64_t first = last > escape16 ? last - escape16 : 0;
        std::uint64_t at = last;
        while (get(at, 4) != end_signature || get(at + 20, 2) != last - at) {
            if (at == first)
                fail_at(path_, file_.size(),
                        "no end record of a zip archive: cut off, or not an archive");
            --at;
        }
        zip_directory out{get(at + 10, 2), get(at + 12, 4), get(at + 16, 4), at};
        bool single = get(at + 4, 2) == 0 && get(at + 6, 2) == 0 && get(at + 8, 2) == out.entries;
        const bool escaped =
            out.entries == escape16 || out.size == escape32 || out.begin == escape32;
        if (escaped && at >= locator64_bytes &&
            get(at - locator64_bytes, 4) == locator64_signature) {
            const std::uint64_t record = get(at - locator64_bytes + 8, 8);
            if (at < locator64_bytes + end64_bytes || record > at - locator64_bytes - end64_bytes ||
                get(record, 4) != end64_signature ||
                get(record + 4, 8) != at - locator64_bytes - record - 12)
                fail_at(path_, at - locator64_bytes, "the zip64 locator points nowhere");
            single = get(record + 16, 4) == 0 && get(record + 20, 4) == 0 &&
                     get(record + 24, 8) == get(record + 32, 8) &&
                     get(at - locator64_bytes + 4, 4) == 0 &&
                     get(at - locator64_bytes + 16, 4) == 1;
            out = {get(record + 32, 8), get(record + 40, 8), get(record + 48, 8), record};
        }
        if (!single) fail_at(path_, at, "archives of several volumes are not supported");
        if (out.begin > out.end || out.size != out.end - out.begin)
            fail_at(path_, at, "central directory at ", out.begin, " with ", out.size,
                    " bytes, but the end record stands at ", out.end);
        return out;
    }

    /// 64-bit values from an extra field: `wanted` are the ones whose 32-bit place holds the escape
    /// value, in the order the format gives them.
    void read_zip64(std::uint64_t at, std::uint64_t end,
                    std::initializer_list<std::uint64_t*> wanted) const {
        const std::uint64_t start = at;
        while (end - at >= 4) {
            const std::uint64_t kind = get(at, 2);
            std::uint64_t left = get(at + 2, 2);
            at += 4;
            if (left > end - at) fail_at(path_, at, "an extra field is cut off");
            if (kind == 1) {
                for (std::uint64_t* value : wanted) {
                    if (*value != escape32) continue;
                    if (left < 8) fail_at(path_, at, "the zip64 field is too short");
                    *value = get(at, 8);
                    at += 8;
                    left -= 8;
                }
                return;
            }
            at += left;
        }
        for (const std::uint64_t* value : wanted)
            if (*value == escape32) fail_at(path_, start, "a zip64 field is missing");
    }

    zip_member central_entry(std::uint64_t at, std::uint64_t end) const {
        const std::uint64_t name = get(at + 28, 2);
        const std::uint64_t extra = get(at + 30, 2);
        if (name + extra + get(at + 32, 2) > end - at - central_bytes)
            fail_at(path_, at, "an entry of the central directory is cut off");
        zip_member out;
        out.name = text(at + central_bytes, name);
        out.crc = static_cast<std::uint32_t>(get(at + 16, 4));
        out.packed = get(at + 20, 4);
        out.size = get(at + 24, 4);
        out.header = get(at + 42, 4);
        const std::uint64_t method = get(at + 10, 2);
        if ((get(at + 8, 2) & 1U) != 0) fail_at(path_, at, out.name, " is encrypted");
        if (method != 0 && method != 8)
            fail_at(path_, at, out.name, ": compression method ", method,
                    " is not supported, expected stored (0) or deflated (8)");
        out.deflated = method == 8;
        const std::uint64_t fields = at + central_bytes + name;
        read_zip64(fields, fields + extra, {&out.size, &out.packed, &out.header});
        return out;
    }

    /// Finds the content behind the local header, which must agree with the central directory.
    void locate(zip_member& member, std::uint64_t limit) const {
        const std::uint64_t at = member.header;
        if (limit < local_bytes || at > limit - local_bytes || get(at, 4) != local_signature)
            fail_at(path_, std::min<std::uint64_t>(at, file_.size()), "no local header of ",
                    member.name, " here");
        const std::uint64_t name = get(at + 26, 2);
        const std::uint64_t extra = get(at + 28, 2);
        if (name + extra > limit - at - local_bytes)
            fail_at(path_, at, "the local header of ", member.name, " is cut off");
        member.data = at + local_bytes + name + extra;
        if (member.packed > limit - member.data)
            fail_at(path_, at, member.name, " has ", member.packed, " bytes, only ",
                    limit - member.data, " lie before the central directory");
        std::uint64_t packed = get(at + 18, 4);
        std::uint64_t size = get(at + 22, 4);
        read_zip64(member.data - extra, member.data, {&size, &packed});
        const std::uint64_t flags = get(at + 6, 2);
        // Bit 3: a writer that could not seek put checksum and sizes behind the content.
        const bool late = (flags & 8U) != 0;
        const bool sizes_agree =
            packed == member.packed && size == member.size && get(at + 14, 4) == member.crc;
        if (text(at + local_bytes, name) != member.name ||
            get(at + 8, 2) != (member.deflated ? 8U : 0U) || (flags & 1U) != 0 ||
            (!late && !sizes_agree))
            fail_at(path_, at, "the local header disagrees with the central directory on ",
                    member.name);
        if (!member.deflated && member.packed != member.size)
            fail_at(path_, at, member.name, " is stored, but its two sizes differ");
        // Deflate gains at most a factor of 1032: a larger claim is damage, or meant to be.
        if (member.size / 1032 > member.packed)
            fail_at(path_, at, member.name, " claims ", member.size, " bytes from ", member.packed);
    }

    void check_overlaps(std::vector<zip_member> sorted) const {
        std::sort(sorted.begin(), sorted.end(),
                  [](const auto& a, const auto& b) { return a.header < b.header; });
        for (std::size_t i = 1; i < sorted.size(); ++i)
            if (sorted[i].header < sorted[i - 1].data + sorted[i - 1].packed)
                fail_at(path_, sorted[i].header, sorted[i].name, " overlaps ", sorted[i - 1].name);
    }

    [[nodiscard]] std::string text(std::uint64_t at, std::uint64_t size) const {
        return {reinterpret_cast<const char*>(file_.data()) + at, static_cast<std::size_t>(size)};
    }

    std::span<const std::byte> file_;
    const std::string& path_;
};

}  // namespace detail

/// The members of an archive in the order of its directory. `path` only serves messages.
/// Throws tare::file_error naming path, byte offset and what is wrong.
[[nodiscard]] inline std::vector<zip_member> list_zip(std::span<const std::byte> file,
                                                      const std::string& path) {
    return detail::zip_reader(file, path).members();
}

/// The content of a member, checked against its CRC-32.
/// Throws tare::file_error naming path, byte offset and what is wrong.
[[nodiscard]] inline std::vector<std::byte>
extract_zip(std::span<const std::byte> file, const zip_member& member, const std::string& path) {
    const auto packed = file.subspan(static_cast<std::size_t>(member.data),
                                     static_cast<std::size_t>(member.packed));
    std::vector<std::byte> out;
    if (!member.deflated) {
        out.assign(packed.begin(), packed.end());
    } else {
        // One spare byte: content longer than announced shows itself. zlib counts in 32 bits.
        if (std::max(member.size, member.packed) >= std::numeric_limits<::uInt>::max())
            detail::fail_at(path, member.header, member.name,
                            ": deflated members of 4 GiB and more are not supported");
        out.resize(static_cast<std::size_t>(member.size) + 1);
        ::z_stream z{};
        require(::inflateInit2(&z, -15) == Z_OK, "extract_zip: zlib cannot start");
        // zlib's interface lacks the const; the input is not written to.
        z.next_in = const_cast<::Bytef*>(reinterpret_cast<const ::Bytef*>(packed.data()));
        z.avail_in = static_cast<::uInt>(packed.size());
        z.next_out = reinterpret_cast<::Bytef*>(out.data());
        z.avail_out = static_cast<::uInt>(out.size());
        const int code = ::inflate(&z, Z_FINISH);
        const bool whole = code == Z_STREAM_END && z.avail_in == 0 && z.avail_out == 1;
        ::inflateEnd(&z);
        if (!whole)
            detail::fail_at(path, member.data, member.name, ": damaged deflate data, expected ",
                            member.size, " bytes of content");
        out.pop_back();
    }
    const ::uLong crc = ::crc32_z(0, reinterpret_cast<const ::Bytef*>(out.data()), out.size());
    if (crc != member.crc)
        detail::fail_at(path, member.data, member.name, ": damaged: CRC-32 is ", crc,
                        ", the directory says ", member.crc);
    return out;
}

}  // namespace tare::io
