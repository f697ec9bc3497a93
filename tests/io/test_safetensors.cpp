// SPDX-License-Identifier: MIT
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/io/safetensors.hpp>

#include "io/scratch.hpp"

using tare::io::load_safetensors;
using tare::io::save_safetensors;
using tare::io::tensor_ref;
using tare::testing::raised;
using tare::testing::scratch_folder;

namespace {

/// A file image from a header text and payload bytes.
std::string image(const std::string& header, const std::string& payload) {
    std::string out;
    for (std::size_t i = 0; i < 8; ++i)
        out += static_cast<char>(header.size() >> (8 * i) & 0xFF);
    return out + header + payload;
}

/// What loading the image says; empty when it loads.
std::string complaint(const std::string& bytes) {
    const scratch_folder folder;
    const std::string path = folder.file("x.safetensors");
    tare::testing::dump(path, bytes);
    return raised<tare::file_error>([&] { (void)load_safetensors(path); });
}

const std::vector<float> weights{1.5F, -2.0F, 0.25F, 3.0F, 5.0F, -0.0F};
const std::vector<std::uint16_t> halves{0x3C00, 0x8000, 0x7E00};
const std::vector<std::uint8_t> codes{1, 2, 3, 4, 5};
const std::vector<std::int64_t> steps{42};

std::vector<tensor_ref> small_model() {
    return {tensor_ref::of<std::uint8_t>("codes", {5}, codes),
            tensor_ref::of<float>("layer.weight", {2, 3}, weights),
            tensor_ref::of<std::uint16_t>("half", {3}, halves, "BF16"),
            tensor_ref::of<std::int64_t>("step", {}, steps),
            tensor_ref::of<float>("empty", {0, 4}, {})};
}

}  // namespace

TEST_CASE("what is saved comes back, in place and aligned") {
    const scratch_folder folder;
    const std::string path = folder.file("model.safetensors");
    save_safetensors(path, small_model(), {{"rules", "micronet"}, {"seed", "1"}});
    const auto back = load_safetensors(path);
    CHECK(back.tensors.size() == 5);
    CHECK(back.metadata ==
          std::map<std::string, std::string>{{"rules", "micronet"}, {"seed", "1"}});
    CHECK(back.at("layer.weight").as<float>() == weights);
    CHECK(back.view<float>("layer.weight", {2, 3})[3] == 3.0F);
    CHECK(back.at("half").dtype == "BF16");
    CHECK(back.at("half").view<std::uint16_t>()[2] == 0x7E00);
    CHECK(back.at("codes").as<std::uint8_t>() == codes);
    CHECK(back.view<std::int64_t>("step", {})[0] == 42);
    CHECK(back.at("empty").extents == tare::shape{0, 4});
    // The bytes of the payload start on a multiple of 8 in the file, as other readers like it.
    CHECK((tare::io::read_bytes(path).size() - (8 + 24 + 6 + 5)) % 8 == 0);
}

TEST_CASE("all fifteen element types round-trip") {
    const std::array<std::uint64_t, 2> raw{0x0123456789ABCDEFU, 0x1U};
    std::vector<tensor_ref> tensors;
    for (const std::string dtype : {"F32", "F64", "F16", "BF16", "I8", "U8", "I16", "I32", "I64",
                                    "U16", "U32", "U64", "BOOL", "F8_E4M3", "F8_E5M2"}) {
        const std::size_t width = tare::io::safetensors_width(dtype);
        REQUIRE(width > 0);
        tensors.push_back(
            {dtype, dtype, {static_cast<tare::extent>(16 / width)}, std::as_bytes(std::span(raw))});
    }
    const scratch_folder folder;
    save_safetensors(folder.file("t"), tensors);
    const auto back = load_safetensors(folder.file("t"));
    for (const tensor_ref& tensor : tensors) {
        CHECK(back.at(tensor.name).dtype == tensor.dtype);
        CHECK(std::equal(tensor.bytes.begin(), tensor.bytes.end(),
                         back.at(tensor.name).bytes.begin()));
    }
    CHECK(tare::io::safetensors_width("F8") == 0);
}

