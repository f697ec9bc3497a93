// Formats whose codes are not small floats: posit8, NF4, E8M0, ternary, binary.

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <tare/formats/binary.hpp>
#include <tare/formats/e8m0.hpp>
#include <tare/formats/nf4.hpp>
#include <tare/formats/posit8.hpp>
#include <tare/formats/ternary.hpp>

#include "golden.hpp"

namespace {

using tare::testing::golden;
using tare::testing::values;

template <class F>
int wrong_decodes(const std::vector<float>& table) {
    REQUIRE(table.size() == std::size_t{1} << F::bits);
    int wrong = 0;
    for (std::size_t c = 0; c < table.size(); ++c) {
        const float value = F::decode(static_cast<typename F::code_type>(c));
        wrong += !(value == table[c] || (std::isnan(value) && std::isnan(table[c])));
    }
    return wrong;
}

}  // namespace

TEST_CASE("every code decodes as the tables say") {
    const auto tables = golden("smaq/beyond.npz");
    CHECK(wrong_decodes<tare::posit8>(values<float>(tables, "decode_posit8_es2")) == 0);
    CHECK(wrong_decodes<tare::nf4>(values<float>(tables, "decode_nf4")) == 0);
    CHECK(wrong_decodes<tare::e8m0>(values<float>(tables, "decode_e8m0")) == 0);
}

TEST_CASE("NF4 codes of scaled blocks are the recorded ones") {
    const auto data = golden("smaq/beyond.npz");
    const auto x = values<float>(data, "x");
    const auto scale = values<float>(data, "nf4_absmax");
    const auto codes = values<std::int64_t>(data, "nf4_code");
    REQUIRE((x.size() + 63) / 64 == scale.size());
    int wrong = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
        wrong += tare::nf4::encode(x[i] / scale[i / 64]) != codes[i];
    CHECK(wrong == 0);
}

TEST_CASE("posits round on the bit pattern and never to zero or NaR") {
    using tare::posit8;
    CHECK(posit8::encode(1.0F) == 0x40);
    CHECK(posit8::encode(-1.0F) == 0xC0);
    CHECK(posit8::encode(0x1P-40F) == 0x01);
    CHECK(posit8::encode(-0x1P-40F) == 0xFF);
    CHECK(posit8::encode(0x1P40F) == 0x7F);
    CHECK(posit8::encode(0x1P22F) == 0x7E);  // the tie between 2^20 and 2^24
    CHECK(posit8::encode(std::nextafter(0x1P22F, 1e9F)) == 0x7F);
    CHECK(posit8::encode(-0.0F) == 0x00);
    CHECK(posit8::encode(INFINITY) == 0x80);
    CHECK(posit8::encode(NAN) == 0x80);
}

TEST_CASE("E8M0 takes powers of two and refuses what is no scale") {
    using tare::e8m0;
    CHECK(e8m0::encode(1.0F) == 127);
    CHECK(e8m0::encode(0.0F) == 0);
    CHECK(e8m0::encode(-0.0F) == 0);
    CHECK(e8m0::encode(0x1P-149F) == 0);
    CHECK(e8m0::encode(1.5F) == 128);  // a tie, to the even code
    CHECK(e8m0::encode(3.0F) == 128);
    CHECK(e8m0::encode(0x1.8P-127F) == 0);
    CHECK(e8m0::encode(0x1.9P-127F) == 1);
    CHECK(e8m0::encode(INFINITY) == 254);
    CHECK(e8m0::encode(NAN) == 255);
    CHECK(e8m0::encode(-1.0F) == 255);
    CHECK(e8m0::encode(-0x1P-149F) == 255);
}

TEST_CASE("five ternary values fit a byte") {
    using tare::ternary;
    std::vector<bool> seen(243);
    for (int n = 0; n < 243; ++n) {
        const auto codes = ternary::unpack(static_cast<std::uint8_t>(n));
        for (const std::uint8_t code : codes)
            CHECK((code == 0 || code == 1 || code == 3));
        CHECK(ternary::pack(codes) == n);
    }
    CHECK_THROWS_WITH_AS((void)ternary::unpack(243), doctest::Contains("byte 243"), tare::error);
    CHECK(ternary::encode(0.5F) == 0);
    CHECK(ternary::encode(-0.51F) == 3);
    CHECK(ternary::encode(NAN) == 0);
}

TEST_CASE("binary is the sign, with zero and NaN positive") {
    using tare::binary;
    CHECK(binary::encode(0.0F) == 1);
    CHECK(binary::encode(-0.0F) == 1);
    CHECK(binary::encode(-0x1P-149F) == 0);
    CHECK(binary::encode(-INFINITY) == 0);
    CHECK(binary::encode(NAN) == 1);
    CHECK(binary::encode(-NAN) == 1);
    CHECK(binary::decode(0) == -1.0F);
    CHECK(binary::decode(1) == 1.0F);
}

TEST_CASE("codes and levels of NF4 found many at a time are those found one by one") {
    std::vector<float> x{0.0F, -0.0F, 1.5F, -1.5F, 1e30F, -1e30F};
    constexpr float infinity = std::numeric_limits<float>::infinity();
    for (const float v : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()})
        x.push_back(v);
    // The numbers on either side of every border, and of every bucket of 1/16.
    const auto around = [&](float v) {
        for (int step = -2; step <= 2; ++step)
            x.push_back(std::bit_cast<float>(std::bit_cast<std::int32_t>(v) + step));
    };
    for (std::size_t k = 0; k + 1 < tare::nf4::levels.size(); ++k)
        around((tare::nf4::levels[k] + tare::nf4::levels[k + 1]) / 2);
    for (int bucket = -16; bucket <= 16; ++bucket)
        if (bucket != 0) around(static_cast<float>(bucket) / 16);
    for (std::size_t first = 0; first < 18; ++first) {  // misaligned, every length of a rest
        const auto some = std::span<const float>(x).subspan(first);
        std::vector<std::uint8_t> codes(some.size());
        tare::nf4::encode_all(some.data(), codes.data(), static_cast<std::ptrdiff_t>(some.size()));
        std::vector<float> values(some.size());
        tare::nf4::round_all(some.data(), values.data(), static_cast<std::ptrdiff_t>(some.size()));
        for (std::size_t i = 0; i < some.size(); ++i) {
            CAPTURE(some[i]);
            REQUIRE(codes[i] == tare::nf4::encode(some[i]));
            REQUIRE(values[i] == tare::nf4::decode(codes[i]));
        }
    }
}
