#pragma once
// SPDX-License-Identifier: MIT
// The description of a packed model file, as metadata of a safetensors file, which maps strings to
// strings:
//     tare.packed         2                                   the version of this form
//     tare.bits           9                                   of activations and most tensors
//     tare.config.NAME    8 | 3500,25000 | 0.016 | false      each size of the model
//     tare.tensor.NAME    256,768 linear_symmetric 9 bitmask 126566
//                         shape, format, bits, form, values kept
//     tare.points         layers.0.qkv layers.0.fc ...        points that have a range
// Nothing in it is a parameter: the accounting charges the payload alone.

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <tare/micronet/baseline.hpp>
#include <tare/models/stored_model.hpp>

namespace tare::io {

/// One parameter in a packed file.
struct packed_entry {
    shape extents;
    int bits = 32;
    extent kept = 0;      ///< values that are stored
    bool masked = false;  ///< the others are zeros, and a mask says which
};

struct packed_header {
    transformer_xl_config config;
    int bits = 32;  ///< of activations, and of tensors that are not exceptions
    std::map<std::string, packed_entry> tensors;
    std::vector<std::string> points;
};

/// What one 32-bit operation per token is worth in bits of storage: 16 at WikiText-103's baseline.
inline constexpr double operation_worth_bits =
    32.0 * micronet::wikitext103.parameters / micronet::wikitext103.operations;

/// How a tensor is stored: behind a mask exactly where that lowers the score. The mask costs a bit
/// for each element; each zero saves its own bits and, per token, an addition and in a matrix a
/// multiplication `bits` wide. A tensor without a mask counts as dense in both halves of the score.
[[nodiscard]] inline packed_entry describe(const stored_tensor& t) {
    const extent size = t.extents.size();
    const extent left = t.nonzeros();
    const double width = static_cast<double>(t.bits);
    const double operations = 1.0 + (t.by_row() ? width / 32.0 : 0.0);
    const bool masked =
        static_cast<double>(size - left) * (width + operation_worth_bits * operations) >
        static_cast<double>(size);
    return {t.extents, t.bits, masked ? left : size, masked};
}

/// Enters what a stored tensor leaves for the accounting: its own width, its non-zeros and the rows
/// that have any.
inline void note_remaining(micronet::compression& how, std::string_view label,
                           const stored_tensor& t, const packed_entry& entry) {
    if (!micronet::stays_at_32_bits(label) && t.bits != how.bits)
        how.widths.push_back({short_text(label), t.bits});
    if (!entry.masked) return;
    const extent columns = t.extents.columns();
    extent filled = 0;
    for (extent r = 0; r < t.extents.rows(); ++r) {
        bool any = false;
        for (extent i = r * columns; i < (r + 1) * columns; ++i) {
            const auto at = static_cast<std::size_t>(i);
            any = any || (t.quantized() ? t.codes[at] != 0 : !(t.values[at] == 0.0F));
        }
        filled += any ? 1 : 0;
    }
    how.sparse.push_back({short_text(label), entry.kept, filled});
}

/// What a stored model leaves for the accounting.
[[nodiscard]] inline micronet::compression remaining_of(const stored_model& model) {
    micronet::compression how;
    how.bits = model.how.bits;
    for (const auto& [label, t] : model.tensors)
        note_remaining(how, label, t, describe(t));
    return how;
}

namespace detail {

inline constexpr std::string_view packed_key = "tare.packed";
inline constexpr std::string_view packed_version = "2";
inline constexpr std::string_view config_prefix = "tare.config.";
inline constexpr std::string_view tensor_prefix = "tare.tensor.";

/// Every size of the model by name: writing and reading go through the one list.
template <class Config, class Visitor>
void visit_sizes(Config& c, Visitor&& field) {
    field("layers", c.layers);
    field("width", c.width);
    field("heads", c.heads);
    field("key_width", c.key_width);
    field("value_width", c.value_width);
    field("inner", c.inner);
    field("window", c.window);
    field("vocabulary", c.vocabulary);
    field("cutoffs", c.cutoffs);
    field("widths", c.widths);
    field("cache.capacity", c.cache.capacity);
    field("cache.trained", c.cache.trained);
    field("cache.theta", c.cache.theta);
    field("cache.lambda", c.cache.lambda);
    field("cache.shared", c.cache.shared);
}

/// A number in as few digits as read back to the same value.
template <class Number>
[[nodiscard]] std::string text_of(Number value) {
    std::array<char, 32> digits{};
    return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr};
}
[[nodiscard]] inline std::string text_of(bool value) {
    return value ? "true" : "false";
}
[[nodiscard]] inline std::string text_of(std::span<const extent> sizes) {
    std::string out;
    for (const extent size : sizes)
        out.append(out.empty() ? "" : ",").append(text_of(size));
    return out;
}
[[nodiscard]] inline std::string text_of(const size_list& sizes) {
    return text_of(sizes.span());
}

/// The words of a text between single separators; none of an empty text.
[[nodiscard]] inline std::vector<std::string_view> words_of(std::string_view text, char separator) {
    std::vector<std::string_view> out;
    if (text.empty()) return out;
    for (std::size_t end = text.find(separator); end != std::string_view::npos;
         end = text.find(separator)) {
        out.push_back(text.substr(0, end));
        text.remove_prefix(end + 1);
    }
    out.push_back(text);
    return out;
}

template <class Number>
void read_text(std::string_view text, Number& out) {
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
    require(code == std::errc{} && end == text.data() + text.size() && !text.empty(), '"', text,
            "\" where a number of ", 8 * sizeof(Number), " bits was expected");
}
inline void read_text(std::string_view text, bool& out) {
    require(text == "true" || text == "false", '"', text, "\" where true or false was expected");
    out = text == "true";
}
inline void read_text(std::string_view text, std::vector<extent>& out) {
    for (const std::string_view word : words_of(text, ','))
        read_text(word, out.emplace_back());
}
inline void read_text(std::string_view text, size_list& out) {
    std::vector<extent> sizes;
    read_text(text, sizes);
    out = size_list(std::span<const extent>(sizes));
}

[[nodiscard]] inline std::string text_of(const packed_entry& e) {
    return message(text_of(e.extents.extents()), e.bits == 32 ? " fp32 " : " linear_symmetric ",
                   e.bits, e.masked ? " bitmask " : " dense ", e.kept);
}
inline void read_text(std::string_view text, packed_entry& out) {
    const std::vector<std::string_view> words = words_of(text, ' ');
    require(words.size() == 5, '"', text,
            "\" where shape, format, bits, form and kept values were expected");
    std::vector<extent> extents;
    read_text(words[0], extents);
    out.extents = shape(std::span<const extent>(extents));
    read_text(words[2], out.bits);
    read_text(words[4], out.kept);
    require((out.bits >= 2 && out.bits <= 16) || out.bits == 32, out.bits,
            " bits; 2 to 16 and 32 are stored");
    require(words[1] == (out.bits == 32 ? "fp32" : "linear_symmetric"), "the format ", words[1],
            " in ", out.bits, " bits; there are fp32 in 32 and linear_symmetric in 2 to 16");
    require(words[3] == "dense" || words[3] == "bitmask", "the form ", words[3],
            " is unknown; there are dense and bitmask");
    out.masked = words[3] == "bitmask";
    constexpr extent most = extent{1} << 48;  // elements: their bits can still be counted
    require(out.extents.size() <= most, "a shape of ", out.extents, "; the most is ", most,
            " elements");
    require(out.kept >= 0 && out.kept <= out.extents.size() &&
                (out.masked || out.kept == out.extents.size()),
            out.kept, " values of shape ", out.extents);
}

/// Reads the strings of a description; an error says in which file and at which key.
class description {
  public:
    description(const std::string& path, const std::map<std::string, std::string>& metadata)
        : path_(&path), metadata_(&metadata) {}