TEST_CASE("a missing tensor, a wrong shape and a wrong type are named") {
    const scratch_folder folder;
    const std::string path = folder.file("m");
    save_safetensors(path, small_model());
    const auto back = load_safetensors(path);
    CHECK(raised<tare::file_error>([&] { (void)back.at("bias"); }) ==
          path + ": no tensor named \"bias\" among its 5 tensors");
    CHECK(raised<tare::file_error>([&] {
              (void)back.view<float>("layer.weight", {3, 2});
          }) == path + ": tensor \"layer.weight\" has shape (2,3), expected (3,2)");
    CHECK(raised<tare::file_error>([&] {
              (void)back.view<double>("layer.weight", {2, 3});
          }).find("holds F32, expected F64") != std::string::npos);
    CHECK_THROWS_AS((void)back.at("half").as<float>(), tare::error);
}

TEST_CASE("a file of another writer loads, aligned or not") {
    const std::string bytes = image(R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[3,7]},)"
                                    R"("a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}  )",
                                    std::string("\x01\x02\x03\x00\x00\x80\x3F", 7));
    const scratch_folder folder;
    tare::testing::dump(folder.file("f"), bytes);
    const auto back = load_safetensors(folder.file("f"));
    CHECK(back.at("b").as<float>() == std::vector<float>{1.0F});
    CHECK(raised<tare::error>([&] { (void)back.at("b").view<float>(); }).find("aligned") !=
          std::string::npos);
    CHECK(complaint(image("{}", "")).empty());
}

