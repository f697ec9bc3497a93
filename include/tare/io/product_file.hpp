#pragma once
// SPDX-License-Identifier: MIT
// Product-quantized matrices in a safetensors file whose payload is their counted storage, bit for
// bit. For each matrix
//     NAME.codes       U8    ceil(log2 k) bits for each column, bucket by bucket, without gaps
//     NAME.codebooks   F16   (buckets k, block)
//     tare.product.NAME      rows, columns, buckets down, buckets across (metadata)
//     tare.codebooks.NAME    whose codebooks it reads, where it has none of its own (metadata)
// and tensors that are not quantized as F32 under their own names. Only what is padding in the last
// byte of the codes is not charged. Units: quantize/product.hpp.

#include <array>
#include <charconv>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <tare/core/tensor.hpp>
#include <tare/formats/convert.hpp>
#include <tare/io/safetensors.hpp>
#include <tare/lossless/bit_pack.hpp>
#include <tare/quantize/product_quantizer.hpp>

namespace tare::io {

/// What such a file holds.
struct product_file {
    std::map<std::string, product_matrix, std::less<>> products;
    std::map<std::string, tensor, std::less<>> floats;
    /// Whose codebooks a matrix shares, of those that do: name to name.
    std::map<std::string, std::string, std::less<>> shared{};

    /// Exact bits of codes, codebooks and floats; shared codebooks count once.
    [[nodiscard]] std::int64_t payload_bits() const {
        std::int64_t bits = 0;
        for (const auto& [name, one] : products) {
            const storage_cost cost = product_storage(one.grid, one.entries, 16);
            bits += shared.contains(name) ? cost.value_bits : cost.total_bits();
        }
        for (const auto& [name, one] : floats)
            bits += 32 * one.size();
        return bits;
    }
};

namespace detail {

inline constexpr std::string_view product_prefix = "tare.product.";
inline constexpr std::string_view owner_prefix = "tare.codebooks.";
inline constexpr std::string_view codes_suffix = ".codes";
inline constexpr std::string_view codebooks_suffix = ".codebooks";

/// Rows, columns and buckets both ways. Throws tare::file_error on another text.
[[nodiscard]] inline bucket_grid read_product_grid(const std::string& path, std::string_view name,
                                                   std::string_view text) {
    constexpr extent most = extent{1} << 31;  // products of two stay far from overflow
    std::array<extent, 4> numbers{};
    const char* at = text.data();
    const char* const end = at + text.size();
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        if (i > 0 && (at == end || *at++ != ' ')) at = end;
        const auto [stop, code] = std::from_chars(at, end, numbers[i]);
        if (code != std::errc{} || numbers[i] < 1 || numbers[i] > most)
            throw file_error(message(path, ": ", name, " is described as \"", text,
                                     "\"; expected rows, columns and buckets down and across"));
        at = stop;
    }
    const bucket_grid grid{numbers[0], numbers[1], 1, numbers[2], numbers[3]};
    if (at != end || grid.rows % grid.down != 0 || grid.columns % grid.across != 0)
        throw file_error(message(path, ": ", name, " is described as \"", text,
                                 "\"; buckets must divide rows and columns"));
    return grid;
}

/// `owner`: whose codebooks it reads.
[[nodiscard]] inline product_matrix read_product(const safetensors_archive& archive,
                                                 const std::string& name, const std::string& owner,
                                                 bucket_grid grid) {
    const std::string& path = archive.path;
    const tensor_ref& books = archive.at(owner + std::string(codebooks_suffix));
    const tensor_ref& codes = archive.at(name + std::string(codes_suffix));
    const auto wrong = [&](const auto&... parts) {
        throw file_error(message(path, ": ", name, parts...));
    };
    if (books.dtype != "F16" || books.extents.rank() != 2 || books.extents.size() == 0)
        wrong(".codebooks is ", books.extents, " of ", books.dtype, "; expected rows of F16");
    grid.block = books.extents[1];
    if (grid.width() % grid.block != 0 || books.extents[0] % grid.buckets() != 0)
        wrong(".codebooks is ", books.extents, ", which ", grid.buckets(), " buckets of ",
              grid.height(), " x ", grid.width(), " cannot use");
    product_matrix out{grid, books.extents[0] / grid.buckets(), {}, {}};
    const int width = product_code_bits(out.entries);
    const auto count = static_cast<std::size_t>(grid.size());
    // The stream's length before any memory for the codes: a description is not believed.
    if (codes.dtype != "U8" || width > max_code_bits ||
        codes.bytes.size() != packed_bytes(count, width))
        wrong(".codes has ", codes.bytes.size(), " bytes of ", codes.dtype, "; ", count,
              " codes of ", width, " bits need ", packed_bytes(count, width), " of U8");
    out.codes.resize(count);
    try {
        unpack_bits(codes.bytes, width, std::span<codebook_entry>(out.codes));
    } catch (const error& reason) {
        wrong(codes_suffix, ": ", reason.what());
    }
    for (const codebook_entry code : out.codes)
        if (static_cast<extent>(code) >= out.entries)
            wrong(".codes holds ", code, "; a codebook has ", out.entries, " entries");
    for (const std::uint16_t half : books.as<std::uint16_t>()) {
        const float v = saturated_fp16::decode(half);
        if (!is_finite(v)) wrong(".codebooks holds ", v, "; entries are finite");
        out.codebooks.push_back(v);
    }
    return out;
}

}  // namespace detail

