// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <zlib.h>

#include <tare/io/npz.hpp>

#include "io/scratch.hpp"

using tare::io::append_little;
using tare::io::load_npz;
using tare::io::npy_array;
using tare::io::npz_archive;
using tare::io::save_npz;
using tare::testing::raised;
using tare::testing::scratch_folder;

namespace {

npz_archive sample() {
    const std::vector<float> f{1.5F, -2.0F, 0.0F, 4.0F, 5.0F, 6.0F};
    const std::vector<std::int64_t> i{-7};
    const std::vector<std::uint8_t> u{0, 1, 255};
    npz_archive out;
    out["weights"] = npy_array::of<float>({2, 3}, f);
    out["step"] = npy_array::of<std::int64_t>({}, i);
    out["bytes"] = npy_array::of<std::uint8_t>({3}, u);
    out["none"] = npy_array::of<double>({0, 2}, {});
    return out;
}

bool same(const npz_archive& a, const npz_archive& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
        return x.first == y.first && x.second.dtype == y.second.dtype &&
               x.second.extents == y.second.extents && x.second.bytes == y.second.bytes;
    });
}

npz_archive parse(const std::string& bytes) {
    return tare::io::parse_npz(std::as_bytes(std::span(bytes)), "x.npz");
}

std::string complaint(const std::string& bytes) {
    return raised<tare::file_error>([&] { (void)parse(bytes); });
}

/// Builds archives that our own writer never would: compressed, zip64, late sizes, lies.
struct forge {
    enum kind { stored, deflated };
    bool zip64 = false;  ///< all sizes and offsets in zip64 fields
    bool late = false;   ///< sizes behind the content (flag bit 3)
    std::uint64_t method = 99;
    std::uint64_t claimed_size = 0;  ///< 0: the truth

    std::string file;
    std::string directory;
    std::uint64_t entries = 0;

