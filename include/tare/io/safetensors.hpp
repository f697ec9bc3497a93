#pragma once
// SPDX-License-Identifier: MIT
// safetensors: 8 bytes of header length (little-endian), a JSON object (name -> dtype, shape,
// data_offsets; strings under "__metadata__"), then the row-major little-endian payloads without
// holes. Written atomically; a checksum over names, types, shapes and bytes travels in the metadata
// (key "tare.crc32"), so that our own files also notice a flipped bit. Files of others load as
// well. Source: safetensors format description (Hugging Face, version 0.3), section "Format".

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <zlib.h>

#include <tare/core/aligned.hpp>
#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/io/atomic_file.hpp>
#include <tare/io/input_file.hpp>
#include <tare/io/little_endian.hpp>
#include <tare/io/safetensors_header.hpp>

namespace tare::io {

/// The dtype name that elements of `T` are stored under by default.
template <class T>
[[nodiscard]] constexpr std::string_view safetensors_dtype() {
    if constexpr (std::is_same_v<T, float>) return "F32";
    if constexpr (std::is_same_v<T, double>) return "F64";
    if constexpr (std::is_same_v<T, std::int8_t>) return "I8";
    if constexpr (std::is_same_v<T, std::uint8_t>) return "U8";
    if constexpr (std::is_same_v<T, std::int16_t>) return "I16";
    if constexpr (std::is_same_v<T, std::uint16_t>) return "U16";
    if constexpr (std::is_same_v<T, std::int32_t>) return "I32";
    if constexpr (std::is_same_v<T, std::uint32_t>) return "U32";
    if constexpr (std::is_same_v<T, std::int64_t>) return "I64";
    if constexpr (std::is_same_v<T, std::uint64_t>) return "U64";
}

/// A named tensor in somebody else's memory: what save_safetensors takes and an archive hands out.
struct tensor_ref {
    std::string name;
    std::string dtype;  ///< "F32", "BF16", ...: the names of safetensors_width()
    shape extents;
    std::span<const std::byte> bytes;  ///< row-major, little-endian

    /// The tensor over `values`; `dtype` is needed only for codes kept in integers (F16 and BF16 in
    /// std::uint16_t, F8_E4M3, F8_E5M2 and BOOL in std::uint8_t).
    template <class T>
    [[nodiscard]] static tensor_ref of(std::string name, const shape& extents,
                                       std::span<const T> values,
                                       std::string_view dtype = safetensors_dtype<T>()) {
        require(static_cast<std::size_t>(extents.size()) == values.size(), "tensor_ref: ", name,
                " of shape ", extents, " needs ", extents.size(), " values, got ", values.size());
        return {std::move(name), std::string(dtype), extents, std::as_bytes(values)};
    }

    /// The elements in place. Throws tare::error unless `T` is the stored type (or the unsigned
    /// integer of the same width: the codes) and the bytes are aligned for it.
    template <class T>
    [[nodiscard]] std::span<const T> view() const {
        check_type<T>();
        require(reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(T) == 0, "tensor ", name,
                ": its bytes are not aligned for ", dtype, "; copy them with as()");
        return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
    }
    /// A copy of the elements, whatever the alignment. Throws tare::error on another type.
    template <class T>
    [[nodiscard]] std::vector<T> as() const {
        check_type<T>();
        std::vector<T> out(bytes.size() / sizeof(T));
        if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
        return out;
    }

  private:
    template <class T>
    void check_type() const {
        static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>,
                      "ask for BOOL tensors as std::uint8_t");
        const bool same = dtype == safetensors_dtype<T>();
        const bool codes = std::is_unsigned_v<T> && safetensors_width(dtype) == sizeof(T);
        require(same || codes, "tensor ", name, ": holds ", dtype, ", asked for as ",
                safetensors_dtype<T>());
    }
};

/// A file in memory: one block of bytes, tensors that look into it, and the metadata strings.
/// Movable; the tensors live as long as the archive.
class safetensors_archive {
  public:
    safetensors_archive() = default;
    safetensors_archive(safetensors_archive&&) = default;
    safetensors_archive& operator=(safetensors_archive&&) = default;

    std::string path;                             ///< where it came from, for messages
    std::map<std::string, std::string> metadata;  ///< "__metadata__" without the checksum
    std::map<std::string, tensor_ref, std::less<>> tensors;

