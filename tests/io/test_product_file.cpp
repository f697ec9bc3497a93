// SPDX-License-Identifier: MIT
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/io/product_file.hpp>
#include <tare/quantize/daq.hpp>

#include "io/scratch.hpp"

using tare::extent;
using tare::product_matrix;
using tare::io::product_file;
using tare::testing::raised;

namespace {

product_matrix made(extent rows, extent columns, extent block, extent entries, extent buckets) {
    std::vector<float> w(std::size_t(rows * columns));
    const tare::random_stream random(1, 0);
    for (std::size_t i = 0; i < w.size(); ++i)
        w[i] = random.normal(i);
    product_matrix out =
        tare::encode_product(tare::daq_grid(rows, columns, block, entries, buckets),
                             {w.data(), rows, columns}, {.entries = entries, .iterations = 2});
    tare::round_trip<tare::saturated_fp16>(out.codebooks, out.codebooks);
    return out;
}

product_file example() {
    product_file out;
    out.products.emplace("fc1", made(24, 16, 4, 5, 4));  // three bits, 96 codes
    out.products.emplace("fc2", made(7, 9, 3, 16, 1));   // four bits, 21 codes: half a byte over
    out.floats.emplace("fc1.bias", tare::tensor({3}, 0.5F));
    return out;
}

}  // namespace

TEST_CASE("matrices of codes come back from a file as large as its counted bits") {
    const tare::testing::scratch_folder folder;
    const std::string path = folder.file("model.safetensors");
    const product_file before = example();
    tare::io::save_products(path, before);
    const product_file after = tare::io::load_products(path);
    REQUIRE(after.products.size() == 2);
    for (const auto& [name, one] : before.products) {
        const product_matrix& other = after.products.at(name);
        CHECK(other.grid == one.grid);
        CHECK(other.entries == one.entries);
        CHECK(other.codes == one.codes);
        CHECK(other.codebooks == one.codebooks);
    }
    CHECK(after.floats.at("fc1.bias").values()[2] == 0.5F);
    const std::int64_t bits = 96 * 3 + 4 * 5 * 4 * 16 + 21 * 4 + 16 * 3 * 16 + 3 * 32;
    CHECK(before.payload_bits() == bits);
    std::size_t bytes = 0;
    for (const auto& [name, one] : tare::io::load_safetensors(path).tensors)
        bytes += one.bytes.size();
    CHECK(std::int64_t(bytes) == (bits + 4) / 8);  // half a byte of padding behind fc2's codes
}

TEST_CASE("files with other lengths, codes, entries or descriptions are refused by name") {
    const tare::testing::scratch_folder folder;
    const std::string path = folder.file("model.safetensors");
    // One matrix, changed by `change` before it is written.
    const auto refused = [&](const std::string& text, std::vector<std::uint8_t> codes,
                             std::vector<std::uint16_t> books, const tare::shape& extents) {
        const std::vector<tare::io::tensor_ref> tensors = {
            tare::io::tensor_ref::of<std::uint8_t>("w.codes", {extent(codes.size())}, codes),
            tare::io::tensor_ref::of<std::uint16_t>("w.codebooks", extents, books, "F16")};
        tare::io::save_safetensors(path, tensors, {{"tare.product.w", text}});
        return raised<tare::file_error>([&] { static_cast<void>(tare::io::load_products(path)); });
    };
    const std::vector<std::uint16_t> books(3 * 4, 0x3C00);
    const auto has = [](const std::string& message, const char* part) {
        CAPTURE(message);
        CHECK(message.find(part) != std::string::npos);
    };
    // 2 x 8 in blocks of 4: four codes of two bits.
    CHECK(refused("2 8 1 1", {0b10010010}, books, {3, 4}).empty());
    has(refused("2 8 1 1", {0b11010010}, books, {3, 4}), "w.codes holds 3");
    has(refused("2 8 1 1", {1, 0}, books, {3, 4}), "2 bytes");
    has(refused("4000000 8000 1 1", {1}, books, {3, 4}), "1 bytes");
    has(refused("2 8 1", {0}, books, {3, 4}), "\"2 8 1\"");
    has(refused("2 8 1 1 1", {0}, books, {3, 4}), "\"2 8 1 1 1\"");
    has(refused("2 8 0 1", {0}, books, {3, 4}), "\"2 8 0 1\"");
    has(refused("2 8 1 3", {0}, books, {3, 4}), "must divide");
    has(refused("2 8 1 2", {0}, books, {3, 4}), "cannot use");
    has(refused("2 9 1 1", {0}, books, {3, 4}), "cannot use");
    has(refused("2 8 1 1", {0}, books, {12}), "rows of F16");
    auto infinite = books;
    infinite[5] = 0x7C00;
    has(refused("2 8 1 1", {0}, infinite, {3, 4}), "w.codebooks holds inf");
    product_file broken = example();
    broken.products.at("fc2").codes.pop_back();
    CHECK_THROWS_AS(tare::io::save_products(path, broken), tare::error);
}