    [[nodiscard]] const std::string& text(const std::string& key) const {
        const auto found = metadata_->find(key);
        if (found == metadata_->end())
            throw file_error(message(*path_, ": no \"", key,
                                     "\" in its metadata: not a packed model; make one with tare "
                                     "quantize"));
        return found->second;
    }
    template <class Value>
    void read(const std::string& key, Value& out) const {
        const std::string& value = text(key);
        try {
            read_text(value, out);
        } catch (const error& reason) {
            throw file_error(
                message(*path_, ": its description is wrong: ", key, ": ", reason.what()));
        }
    }

  private:
    const std::string* path_;
    const std::map<std::string, std::string>* metadata_;
};

}  // namespace detail

/// The header as metadata strings. **Throws** tare::error on the name of a point that holds a
/// space.
[[nodiscard]] inline std::map<std::string, std::string> write_header(const packed_header& header) {
    std::map<std::string, std::string> out;
    out.emplace(detail::packed_key, detail::packed_version);
    out.emplace("tare.bits", detail::text_of(header.bits));
    detail::visit_sizes(header.config, [&out](std::string_view name, const auto& value) {
        out.emplace(message(detail::config_prefix, name), detail::text_of(value));
    });
    for (const auto& [label, entry] : header.tensors)
        out.emplace(message(detail::tensor_prefix, label), detail::text_of(entry));
    std::string points;
    for (const std::string& label : header.points) {
        require(!label.empty() && label.find(' ') == std::string::npos, "write_header: the point '",
                label, "' cannot stand in a list of words");
        points.append(points.empty() ? "" : " ").append(label);
    }
    out.emplace("tare.points", std::move(points));
    return out;
}

/// True for the metadata of a packed file.
[[nodiscard]] inline bool is_packed(const std::map<std::string, std::string>& metadata) {
    return metadata.contains(std::string(detail::packed_key));
}

/// Reads a header. **Throws** tare::file_error naming path, key and what is wrong.
[[nodiscard]] inline packed_header read_header(const std::string& path,
                                               const std::map<std::string, std::string>& metadata) {
    const detail::description from(path, metadata);
    if (from.text(std::string(detail::packed_key)) != detail::packed_version)
        throw file_error(message(path, ": packed format version ",
                                 from.text(std::string(detail::packed_key)),
                                 "; this program reads ", detail::packed_version));
    packed_header out;
    from.read("tare.bits", out.bits);
    detail::visit_sizes(out.config, [&from](std::string_view name, auto& value) {
        from.read(message(detail::config_prefix, name), value);
    });
    try {
        require((out.bits >= 2 && out.bits <= 16) || out.bits == 32, "tare.bits: ", out.bits,
                " bits; 2 to 16 and 32 are stored");
        out.config.check();
    } catch (const error& reason) {
        throw file_error(message(path, ": its description is wrong: ", reason.what()));
    }
    for (const auto& [key, value] : metadata)
        if (key.starts_with(detail::tensor_prefix))
            from.read(key, out.tensors[key.substr(detail::tensor_prefix.size())]);
    for (const std::string_view label : detail::words_of(from.text("tare.points"), ' '))
        out.points.emplace_back(label);
    return out;
}

}  // namespace tare::io