    /// One tensor. Throws tare::file_error naming path and tensor when it is missing.
    [[nodiscard]] const tensor_ref& at(std::string_view name) const {
        const auto found = tensors.find(name);
        if (found == tensors.end())
            throw file_error(message(path, ": no tensor named \"", name, "\" among its ",
                                     tensors.size(), " tensors"));
        return found->second;
    }
    /// The elements of one tensor of the given shape, in place. Throws tare::file_error naming
    /// path, tensor, what came and what was expected.
    template <class T>
    [[nodiscard]] std::span<const T> view(std::string_view name, const shape& expected) const {
        const tensor_ref& found = at(name);
        if (!(found.extents == expected))
            throw file_error(message(path, ": tensor \"", name, "\" has shape ", found.extents,
                                     ", expected ", expected));
        if (found.dtype != safetensors_dtype<T>())
            throw file_error(message(path, ": tensor \"", name, "\" holds ", found.dtype,
                                     ", expected ", safetensors_dtype<T>()));
        return found.view<T>();
    }

    friend safetensors_archive load_safetensors(const std::string&);

  private:
    aligned_vector<std::byte> block_;
};

namespace detail {

inline constexpr std::string_view safetensors_checksum_key = "tare.crc32";
// The limit of the format's own reader; it keeps a damaged length from asking for a huge header.
inline constexpr std::uint64_t safetensors_header_limit = 100'000'000;

/// CRC-32 over everything a reader relies on: tensors in file order with name, type, shape and
/// bytes, then the metadata. Zero bytes keep neighbouring strings apart. Eight hexadecimal digits.
inline std::string safetensors_checksum(const std::vector<const tensor_ref*>& tensors,
                                        const std::map<std::string, std::string>& metadata) {
    ::uLong crc = ::crc32_z(0, nullptr, 0);
    const auto add = [&crc](const void* data, std::size_t size) {
        if (size > 0) crc = ::crc32_z(crc, static_cast<const ::Bytef*>(data), size);
    };
    const auto add_text = [&add](const std::string& text) { add(text.c_str(), text.size() + 1); };
    for (const tensor_ref* tensor : tensors) {
        add_text(tensor->name);
        add_text(tensor->dtype);
        add_text(tensor->extents.to_string());
        add(tensor->bytes.data(), tensor->bytes.size());
    }
    for (const auto& [key, value] : metadata) {
        add_text(key);
        add_text(value);
    }
    char digits[9];
    std::snprintf(digits, sizeof digits, "%08lx", static_cast<unsigned long>(crc));
    return digits;
}

}  // namespace detail

/// Reads and validates a whole file: header, types, shapes against offsets, overlaps, holes,
/// trailing bytes, duplicate names, and the checksum if the file brings one. The payload is read
/// once, into the archive.
/// Throws tare::file_error naming path, tensor and byte offset.
[[nodiscard]] inline safetensors_archive load_safetensors(const std::string& path) {
    const input_file file(path);
    std::array<std::byte, 8> prefix{};
    file.read(0, prefix);
    const std::uint64_t length = load_little(prefix, 0, prefix.size());
    const std::uint64_t rest = file.size() - prefix.size();
    if (length > rest || length > detail::safetensors_header_limit)
        detail::fail_at(path, 0, "header length ", length, ", but ", rest,
                        " bytes follow (and no header has more than ",
                        detail::safetensors_header_limit, "): not a safetensors file, or cut off");
    std::string text(static_cast<std::size_t>(length), '\0');
    file.read(prefix.size(), std::as_writable_bytes(std::span(text)));
    safetensors_header header = parse_safetensors_header(path, text, rest - length);

    safetensors_archive out;
    out.path = path;
    out.block_.resize(static_cast<std::size_t>(rest - length));
    file.read(prefix.size() + length, out.block_);
    std::vector<const tensor_ref*> in_file_order;
    for (safetensors_entry& entry : header.entries) {
        const auto bytes = std::span<const std::byte>(out.block_)
                               .subspan(static_cast<std::size_t>(entry.begin),
                                        static_cast<std::size_t>(entry.end - entry.begin));
        const std::string name = entry.name;
        const auto placed = out.tensors.emplace(
            name, tensor_ref{std::move(entry.name), std::move(entry.dtype), entry.extents, bytes});
        in_file_order.push_back(&placed.first->second);
    }
    out.metadata = std::move(header.metadata);
    const auto expected = out.metadata.extract(std::string(detail::safetensors_checksum_key));
    if (!expected.empty()) {
        const std::string found = detail::safetensors_checksum(in_file_order, out.metadata);
        if (found != expected.mapped())
            throw file_error(message(path, ": damaged: the checksum over names, shapes and ",
                                     rest - length, " payload bytes is ", found, ", \"",
                                     detail::safetensors_checksum_key, "\" in __metadata__ says ",
                                     expected.mapped()));
    }
    return out;
}