TEST_CASE("each kind of malformed header is refused with its place") {
    const std::string f4 = R"("dtype":"F32","shape":[1],)";
    const auto offsets = [&](const std::string& at) {
        return "{" + f4 + R"("data_offsets":)" + at + "}";
    };
    struct {
        std::string header, payload, expected;
    } const cases[] = {
        {R"({"a":)" + offsets("[0,4]") + "}", "12345", "1 trailing bytes"},
        {R"({"a":)" + offsets("[0,4]") + "}", "123", "do not lie within the 3 bytes"},
        {R"({"a":)" + offsets("[4,0]") + "}", "1234", "do not lie within"},
        {R"({"a":)" + offsets("[0,4]") + R"(,"a":)" + offsets("[4,8]") + "}", "12345678",
         "byte 62: duplicate key \"a\""},
        {R"({"a":)" + offsets("[0,4]") + R"(,"b":)" + offsets("[2,6]") + "}", "123456",
         "inside its predecessor"},
        {R"({"a":)" + offsets("[0,4]") + R"(,"b":)" + offsets("[5,9]") + "}", "123456789",
         "leaving a hole after 4"},
        {R"({"a":)" + offsets("[0,8]") + "}", "12345678", "needs 1 elements of 4 bytes"},
        {R"({"a":)" + offsets("[0]") + "}", "1234", "an array of 1 numbers"},
        {R"({"a":)" + offsets("[0,4.0]") + "}", "1234", "the number 4.0"},
        {R"({"a":)" + offsets("[-0,4]") + "}", "1234", "the number 0 is not allowed"},
        {R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", "1234", "the dtype \"F31\""},
        {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234", "the number -1"},
        {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}})", "1234", "number 1"},
        {R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234",
         "a second dtype"},
        {R"({"a":{"shape":[1],"data_offsets":[0,4]}})", "1234", "lacks dtype"},
        {R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", "1234", "lacks shape"},
        {R"({"a":{"dtype":"F32","shape":[1]}})", "1234", "lacks data_offsets"},
        {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", "1234",
         "more elements than"},
        {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1],"data_offsets":[0,4]}})", "1234",
         "7 extents"},
        {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", "1234", "an array"},
        {R"({"a":[]})", "", "an array"},
        {R"({"a":null})", "", "null"},
        {R"({"__metadata__":{"a":1}})", "", "strings only"},
        {R"({"__metadata__":{"a":"1","a":"2"}})", "", "__metadata__: duplicate key \"a\""},
        {R"({"__metadata__":{"tare.crc32":"00000000"}})", "1", "trailing bytes"},
        {R"({"__metadata__":{"tare.crc32":"1"}})", "", "damaged"},
        {R"({"a")", "", "not valid JSON"},
        {R"({} x)", "", "not valid JSON"},
        {std::string("{}\0 ", 4), "", "byte 10: the header holds a zero byte"},
        {"[]", "", "does not start with '{'"},
        {"", "", "does not start with '{'"},
        {"{\"\xFF\":1}", "", "not valid JSON"},
        {std::string(100'000, '{'), "", "not valid JSON"},
    };
    for (const auto& c : cases) {
        const std::string said = complaint(image(c.header, c.payload));
        CAPTURE(c.header.substr(0, 200));
        CAPTURE(said);
        CHECK(said.find(c.expected) != std::string::npos);
    }
}

TEST_CASE("a header length beyond the file is refused before anything is allocated") {
    CHECK(complaint(std::string(8, '\xFF')).find("header length 18446744073709551615") !=
          std::string::npos);
    CHECK(complaint("short").find("byte 5: the file ends here") != std::string::npos);
    CHECK(complaint("").find("byte 0: the file ends here") != std::string::npos);
}

TEST_CASE("every truncation and every flipped bit is an error or changes nothing") {
    const scratch_folder folder;
    const std::string path = folder.file("m");
    save_safetensors(path, small_model(), {{"k", "v"}});
    const std::string good = tare::io::read_text(path);
    for (std::size_t n = 0; n < good.size(); ++n) {
        CAPTURE(n);
        CHECK_FALSE(complaint(good.substr(0, n)).empty());
    }
    const auto reference = load_safetensors(path);
    int harmless = 0;
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
        std::string bad = good;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
        tare::testing::dump(path, bad);
        try {
            const auto loaded = load_safetensors(path);
            ++harmless;
            CAPTURE(bit);
            REQUIRE(loaded.tensors.size() == reference.tensors.size());
            for (const auto& [name, tensor] : reference.tensors) {
                const tensor_ref& other = loaded.at(name);
                CHECK(other.dtype == tensor.dtype);
                CHECK(other.extents == tensor.extents);
                CHECK(std::equal(tensor.bytes.begin(), tensor.bytes.end(), other.bytes.begin(),
                                 other.bytes.end()));
            }
        } catch (const tare::file_error&) {
        }
    }
    // What may pass: another name for the checksum key (10 characters of 8 bits, less the flips
    // that are no longer JSON or UTF-8), and white space for white space.
    CHECK(harmless <= 80 + 7 * 8);
}

TEST_CASE("the writer refuses what does not fit") {
    const scratch_folder folder;
    const auto save = [&](std::vector<tensor_ref> tensors,
                          std::map<std::string, std::string> metadata = {}) {
        return raised<tare::error>([&] { save_safetensors(folder.file("m"), tensors, metadata); });
    };
    const auto one = tensor_ref::of<float>("a", {6}, weights);
    CHECK(save({one, one}).find("two tensors are named \"a\"") != std::string::npos);
    auto wrong = one;
    wrong.extents = {5};
    CHECK(save({wrong}).find("came with 24 bytes") != std::string::npos);
    wrong = one;
    wrong.dtype = "F24";
    CHECK(save({wrong}).find("\"F24\"") != std::string::npos);
    wrong = one;
    wrong.name = "__metadata__";
    CHECK_FALSE(save({wrong}).empty());
    wrong.name = "\xFF";
    CHECK(save({wrong}).find("not UTF-8") != std::string::npos);
    CHECK(save({one}, {{"\xFF", ""}}).find("not UTF-8") != std::string::npos);
    CHECK_THROWS_AS((void)tensor_ref::of<float>("a", {7}, weights), tare::error);
    CHECK(folder.files().empty());
}
