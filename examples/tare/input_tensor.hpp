#pragma once
// SPDX-License-Identifier: MIT
// One tensor of a user's file, .npz or .safetensors, as float32.

#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/formats/bf16.hpp>
#include <tare/formats/fp16.hpp>
#include <tare/formats/fp8.hpp>
#include <tare/io/npz.hpp>
#include <tare/io/safetensors.hpp>
#include <tare/text/utf8.hpp>

namespace tare::tool {

/// A tensor and where it came from.
struct input_tensor {
    std::string origin;
    shape extents;
    std::vector<float> values;
};

namespace detail {

/// `text` as it can stand on a terminal, in JSON and in XML: what is no UTF-8 and what is no
/// character to be seen becomes a question mark, a byte each.
inline std::string printable(std::string_view text) {
    const auto shown = [](std::string_view one) {
        const bool control = one < " " || one == "\x7F" || (one >= "\xC2\x80" && one < "\xC2\xA0");
        const bool noncharacter = one == "\xEF\xBF\xBE" || one == "\xEF\xBF\xBF";
        return !one.empty() && !control && !noncharacter;
    };
    std::string out;
    while (!text.empty()) {
        const std::string_view one = text.substr(0, text::first_character(text));
        const bool good = shown(one);
        out += good ? one : std::string_view("?");
        text.remove_prefix(good ? one.size() : 1);
    }
    return out;
}

template <class Stored, class Convert>
std::vector<float> converted(std::span<const std::byte> bytes, Convert&& convert) {
    std::vector<float> out(bytes.size() / sizeof(Stored));
    for (std::size_t i = 0; i < out.size(); ++i) {
        Stored one;
        std::memcpy(&one, bytes.data() + i * sizeof one, sizeof one);
        out[i] = convert(one);
    }
    return out;
}

/// Values of an array whose type goes by one of the names of either kind of file; false for types
/// that are not of floating point.
inline bool to_floats(std::string_view type, std::span<const std::byte> bytes,
                      std::vector<float>& out) {
    if (type == "<f4" || type == "F32") {
        out = converted<float>(bytes, [](float v) { return v; });
    } else if (type == "<f8" || type == "F64") {
        out = converted<double>(bytes, [](double v) { return static_cast<float>(v); });
    } else if (type == "<f2" || type == "F16") {
        out = converted<std::uint16_t>(bytes, [](std::uint16_t c) { return fp16::decode(c); });
    } else if (type == "BF16") {
        out = converted<std::uint16_t>(bytes, [](std::uint16_t c) { return bf16::decode(c); });
    } else if (type == "F8_E4M3") {
        out = converted<std::uint8_t>(bytes, [](std::uint8_t c) { return fp8_e4m3::decode(c); });
    } else if (type == "F8_E5M2") {
        out = converted<std::uint8_t>(bytes, [](std::uint8_t c) { return fp8_e5m2::decode(c); });
    } else {
        return false;
    }
    return true;
}

/// Picks from arrays by name; `each` calls back with (name, type, shape, bytes) of every array.
template <class Each>
input_tensor pick(const std::string& path, const std::string& wanted, Each&& each) {
    input_tensor out;
    std::string names;
    std::string all_names;
    int all = 0;
    int candidates = 0;
    const auto list = [](std::string& to, int count, const std::string& label) {
        if (count <= 8) to += message(count == 1 ? "" : ", ", label);
        if (count == 9) to += ", ...";
    };
    each([&](const std::string& name, std::string_view type, const shape& extents,
             std::span<const std::byte> bytes) {
        const std::string label = printable(name);
        list(all_names, ++all, label);
        if (!wanted.empty() && name != wanted) return;
        std::vector<float> values;
        const bool known = to_floats(type, bytes, values);
        require(known || wanted.empty(), path, ": tensor ", label, " holds ", type,
                "; expected floating-point values of 8 (E4M3, E5M2), 16, 32 or 64 bits");
        if (!known) return;
        list(names, ++candidates, label);
        out = {message(printable(path), ", ", label), extents, std::move(values)};
    });
    require(candidates != 0 || wanted.empty(), path, ": no tensor named ", wanted, "; it holds ",
            all == 0 ? "none" : all_names);
    require(candidates != 0, path, ": no tensor of floating-point values; it holds ",
            all == 0 ? "none" : all_names);
    require(candidates == 1, path, ": holds ", candidates, " tensors (", names,
            "); choose one with --tensor");
    return out;
}

}  // namespace detail

/// Reads tensor `wanted` of an .npz or .safetensors file; empty takes the only one.
/// Throws tare::error naming the file: no such tensor, several to choose from, no numbers of
/// floating point, an unknown kind of file.
[[nodiscard]] inline input_tensor read_tensor(const std::string& path, const std::string& wanted) {
    if (path.ends_with(".npz")) {
        const io::npz_archive archive = io::load_npz(path);
        return detail::pick(path, wanted, [&](auto&& one) {
            for (const auto& [label, array] : archive)
                one(label, array.dtype, array.extents, std::span<const std::byte>(array.bytes));
        });
    }
    require(path.ends_with(".safetensors"), path, ": expected a file .npz or .safetensors");
    const io::safetensors_archive archive = io::load_safetensors(path);
    return detail::pick(path, wanted, [&](auto&& one) {
        for (const auto& [label, tensor] : archive.tensors)
            one(label, tensor.dtype, tensor.extents, tensor.bytes);
    });
}

}  // namespace tare::tool