/// Writes tensors (any order; each name once) atomically, widest element type first so that every
/// payload is aligned, then by name, with a checksum in the metadata.
/// Throws tare::error on a tensor that does not fit its shape, an unknown dtype or a repeated name;
/// tare::file_error when the disk refuses: the old file is then left as it was.
inline void save_safetensors(const std::string& path, std::span<const tensor_ref> tensors,
                             const std::map<std::string, std::string>& metadata = {}) {
    std::vector<const tensor_ref*> order;
    for (const tensor_ref& tensor : tensors) {
        const std::size_t width = safetensors_width(tensor.dtype);
        require(width != 0, "save_safetensors: tensor \"", tensor.name, "\" has the dtype \"",
                tensor.dtype, "\", which the format does not know");
        require(tensor.name != "__metadata__",
                "save_safetensors: a tensor cannot be named __metadata__");
        require(static_cast<std::uint64_t>(tensor.extents.size()) == tensor.bytes.size() / width &&
                    tensor.bytes.size() % width == 0,
                "save_safetensors: tensor \"", tensor.name, "\" of shape ", tensor.extents, " and ",
                tensor.dtype, " came with ", tensor.bytes.size(), " bytes");
        order.push_back(&tensor);
    }
    std::sort(order.begin(), order.end(), [](const tensor_ref* a, const tensor_ref* b) {
        const std::size_t wide_a = safetensors_width(a->dtype);
        const std::size_t wide_b = safetensors_width(b->dtype);
        return wide_a != wide_b ? wide_a > wide_b : a->name < b->name;
    });

    std::map<std::string, std::string> strings = metadata;
    strings.erase(std::string(detail::safetensors_checksum_key));
    strings[std::string(detail::safetensors_checksum_key)] =
        detail::safetensors_checksum(order, strings);
    std::set<std::string_view> names;
    try {
        // The order of the tensors is that of their bytes; only strings need JSON's escapes.
        const auto quoted = [](const std::string& raw) { return nlohmann::json(raw).dump(); };
        std::string text = "{\"__metadata__\":" + nlohmann::json(strings).dump();
        std::uint64_t offset = 0;
        for (const tensor_ref* tensor : order) {
            require(names.insert(tensor->name).second, "save_safetensors: two tensors are named \"",
                    tensor->name, '"');
            text += message(',', quoted(tensor->name), ":{\"dtype\":\"", tensor->dtype,
                            "\",\"shape\":[");
            for (std::size_t axis = 0; axis < tensor->extents.rank(); ++axis)
                text += message(axis == 0 ? "" : ",", tensor->extents[axis]);
            const std::uint64_t end = offset + tensor->bytes.size();
            text += message("],\"data_offsets\":[", offset, ',', end, "]}");
            offset = end;
        }
        text += '}';
        text.resize((text.size() + 7) / 8 * 8, ' ');  // the payload starts on 8 bytes
        require(text.size() <= detail::safetensors_header_limit,
                "save_safetensors: ", tensors.size(), " tensors need a header of ", text.size(),
                " bytes, at most ", detail::safetensors_header_limit, " are allowed");
        atomic_file file(path);
        std::string prefix;
        file.write(append_little(prefix, text.size(), 8));
        file.write(text);
        for (const tensor_ref* tensor : order)
            file.write(tensor->bytes);
        file.commit();
    } catch (const nlohmann::json::exception& reason) {
        fail("save_safetensors: a name or metadata string is not UTF-8 (", reason.what(), ')');
    }
}

}  // namespace tare::io
