#pragma once
// SPDX-License-Identifier: MIT
// NumPy's .npy: magic, version, a header that is a Python dict literal (descr, fortran_order,
// shape), then the elements. Read and written: row-major, little-endian, float16 to float64,
// integers of 8 to 64 bits, bool. Source: NumPy format specification, versions 1.0 to 3.0.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/io/input_file.hpp>
#include <tare/io/little_endian.hpp>

namespace tare::io {

/// One array: type as NumPy writes it ("<f4", "<i8"), shape, and the raw bytes.
struct npy_array {
    std::string dtype;
    shape extents;
    std::vector<std::byte> bytes;

    /// The array over a copy of `values`. Throws tare::error unless they fill the shape.
    template <class T>
    [[nodiscard]] static npy_array of(const shape& extents, std::span<const T> values) {
        require(static_cast<std::size_t>(extents.size()) == values.size(), "npy_array: shape ",
                extents, " needs ", extents.size(), " values, got ", values.size());
        const auto raw = std::as_bytes(values);
        return {std::string(dtype_of<T>()), extents, {raw.begin(), raw.end()}};
    }

    /// The elements as `T`; float16 and bool come as their codes (std::uint16_t, std::uint8_t).
    /// Throws tare::error unless `T` is the stored type.
    template <class T>
    [[nodiscard]] std::vector<T> as() const {
        const bool codes = (dtype == "<f2" && std::is_same_v<T, std::uint16_t>) ||
                           (dtype == "|b1" && std::is_same_v<T, std::uint8_t>);
        require(dtype == dtype_of<T>() || codes, "npy_array: holds ", dtype, ", asked for as ",
                dtype_of<T>());
        std::vector<T> out(bytes.size() / sizeof(T));
        if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
        return out;
    }

    template <class T>
    static constexpr std::string_view dtype_of() {
        static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>,
                      "ask for bool arrays as std::uint8_t");
        if constexpr (std::is_same_v<T, float>) return "<f4";
        if constexpr (std::is_same_v<T, double>) return "<f8";
        if constexpr (std::is_same_v<T, std::int8_t>) return "|i1";
        if constexpr (std::is_same_v<T, std::int16_t>) return "<i2";
        if constexpr (std::is_same_v<T, std::int32_t>) return "<i4";
        if constexpr (std::is_same_v<T, std::int64_t>) return "<i8";
        if constexpr (std::is_same_v<T, std::uint8_t>) return "|u1";
        if constexpr (std::is_same_v<T, std::uint16_t>) return "<u2";
        if constexpr (std::is_same_v<T, std::uint32_t>) return "<u4";
        if constexpr (std::is_same_v<T, std::uint64_t>) return "<u8";
    }
};