/// Writes matrices and floats, atomically. **Rounding** entries to fp16, nearest even, saturating:
/// where that changes them, what is loaded decodes to other values.
/// **Throws** tare::error on a matrix without codes or codebooks of its size and on codebooks that
/// are said to be shared but differ, tare::file_error when the disk refuses.
inline void save_products(const std::string& path, const product_file& from) {
    std::vector<tensor_ref> tensors;
    std::map<std::string, std::string> metadata;
    // Their memory must last until the file is written.
    std::vector<std::vector<std::byte>> streams;
    std::vector<std::vector<std::uint16_t>> books;
    streams.reserve(from.products.size());
    books.reserve(from.products.size());
    for (const auto& [name, one] : from.products) {
        const bucket_grid& grid = one.grid;
        require(static_cast<extent>(one.codes.size()) == grid.size() && grid.size() > 0 &&
                    static_cast<extent>(one.codebooks.size()) ==
                        grid.buckets() * one.entries * grid.block,
                "save_products: ", name, " has ", one.codes.size(), " codes and ",
                one.codebooks.size(), " values of codebooks; ", grid.size(), " and ",
                grid.buckets() * one.entries * grid.block, " belong to it");
        const int width = product_code_bits(one.entries);
        auto& stream = streams.emplace_back(packed_bytes(one.codes.size(), width));
        pack_bits(std::span<const codebook_entry>(one.codes), width, std::span<std::byte>(stream));
        tensors.push_back({name + std::string(detail::codes_suffix), "U8",
                           shape{static_cast<extent>(stream.size())}, stream});
        metadata[std::string(detail::product_prefix) + name] =
            message(grid.rows, ' ', grid.columns, ' ', grid.down, ' ', grid.across);
        if (const auto owner = from.shared.find(name); owner != from.shared.end()) {
            const auto whose = from.products.find(owner->second);
            require(whose != from.products.end() && !from.shared.contains(owner->second) &&
                        whose->second.codebooks == one.codebooks,
                    "save_products: ", name, " is said to share the codebooks of ", owner->second,
                    ", which has others, or none of its own");
            metadata[std::string(detail::owner_prefix) + name] = owner->second;
            continue;
        }
        auto& book = books.emplace_back(one.codebooks.size());
        encode<saturated_fp16>(one.codebooks, book);
        tensors.push_back(tensor_ref::of<std::uint16_t>(
            name + std::string(detail::codebooks_suffix),
            shape{grid.buckets() * one.entries, grid.block}, book, "F16"));
    }
    for (const auto& [name, one] : from.floats)
        tensors.push_back(tensor_ref::of<float>(name, one.shape(), one.values()));
    save_safetensors(path, tensors, metadata);
}

/// Reads such a file and checks every length, code and entry against its description.
/// **Throws** tare::file_error naming path, matrix and what is wrong.
[[nodiscard]] inline product_file load_products(const std::string& path) {
    const safetensors_archive archive = load_safetensors(path);
    product_file out;
    std::size_t used = 0;
    for (const auto& [key, text] : archive.metadata) {
        if (!key.starts_with(detail::product_prefix)) continue;
        const std::string name = key.substr(detail::product_prefix.size());
        const bucket_grid grid = detail::read_product_grid(path, name, text);
        const auto owner = archive.metadata.find(std::string(detail::owner_prefix) + name);
        const bool shares = owner != archive.metadata.end();
        if (shares) out.shared.emplace(name, owner->second);
        out.products.emplace(
            name, detail::read_product(archive, name, shares ? owner->second : name, grid));
        used += shares ? 1 : 2;
    }
    for (const auto& [name, one] : archive.tensors) {
        if (one.dtype != "F32") continue;
        out.floats.emplace(name, tensor(one.extents, std::span<const float>(one.as<float>())));
        ++used;
    }
    if (used != archive.tensors.size())
        throw file_error(message(path, ": holds ", archive.tensors.size(),
                                 " tensors, its descriptions and floats are ", used));
    return out;
}

}  // namespace tare::io
