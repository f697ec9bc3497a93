#pragma once
// SPDX-License-Identifier: MIT
// The description of a packed model file: sizes of the model, and for each parameter its shape,
// width and form, as JSON strings in the metadata of a safetensors file. Nothing in it is a
// parameter: the accounting charges the payload alone.

#include <concepts>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

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

/// How a tensor is stored: behind a mask exactly where that takes fewer bits.
[[nodiscard]] inline packed_entry describe(const stored_tensor& t) {
    const extent size = t.extents.size();
    const extent left = t.nonzeros();
    const bool masked = left * t.bits + size < size * t.bits;
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
inline constexpr std::string_view packed_version = "1";

inline nlohmann::json sizes_of(std::span<const extent> sizes) {
    return std::vector<extent>(sizes.begin(), sizes.end());
}

inline nlohmann::json config_to_json(const transformer_xl_config& c) {
    return {{"layers", c.layers},
            {"width", c.width},
            {"heads", c.heads},
            {"key_width", c.key_width},
            {"value_width", c.value_width},
            {"inner", c.inner},
            {"window", c.window},
            {"vocabulary", c.vocabulary},
            {"cutoffs", sizes_of(c.cutoffs.span())},
            {"widths", sizes_of(c.widths.span())},
            {"cache",
             {{"capacity", c.cache.capacity},
              {"trained", c.cache.trained},
              {"theta", c.cache.theta},
              {"lambda", c.cache.lambda},
              {"shared", c.cache.shared}}}};
}

/// An integer of a description. A JSON number with a fraction or an exponent is none: the library
/// would convert it, which is undefined where it does not fit.
template <std::integral Integer>
[[nodiscard]] Integer integer_from(const nlohmann::json& number) {
    require(
        number.is_number_integer() &&
            (!number.is_number_unsigned() || std::in_range<Integer>(number.get<std::uint64_t>())) &&
            (number.is_number_unsigned() || std::in_range<Integer>(number.get<std::int64_t>())),
        "an integer of ", 8 * sizeof(Integer), " bits was expected, not ", number.dump());
    return number.get<Integer>();
}
inline std::vector<extent> integers_from(const nlohmann::json& list) {
    std::vector<extent> out;
    for (const nlohmann::json& number : list)
        out.push_back(integer_from<extent>(number));
    return out;
}
inline size_list sizes_from(const nlohmann::json& list) {
    return size_list(std::span<const extent>(integers_from(list)));
}

inline transformer_xl_config config_from_json(const nlohmann::json& j) {
    transformer_xl_config c;
    c.layers = integer_from<decltype(c.layers)>(j.at("layers"));
    c.width = integer_from<decltype(c.width)>(j.at("width"));
    c.heads = integer_from<decltype(c.heads)>(j.at("heads"));
    c.key_width = integer_from<decltype(c.key_width)>(j.at("key_width"));
    c.value_width = integer_from<decltype(c.value_width)>(j.at("value_width"));
    c.inner = integer_from<decltype(c.inner)>(j.at("inner"));
    c.window = integer_from<decltype(c.window)>(j.at("window"));
    c.vocabulary = integer_from<decltype(c.vocabulary)>(j.at("vocabulary"));
    c.cutoffs = sizes_from(j.at("cutoffs"));
    c.widths = sizes_from(j.at("widths"));
    const nlohmann::json& cache = j.at("cache");
    c.cache.capacity = integer_from<decltype(c.cache.capacity)>(cache.at("capacity"));
    cache.at("trained").get_to(c.cache.trained);
    cache.at("theta").get_to(c.cache.theta);
    cache.at("lambda").get_to(c.cache.lambda);
    cache.at("shared").get_to(c.cache.shared);
    c.check();
    return c;
}

inline void check_entry(const std::string& label, const packed_entry& e) {
    require((e.bits >= 2 && e.bits <= 16) || e.bits == 32, label, ": ", e.bits,
            " bits; 2 to 16 and 32 are stored");
    constexpr extent most = extent{1} << 48;  // elements: their bits can still be counted
    require(e.extents.size() <= most, label, ": a shape of ", e.extents, "; the most is ", most,
            " elements");
    require(e.kept >= 0 && e.kept <= e.extents.size() && (e.masked || e.kept == e.extents.size()),
            label, ": ", e.kept, " values of shape ", e.extents);
}

}  // namespace detail

/// The header as metadata strings.
[[nodiscard]] inline std::map<std::string, std::string> write_header(const packed_header& header) {
    nlohmann::json tensors = nlohmann::json::object();
    for (const auto& [label, e] : header.tensors)
        tensors[label] = {{"shape", detail::sizes_of(e.extents.extents())},
                          {"format", e.bits == 32 ? "fp32" : "linear_symmetric"},
                          {"bits", e.bits},
                          {"kept", e.kept},
                          {"form", e.masked ? "bitmask" : "dense"}};
    return {{std::string(detail::packed_key), std::string(detail::packed_version)},
            {"tare.config", detail::config_to_json(header.config).dump()},
            {"tare.bits", std::to_string(header.bits)},
            {"tare.tensors", tensors.dump()},
            {"tare.points", nlohmann::json(header.points).dump()}};
}

/// True for the metadata of a packed file.
[[nodiscard]] inline bool is_packed(const std::map<std::string, std::string>& metadata) {
    return metadata.contains(std::string(detail::packed_key));
}

/// Reads a header. **Throws** tare::file_error naming path and what is wrong.
[[nodiscard]] inline packed_header read_header(const std::string& path,
                                               const std::map<std::string, std::string>& metadata) {
    const auto text = [&](std::string_view key) -> const std::string& {
        const auto found = metadata.find(std::string(key));
        if (found == metadata.end())
            throw file_error(message(path, ": no \"", key,
                                     "\" in its metadata: not a packed model; make one with tare "
                                     "quantize"));
        return found->second;
    };
    if (text(detail::packed_key) != detail::packed_version)
        throw file_error(message(path, ": packed format version ", text(detail::packed_key),
                                 "; this program reads ", detail::packed_version));
    try {
        packed_header out;
        out.config = detail::config_from_json(nlohmann::json::parse(text("tare.config")));
        out.bits = detail::integer_from<int>(nlohmann::json::parse(text("tare.bits")));
        require((out.bits >= 2 && out.bits <= 16) || out.bits == 32, out.bits,
                " bits; 2 to 16 and 32 are stored");
        const nlohmann::json tensors = nlohmann::json::parse(text("tare.tensors"));
        for (const auto& [label, j] : tensors.items()) {
            packed_entry e;
            e.extents = shape(std::span<const extent>(detail::integers_from(j.at("shape"))));
            e.bits = detail::integer_from<int>(j.at("bits"));
            e.kept = detail::integer_from<extent>(j.at("kept"));
            const std::string form = j.at("form").get<std::string>();
            require(form == "dense" || form == "bitmask", label, ": the form ", form,
                    " is unknown; there are dense and bitmask");
            e.masked = form == "bitmask";
            detail::check_entry(label, e);
            out.tensors.emplace(label, e);
        }
        out.points = nlohmann::json::parse(text("tare.points")).get<std::vector<std::string>>();
        return out;
    } catch (const nlohmann::json::exception& reason) {
        throw file_error(message(path, ": its description is damaged: ", reason.what()));
    } catch (const file_error&) {
        throw;
    } catch (const error& reason) {
        throw file_error(message(path, ": its description is wrong: ", reason.what()));
    }
}

}  // namespace tare::io
