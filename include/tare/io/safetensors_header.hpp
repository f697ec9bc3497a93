#pragma once
// SPDX-License-Identifier: MIT
// The JSON header of a safetensors file, parsed event by event so that duplicate keys, unknown
// fields and wrong types are seen (a tree of values would hide them), then checked against the size
// of the payload: every byte belongs to exactly one tensor.
// Source: safetensors format description (Hugging Face, version 0.3), section "Format".

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/io/input_file.hpp>

namespace tare::io {

/// Bytes per element of a safetensors dtype, 0 for a name that is not one.
[[nodiscard]] constexpr std::size_t safetensors_width(std::string_view dtype) noexcept {
    constexpr std::pair<std::string_view, std::size_t> known[] = {
        {"F64", 8}, {"I64", 8}, {"U64", 8},  {"F32", 4},     {"I32", 4},
        {"U32", 4}, {"F16", 2}, {"BF16", 2}, {"I16", 2},     {"U16", 2},
        {"I8", 1},  {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    for (const auto& [name, width] : known)
        if (name == dtype) return width;
    return 0;
}

/// One tensor of a header; offsets count from the first payload byte.
struct safetensors_entry {
    std::string name;
    std::string dtype;
    shape extents;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

/// A validated header: entries in the order of their offsets.
struct safetensors_header {
    std::vector<safetensors_entry> entries;
    std::map<std::string, std::string> metadata;
};

namespace detail {

// The header starts behind the 8 bytes of its length: offsets in messages count from the file.
inline constexpr std::uint64_t safetensors_start = 8;

/// Receives nlohmann's parse events and accepts exactly the grammar of the format.
class safetensors_events final : public nlohmann::json_sax<nlohmann::json> {
  public:
    safetensors_events(const std::string& path, std::string_view text, std::uint64_t payload)
        : path_(path), text_(text), payload_(payload) {}

    safetensors_header header;

    bool start_object(std::size_t) override {
        if (depth_ == 2) refuse("an object");
        if (depth_ == 1 && !in_metadata_) begin_tensor();
        ++depth_;
        return true;
    }
    bool end_object() override {
        if (--depth_ == 1 && !std::exchange(in_metadata_, false)) end_tensor();
        return true;
    }
    bool key(std::string& name) override {
        if (depth_ == 1) {
            if (!names_.emplace(name, true).second)
                fail_at(path_, locate_last(name), "duplicate key \"", name, '"');
            name_ = name;
            field_.clear();
            in_metadata_ = name == "__metadata__";
        } else {
            field_ = name;
            if (in_metadata_ && header.metadata.contains(name))
                fail_at(path_, locate_last(name), "__metadata__: duplicate key \"", name, '"');
        }
        return true;
    }
    bool string(std::string& value) override {
        if (depth_ == 2 && in_metadata_) {
            header.metadata.emplace(field_, value);
        } else if (depth_ == 2 && field_ == "dtype" && !in_array_) {
            if (!entry_.dtype.empty()) refuse("a second dtype");
            if (safetensors_width(value) == 0) refuse("the dtype \"" + value + '"');
            entry_.dtype = value;
        } else {
            refuse("the string \"" + value + '"');
        }
        return true;
    }
    bool start_array(std::size_t) override {
        const bool wanted = depth_ == 2 && !in_metadata_ && !in_array_;
        const bool first = wanted && ((field_ == "shape" && !std::exchange(has_shape_, true)) ||
                                      (field_ == "data_offsets" && offsets_.empty()));
        if (!first) refuse("an array");
        in_array_ = true;
        return true;
    }
    bool end_array() override {
        in_array_ = false;
        if (field_ == "data_offsets" && offsets_.size() != 2)
            refuse("an array of " + std::to_string(offsets_.size()) + " numbers");
        return true;
    }
    bool number_unsigned(number_unsigned_t value) override {
        if (!in_array_) refuse("the number " + std::to_string(value));
        if (field_ == "shape") {
            if (value > static_cast<std::uint64_t>(std::numeric_limits<extent>::max()))
                refuse("the extent " + std::to_string(value));
            extents_.push_back(static_cast<extent>(value));
        } else {
            offsets_.push_back(value);
        }
        return true;
    }
    bool number_integer(number_integer_t value) override {
        refuse("the number " + std::to_string(value));
    }
    bool number_float(number_float_t, const string_t& text) override {
        refuse("the number " + text);
    }
    bool boolean(bool value) override { refuse(value ? "true" : "false"); }
    bool null() override { refuse("null"); }
    bool binary(nlohmann::json::binary_t&) override { refuse("binary data"); }
    bool parse_error(std::size_t position, const std::string&,
                     const nlohmann::json::exception& reason) override {
        fail_at(path_, safetensors_start + (position > 0 ? position - 1 : 0),
                "the header is not valid JSON: ", reason.what());
    }

  private:
    [[noreturn]] void refuse(const std::string& what) const {
        if (depth_ == 0)
            fail_at(path_, safetensors_start, "the header is ", what, ", expected an object");
        fail_at(path_, locate(name_), '"', name_, field_.empty() ? "" : "\".\"", field_,
                "\": ", what, " is not allowed here; expected ",
                in_metadata_ ? "strings only"
                             : R"({"dtype": NAME, "shape": [...], "data_offsets": [begin, end]})");
    }

    // The events carry no position: look the quoted key up. One with escapes is not found; then
    // the start of the header has to do.
    [[nodiscard]] std::uint64_t locate(const std::string& key) const {
        const std::size_t found = text_.find('"' + key + '"');
        return safetensors_start + (found == std::string_view::npos ? 0 : found);
    }
    [[nodiscard]] std::uint64_t locate_last(const std::string& key) const {
        const std::size_t found = text_.rfind('"' + key + '"');
        return safetensors_start + (found == std::string_view::npos ? 0 : found);
    }

    void begin_tensor() {
        entry_ = {};
        entry_.name = name_;
        extents_.clear();
        offsets_.clear();
        has_shape_ = false;
    }

    void end_tensor() {
        const std::uint64_t where = locate(name_);
        if (entry_.dtype.empty() || !has_shape_ || offsets_.empty())
            fail_at(path_, where, "tensor \"", name_, "\" lacks ",
                    entry_.dtype.empty() ? "dtype"
                    : !has_shape_        ? "shape"
                                         : "data_offsets");
        try {
            entry_.extents = shape(extents_);
        } catch (const error& reason) {
            fail_at(path_, where, "tensor \"", name_, "\": ", reason.what());
        }
        entry_.begin = offsets_[0];
        entry_.end = offsets_[1];
        if (entry_.begin > entry_.end || entry_.end > payload_)
            fail_at(path_, where, "tensor \"", name_, "\": data_offsets [", entry_.begin, ", ",
                    entry_.end, "] do not lie within the ", payload_, " bytes of payload");
        const std::uint64_t width = safetensors_width(entry_.dtype);
        const std::uint64_t bytes = entry_.end - entry_.begin;
        if (bytes % width != 0 ||
            bytes / width != static_cast<std::uint64_t>(entry_.extents.size()))
            fail_at(path_, where, "tensor \"", name_, "\": shape ", entry_.extents, " of ",
                    entry_.dtype, " needs ", entry_.extents.size(), " elements of ", width,
                    " bytes, data_offsets [", entry_.begin, ", ", entry_.end, "] hold ", bytes,
                    " bytes");
        header.entries.push_back(std::move(entry_));
    }

    const std::string& path_;
    std::string_view text_;
    std::uint64_t payload_;
    int depth_ = 0;
    bool in_array_ = false;
    bool in_metadata_ = false;
    bool has_shape_ = false;
    std::string name_;
    std::string field_;
    std::map<std::string, bool, std::less<>> names_;
    safetensors_entry entry_;
    std::vector<extent> extents_;
    std::vector<std::uint64_t> offsets_;
};

}  // namespace detail

/// Parses the header `text` of the file `path` whose payload has `payload` bytes.
/// Throws tare::file_error naming path, key and byte offset in the file.
[[nodiscard]] inline safetensors_header
parse_safetensors_header(const std::string& path, std::string_view text, std::uint64_t payload) {
    if (text.empty() || text.front() != '{')
        detail::fail_at(path, detail::safetensors_start, "the header does not start with '{'");
    // The JSON parser takes a zero byte for the end of its input: what follows would go unread.
    if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos)
        detail::fail_at(path, detail::safetensors_start + zero, "the header holds a zero byte");

    detail::safetensors_events events(path, text, payload);
    nlohmann::json::sax_parse(text.begin(), text.end(), &events);
    safetensors_header out = std::move(events.header);

    std::sort(out.entries.begin(), out.entries.end(), [](const auto& a, const auto& b) {
        return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    const std::uint64_t start = detail::safetensors_start + text.size();
    std::uint64_t covered = 0;
    for (const safetensors_entry& entry : out.entries) {
        if (entry.begin != covered)
            detail::fail_at(path, start + std::min(entry.begin, covered), "tensor \"", entry.name,
                            "\" starts at payload byte ", entry.begin,
                            entry.begin < covered ? ", inside its predecessor, which ends at "
                                                  : ", leaving a hole after ",
                            covered);
        covered = entry.end;
    }
    if (covered != payload)
        detail::fail_at(path, start + covered, payload - covered,
                        " trailing bytes belong to no tensor");
    return out;
}

}  // namespace tare::io