    void add(const std::string& name, const std::string& content, kind how) {
        std::string packed = content;
        if (how == deflated) {
            ::z_stream z{};
            REQUIRE(::deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
            std::string in = content;
            packed.resize(::deflateBound(&z, in.size()));
            z.next_in = reinterpret_cast<::Bytef*>(in.data());
            z.avail_in = static_cast<::uInt>(in.size());
            z.next_out = reinterpret_cast<::Bytef*>(packed.data());
            z.avail_out = static_cast<::uInt>(packed.size());
            REQUIRE(::deflate(&z, Z_FINISH) == Z_STREAM_END);
            packed.resize(z.total_out);
            ::deflateEnd(&z);
        }
        const std::uint64_t crc = ::crc32(0, reinterpret_cast<const ::Bytef*>(content.data()),
                                          static_cast<::uInt>(content.size()));
        const std::uint64_t size = claimed_size != 0 ? claimed_size : content.size();
        const std::uint64_t code = method != 99 ? method : how == deflated ? 8 : 0;
        const std::uint64_t escape = 0xFFFFFFFFU;
        const auto common = [&](std::string& out, bool zeros, std::size_t extra) {
            append_little(out, 45, 2);
            append_little(out, late ? 8 : 0, 2);
            append_little(out, code, 2);
            append_little(out, 0, 4);
            append_little(out, zeros ? 0 : crc, 4);
            append_little(out, zip64 ? escape : zeros ? 0 : packed.size(), 4);
            append_little(out, zip64 ? escape : zeros ? 0 : size, 4);
            append_little(out, name.size(), 2);
            append_little(out, extra, 2);
        };
        const std::uint64_t at = file.size();
        append_little(file, 0x04034B50, 4);
        common(file, late, zip64 ? 20 : 0);
        file += name;
        if (zip64) {
            append_little(append_little(file, 1, 2), 16, 2);
            append_little(append_little(file, late ? 0 : size, 8), late ? 0 : packed.size(), 8);
        }
        file += packed;
        if (late) {
            append_little(append_little(file, 0x08074B50, 4), crc, 4);
            append_little(append_little(file, packed.size(), 4), size, 4);
        }
        append_little(append_little(directory, 0x02014B50, 4), 45, 2);
        common(directory, false, zip64 ? 4 + 32 : 0);
        append_little(append_little(directory, 0, 2), 0, 8);
        append_little(directory, zip64 ? escape : at, 4);
        directory += name;
        if (zip64) {  // a field of someone else first, then the 64-bit one
            append_little(append_little(append_little(directory, 0x9999, 2), 4, 2), 0, 4);
            append_little(append_little(directory, 1, 2), 24, 2);
            append_little(append_little(directory, size, 8), packed.size(), 8);
            append_little(directory, at, 8);
        }
        ++entries;
    }

    std::string finish(const std::string& comment = {}) const {
        std::string out = file + directory;
        const std::uint64_t at = file.size();
        if (zip64) {
            const std::uint64_t record = out.size();
            append_little(append_little(out, 0x06064B50, 4), 44, 8);
            append_little(append_little(append_little(out, 45, 2), 45, 2), 0, 8);
            append_little(append_little(out, entries, 8), entries, 8);
            append_little(append_little(out, directory.size(), 8), at, 8);
            append_little(append_little(out, 0x07064B50, 4), 0, 4);
            append_little(append_little(out, record, 8), 1, 4);
        }
        append_little(append_little(out, 0x06054B50, 4), 0, 4);
        const std::uint64_t count = zip64 ? 0xFFFF : entries;
        append_little(append_little(out, count, 2), count, 2);
        append_little(out, zip64 ? 0xFFFFFFFFU : directory.size(), 4);
        append_little(out, zip64 ? 0xFFFFFFFFU : at, 4);
        append_little(out, comment.size(), 2);
        return out + comment;
    }
};

std::string image_of(const npy_array& array) {
    const auto bytes = tare::io::format_npy(array);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A .npy image of version 1.0 with any header text.
std::string image(const std::string& header, const std::string& payload) {
    std::string out("\x93NUMPY\x01\0", 8);
    append_little(out, header.size(), 2);
    return out + header + payload;
}

std::string archive_of(const std::string& npy) {
    forge f;
    f.add("a.npy", npy, forge::stored);
    return f.finish();
}

}  // namespace

TEST_CASE("what is saved comes back, and the same arrays give the same bytes") {
    const scratch_folder folder;
    save_npz(folder.file("a.npz"), sample());
    save_npz(folder.file("b.npz"), sample());
    const npz_archive back = load_npz(folder.file("a.npz"));
    CHECK(same(back, sample()));
    CHECK(back.at("weights").as<float>()[1] == -2.0F);
    CHECK(back.at("step").as<std::int64_t>() == std::vector<std::int64_t>{-7});
    CHECK(tare::io::read_text(folder.file("a.npz")) == tare::io::read_text(folder.file("b.npz")));
    save_npz(folder.file("e.npz"), {});
    CHECK(load_npz(folder.file("e.npz")).empty());
    // NumPy aligns the elements of a member image to 64 bytes; so does format_npy.
    CHECK((image_of(sample().at("weights")).size() - 24) % 64 == 0);
    CHECK_THROWS_AS((void)sample().at("step").as<float>(), tare::error);
}

TEST_CASE("stored, deflated, zip64, late sizes and comments are read alike") {
    for (const bool zip64 : {false, true})
        for (const bool late : {false, true})
            for (const auto how : {forge::stored, forge::deflated}) {
                forge f;
                f.zip64 = zip64;
                f.late = late;
                for (const auto& [name, array] : sample())
                    f.add(name + ".npy", image_of(array), how);
                CHECK(same(parse(f.finish()), sample()));
                CHECK(same(parse(f.finish("a comment PK\x05\x06")), sample()));
            }
}

TEST_CASE("lies in the structure are refused") {
    const std::string npy = image_of(sample().at("weights"));
    forge twice;
    twice.add("a.npy", npy, forge::stored);
    twice.add("a.npy", npy, forge::stored);
    CHECK(complaint(twice.finish()).find("two members are named a.npy") != std::string::npos);
    forge ending;
    ending.add("a.npy", npy, forge::stored);
    ending.add("a", npy, forge::stored);
    CHECK(complaint(ending.finish()).find("but for the ending") != std::string::npos);
    forge bomb;
    bomb.claimed_size = std::uint64_t{1} << 31;
    bomb.add("a.npy", npy, forge::deflated);
    CHECK(complaint(bomb.finish()).find("claims 2147483648 bytes from") != std::string::npos);
    forge huge;
    huge.zip64 = true;
    huge.claimed_size = std::uint64_t{1} << 62;
    huge.add("a.npy", npy, forge::stored);
    CHECK(complaint(huge.finish()).find("its two sizes differ") != std::string::npos);
    for (const std::uint64_t lie : {npy.size() - 1, npy.size() + 1}) {
        forge size;
        size.claimed_size = lie;
        size.add("a.npy", npy, forge::deflated);
        CHECK(complaint(size.finish()).find("damaged deflate data") != std::string::npos);
    }
    forge method;
    method.method = 12;
    method.add("a.npy", npy, forge::stored);
    CHECK(complaint(method.finish()).find("compression method 12") != std::string::npos);
    forge shared;
    shared.add("a.npy", npy, forge::stored);
    shared.add("b.npy", npy, forge::stored);
    forge overlap = shared;  // the second entry points at the first member, under its name
    const std::string entry = shared.directory.substr(0, shared.directory.size() / 2);
    std::string other = entry;
    other[46] = 'b';
    overlap.file[30] = 'a';
    overlap.directory = entry + other;
    CHECK(complaint(overlap.finish()).find("disagrees") != std::string::npos);
    CHECK(complaint("").find("not a zip archive") != std::string::npos);
    CHECK(complaint(std::string(70'000, 'x')).find("no end record") != std::string::npos);
    CHECK(complaint(shared.finish() + "x").find("no end record") != std::string::npos);
    CHECK(complaint("x" + shared.finish()).find("but the end record stands at") !=
          std::string::npos);
}

TEST_CASE("lies in an array header are refused") {
    const std::string shape = "'shape': (1,), ";
    const std::string f4 = "{'descr': '<f4', 'fortran_order': False, ";
    struct {
        std::string header, payload, expected;
    } const cases[] = {
        {f4 + "'shape': (2,)}", "1234", "needs 2 elements, 4 bytes are there"},
        {f4 + "'shape': (1,)}", "12345", "5 bytes are there"},
        {f4 + "'shape': (-1,)}", "1234", "expected an extent"},
        {f4 + "'shape': (1 1)}", "1234", "expected ')'"},
        {f4 + "'shape': (99999999999999999999,)}", "1234", "an extent above 2^56"},
        {f4 + "'shape': (4294967296,4294967296)}", "1234", "more elements than"},
        {f4 + "'shape': (1,1,1,1,1,1,1)}", "1234", "7 extents"},
        {f4 + "'shape': (1,), 'shape': (1,)}", "1234", "unexpected or repeated key 'shape'"},
        {f4 + "'x': (1,)}", "1234", "unexpected or repeated key 'x'"},
        {f4 + "}", "1234", "expected the keys"},
        {f4 + "'shape': (1,)} x", "1234", "text behind the dict"},
        {f4 + "'shape': (1,)", "1234", "expected '}'"},
        {"{'descr': '<f4', 'fortran_order': True, " + shape + "}", "1234", "column-major"},
        {"{'descr': '<f4', 'fortran_order': 1, " + shape + "}", "1234", "not True or False"},
        {"{'descr': '>f4', 'fortran_order': False, " + shape + "}", "1234", "type >f4 is not"},
        {"{'descr': '|O', 'fortran_order': False, " + shape + "}", "1234", "type |O is not"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False}", "1234", "expected a quoted string"},
        {"{'descr': '<f4", "", "expected a quoted string"},
        {"", "", "expected '{'"},
    };
    for (const auto& c : cases) {
        const std::string said = complaint(archive_of(image(c.header, c.payload)));
        CAPTURE(c.header);
        CAPTURE(said);
        CHECK(said.find(c.expected) != std::string::npos);
    }
    std::string npy = image_of(sample().at("weights"));
    CHECK(complaint(archive_of(npy.substr(0, 9))).find("no NUMPY magic") != std::string::npos);
    npy[6] = 4;
    CHECK(complaint(archive_of(npy)).find(".npy version 4.0") != std::string::npos);
    CHECK(complaint(archive_of(std::string("\x93NUMPY\x02\0\0\0", 10))).find("truncated") !=
          std::string::npos);
}

TEST_CASE("every truncation is an error and every flipped bit is one or changes nothing") {
    const scratch_folder folder;
    save_npz(folder.file("m"), sample());
    forge packed;
    packed.zip64 = true;
    for (const auto& [name, array] : sample())
        packed.add(name + ".npy", image_of(array), forge::deflated);
    for (const std::string& good : {tare::io::read_text(folder.file("m")), packed.finish()}) {
        for (std::size_t n = 0; n < good.size(); ++n) {
            CAPTURE(n);
            CHECK_FALSE(complaint(good.substr(0, n)).empty());
        }
        std::size_t unnoticed = 0;
        std::string bad = good;
        for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
            bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
            try {
                const npz_archive read = parse(bad);
                ++unnoticed;
                CAPTURE(bit);
                CHECK(same(read, sample()));
            } catch (const tare::file_error&) {
            }
            bad[bit / 8] = good[bit / 8];
        }
        // Versions, dates, attributes and unknown fields say nothing about the content: per member
        // less than 40 bytes in both headers together, 20 in the end records, and a few padding
        // bits at the end of deflated data.
        CHECK(unnoticed < 8 * (4 * 40 + 20) + 4 * 7);
    }
}

TEST_CASE("arrays that do not fit are not written") {
    const scratch_folder folder;
    const auto save = [&](const npy_array& array) {
        return raised<tare::error>([&] { save_npz(folder.file("x.npz"), {{"a", array}}); });
    };
    CHECK(save({"<f4", {2}, std::vector<std::byte>(4)}).find("came with 4 bytes") !=
          std::string::npos);
    CHECK(save({"<c8", {1}, std::vector<std::byte>(8)}).find("unknown element type") !=
          std::string::npos);
    CHECK_THROWS_AS((void)npy_array::of<std::uint8_t>({3}, {}), tare::error);
    CHECK(folder.files().empty());
}