namespace detail {

inline constexpr std::array<std::string_view, 12> npy_types{
    "<f2", "<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "|b1"};

/// Bytes per element, 0 for a type that is not supported.
constexpr std::size_t npy_width(std::string_view dtype) {
    const bool known = std::find(npy_types.begin(), npy_types.end(), dtype) != npy_types.end();
    return known ? static_cast<std::size_t>(dtype[2] - '0') : 0;
}

/// Reads the dict literal of a header: exactly the three keys, in any order.
class npy_header {
  public:
    npy_header(std::string_view text, const std::string& path, std::uint64_t offset)
        : text_(text), path_(path), offset_(offset) {}

    void parse(npy_array& out) {
        int descr = 0;
        int order = 0;
        int extents = 0;
        expect('{');
        while (!accept('}')) {
            const std::string_view key = quoted();
            expect(':');
            if (key == "descr" && ++descr == 1)
                out.dtype = quoted();
            else if (key == "fortran_order" && ++order == 1)
                row_major();
            else if (key == "shape" && ++extents == 1)
                out.extents = tuple();
            else
                refuse("unexpected or repeated key '", key, "'");
            if (!accept(',')) {
                expect('}');
                break;
            }
        }
        skip();
        if (at_ != text_.size()) refuse("text behind the dict");
        if (descr + order + extents != 3)
            refuse("expected the keys descr, fortran_order and shape");
    }

  private:
    [[noreturn]] void refuse(const auto&... what) const {
        fail_at(path_, offset_ + at_, ".npy header: ", what...);
    }
    void skip() {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n'))
            ++at_;
    }
    bool accept(char c) {
        skip();
        if (at_ == text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    void expect(char c) {
        if (!accept(c)) refuse("expected '", c, "'");
    }
    std::string_view quoted() {
        skip();
        const char mark = at_ < text_.size() ? text_[at_] : '\0';
        const std::size_t end =
            mark == '\'' || mark == '"' ? text_.find(mark, at_ + 1) : std::string_view::npos;
        if (end == std::string_view::npos) refuse("expected a quoted string");
        const std::string_view out = text_.substr(at_ + 1, end - at_ - 1);
        at_ = end + 1;
        return out;
    }
    void row_major() {
        skip();
        if (text_.substr(at_).starts_with("True"))
            refuse("column-major arrays are not supported; save with order='C'");
        if (!text_.substr(at_).starts_with("False")) refuse("fortran_order is not True or False");
        at_ += 5;
    }
    shape tuple() {
        std::vector<extent> extents;
        expect('(');
        while (!accept(')')) {
            skip();
            extent number = 0;
            const std::size_t first = at_;
            for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
                if (number > (extent{1} << 56)) refuse("an extent above 2^56");
                number = number * 10 + (text_[at_] - '0');
            }
            if (at_ == first) refuse("expected an extent");
            extents.push_back(number);
            if (!accept(',')) {
                expect(')');
                break;
            }
        }
        try {
            return shape(extents);
        } catch (const error& reason) {
            refuse(reason.what());
        }
    }

    std::string_view text_;
    const std::string& path_;
    std::uint64_t offset_;
    std::size_t at_ = 0;
};

}  // namespace detail

/// Reads one .npy image. `path` and `offset` (of the image within the file) only serve messages.
/// Throws tare::file_error.
[[nodiscard]] inline npy_array parse_npy(std::span<const std::byte> image, const std::string& path,
                                         std::uint64_t offset) {
    const auto text = [&](std::size_t at, std::size_t n) {
        return std::string_view(reinterpret_cast<const char*>(image.data()) + at, n);
    };
    if (image.size() < 10 || text(0, 6) != "\x93NUMPY")
        detail::fail_at(path, offset, "not a .npy array (no NUMPY magic)");
    const int major = std::to_integer<int>(image[6]);
    const int minor = std::to_integer<int>(image[7]);
    if (major < 1 || major > 3 || minor != 0)
        detail::fail_at(path, offset + 6, ".npy version ", major, '.', minor,
                        " is not supported, expected 1.0 to 3.0");
    const std::size_t start = major == 1 ? 10 : 12;
    if (image.size() < start) detail::fail_at(path, offset, "truncated .npy header");
    const std::size_t length = load_little(image, 8, start - 8);
    if (image.size() - start < length)
        detail::fail_at(path, offset + 8, "a .npy header of ", length, " bytes, only ",
                        image.size() - start, " follow");
    npy_array out;
    detail::npy_header(text(start, length), path, offset + start).parse(out);
    const std::size_t width = detail::npy_width(out.dtype);
    if (width == 0)
        detail::fail_at(path, offset, "element type ", out.dtype,
                        " is not supported; convert with astype() to float, int, uint or bool "
                        "of this machine's byte order");
    const std::span<const std::byte> payload = image.subspan(start + length);
    if (payload.size() % width != 0 ||
        payload.size() / width != static_cast<std::size_t>(out.extents.size()))
        detail::fail_at(path, offset + start + length, "shape ", out.extents, " of ", out.dtype,
                        " needs ", out.extents.size(), " elements, ", payload.size(),
                        " bytes are there");
    out.bytes.assign(payload.begin(), payload.end());
    return out;
}

/// One array as a .npy image, elements on a multiple of 64 bytes.
/// Throws tare::error on an unknown type or bytes that do not fit the shape.
[[nodiscard]] inline std::vector<std::byte> format_npy(const npy_array& array) {
    const std::size_t width = detail::npy_width(array.dtype);
    require(width != 0, "format_npy: unknown element type \"", array.dtype, '"');
    require(array.bytes.size() % width == 0 &&
                array.bytes.size() / width == static_cast<std::size_t>(array.extents.size()),
            "format_npy: shape ", array.extents, " of ", array.dtype, " came with ",
            array.bytes.size(), " bytes");
    std::string header = message("{'descr': '", array.dtype,
                                 "', 'fortran_order': False, 'shape': ", array.extents, ", }");
    // Six extents of 19 digits fit the 16-bit length of version 1.0 with room to spare.
    header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 11, ' ');
    header += '\n';
    std::string image = "\x93NUMPY\x01";
    image += '\0';
    image += static_cast<char>(header.size() & 0xFF);
    image += static_cast<char>(header.size() >> 8);
    image += header;
    const auto front = std::as_bytes(std::span(image));
    std::vector<std::byte> out(front.begin(), front.end());
    out.insert(out.end(), array.bytes.begin(), array.bytes.end());
    return out;
}

}  // namespace tare::io
