#pragma once
// SPDX-License-Identifier: MIT
// NumPy's .npz: a zip archive of .npy members, stored or deflated (zlib). Read whole, validated,
// row-major little-endian float32, float64, int32, int64, uint8, uint16, uint32, uint64 and bool.
// Source: NumPy format specification 1.0 to 3.0; PKWARE APPNOTE 6.3, sections 4.3 and 4.4.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare::io {

/// One array of an archive: type as NumPy writes it ("<f4", "<i8"), shape, and the raw bytes.
struct npy_array {
    std::string dtype;
    shape extents;
    std::vector<std::byte> bytes;

    /// The elements as `T`. Throws unless `T` is the stored type.
    template <class T>
    [[nodiscard]] std::vector<T> as() const {
        require(dtype == dtype_of<T>(), "npy_array: holds ", dtype, ", asked for as ",
                dtype_of<T>());
        std::vector<T> out(bytes.size() / sizeof(T));
        if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
        return out;
    }

    template <class T>
    static constexpr std::string_view dtype_of() {
        if constexpr (std::is_same_v<T, float>) return "<f4";
        if constexpr (std::is_same_v<T, double>) return "<f8";
        if constexpr (std::is_same_v<T, std::int32_t>) return "<i4";
        if constexpr (std::is_same_v<T, std::int64_t>) return "<i8";
        if constexpr (std::is_same_v<T, std::uint8_t>) return "|u1";
        if constexpr (std::is_same_v<T, std::uint16_t>) return "<u2";
        if constexpr (std::is_same_v<T, std::uint32_t>) return "<u4";
        if constexpr (std::is_same_v<T, std::uint64_t>) return "<u8";
        if constexpr (std::is_same_v<T, bool>) return "|b1";
    }
};

/// All arrays of an archive by name (without ".npy").
using npz_archive = std::map<std::string, npy_array, std::less<>>;

namespace detail {

inline std::uint32_t little(std::span<const std::byte> from, std::size_t at, int bytes) {
    std::uint32_t value = 0;
    for (int i = bytes - 1; i >= 0; --i)
        value = value << 8 | std::to_integer<std::uint32_t>(from[at + static_cast<std::size_t>(i)]);
    return value;
}

[[noreturn]] inline void npz_fail(const std::string& path, std::size_t offset, auto&&... what) {
    throw file_error(message(path, ": byte ", offset, ": ", what...));
}

}  // namespace detail

/// One .npy image. `path` and `offset` only serve messages.
[[nodiscard]] inline npy_array parse_npy(std::span<const std::byte> image, const std::string& path,
                                         std::size_t offset) {
    const auto text = [&](std::size_t at, std::size_t n) {
        return std::string_view(reinterpret_cast<const char*>(image.data()) + at, n);
    };
    if (image.size() < 10 || text(0, 6) != "\x93NUMPY")
        detail::npz_fail(path, offset, "not a .npy member (no NUMPY magic)");
    const int major = std::to_integer<int>(image[6]);
    const std::size_t start = major == 1 ? 10 : 12;
    if (image.size() < start) detail::npz_fail(path, offset, "truncated .npy header");
    const std::size_t length = detail::little(image, 8, major == 1 ? 2 : 4);
    if (image.size() - start < length) detail::npz_fail(path, offset, "truncated .npy header");
    const std::string_view header = text(start, length);

    const auto value_of = [&](std::string_view key) {
        const std::size_t at = header.find(key);
        if (at == std::string_view::npos)
            detail::npz_fail(path, offset, "the .npy header has no key ", key);
        return header.substr(at + key.size());
    };
    npy_array out;
    std::string_view descr = value_of("'descr':");
    const std::size_t open = descr.find('\'');
    const std::size_t close = open == std::string_view::npos ? open : descr.find('\'', open + 1);
    if (close == std::string_view::npos) detail::npz_fail(path, offset, "unreadable 'descr'");
    out.dtype = descr.substr(open + 1, close - open - 1);
    if (value_of("'fortran_order':").substr(0, 6).find("False") == std::string_view::npos)
        detail::npz_fail(path, offset,
                         "column-major arrays are not supported; save with order='C'");

    std::string_view tuple = value_of("'shape':");
    const std::size_t left = tuple.find('(');
    const std::size_t right = tuple.find(')');
    if (left == std::string_view::npos || right == std::string_view::npos || right < left)
        detail::npz_fail(path, offset, "unreadable 'shape'");
    std::vector<extent> extents;
    extent number = -1;
    for (const char c : tuple.substr(left + 1, right - left)) {
        if (c >= '0' && c <= '9') {
            if (number > (std::int64_t{1} << 56)) detail::npz_fail(path, offset, "shape overflows");
            number = (number < 0 ? 0 : number * 10) + (c - '0');
        } else if (c == ',' || c == ')') {
            if (number >= 0) extents.push_back(number);
            number = -1;
        } else if (c != ' ') {
            detail::npz_fail(path, offset, "unreadable 'shape'");
        }
    }
    out.extents = shape(extents);

    static constexpr std::string_view known[] = {"<f4", "<f8", "<i4", "<i8", "|u1",
                                                 "<u2", "<u4", "<u8", "|b1"};
    std::size_t width = 0;
    for (const std::string_view type : known)
        if (type == out.dtype) width = static_cast<std::size_t>(type[2] - '0');
    if (width == 0) detail::npz_fail(path, offset, "element type ", out.dtype, " is not supported");
    const std::size_t payload = image.size() - start - length;
    if (payload / width != static_cast<std::size_t>(out.extents.size()) || payload % width != 0)
        detail::npz_fail(path, offset, "shape ", out.extents, " of ", out.dtype, " needs ",
                         out.extents.size(), " elements, the member holds ", payload, " bytes");
    out.bytes.assign(image.begin() + static_cast<std::ptrdiff_t>(start + length), image.end());
    return out;
}

/// Reads a whole archive of stored members. Throws tare::file_error naming path, byte offset and
/// what is wrong.
[[nodiscard]] inline npz_archive load_npz(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw file_error(message(path, ": cannot be opened for reading"));
    std::vector<char> raw((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    const std::span<const std::byte> file = std::as_bytes(std::span(raw));

    npz_archive out;
    std::size_t at = 0;
    while (at + 4 <= file.size() && detail::little(file, at, 4) == 0x04034B50U) {
        if (file.size() - at < 30) detail::npz_fail(path, at, "truncated member header");
        const std::size_t method = detail::little(file, at + 8, 2);
        std::size_t packed = detail::little(file, at + 18, 4);
        const std::size_t name_size = detail::little(file, at + 26, 2);
        const std::size_t extra_size = detail::little(file, at + 28, 2);
        const std::size_t data = at + 30 + name_size + extra_size;
        if (data > file.size()) detail::npz_fail(path, at, "truncated member header");
        if (packed == 0xFFFFFFFFU && extra_size >= 20)  // zip64: sizes stand in the extra field
            packed = detail::little(file, at + 30 + name_size + 12, 4);
        if (method != 0) detail::npz_fail(path, at, "member is compressed (method ", method, ")");
        if (file.size() - data < packed) detail::npz_fail(path, at, "truncated member");
        std::string name(reinterpret_cast<const char*>(file.data()) + at + 30, name_size);
        if (name.ends_with(".npy")) name.resize(name.size() - 4);
        out.emplace(std::move(name), parse_npy(file.subspan(data, packed), path, at));
        at = data + packed;
    }
    if (at + 4 > file.size() || detail::little(file, at, 4) != 0x02014B50U)
        detail::npz_fail(path, at, "no zip member or central directory here");
    return out;
}

}  // namespace tare::io
