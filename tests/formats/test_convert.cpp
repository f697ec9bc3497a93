// Array conversions: what they refuse, in-place round trips, random words by position. That arrays
// equal single elements for every format stands in testing/test_check_format.cpp.

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/elementwise.hpp>
#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/core/random_fill.hpp>
#include <tare/formats/convert.hpp>
#include <tare/formats/fp16.hpp>
#include <tare/formats/int_n.hpp>

namespace {

std::vector<float> normals(std::size_t n) {
    const tare::random_stream random(1, 2);
    std::vector<float> x(n);
    for (std::size_t i = 0; i < n; ++i)
        x[i] = 20 * random.normal(i);
    return x;
}

}  // namespace

TEST_CASE("a round trip may write over its input") {
    const std::vector<float> x = normals(1001);
    std::vector<float> apart(x.size());
    std::vector<float> in_place = x;
    tare::round_trip<tare::int_n<6>>(x, apart);
    tare::round_trip<tare::int_n<6>>(in_place, in_place);
    CHECK(in_place == apart);
}

TEST_CASE("conversions refuse spans that do not fit, and say so") {
    std::vector<float> x = normals(10);
    std::vector<std::uint16_t> codes(9);
    CHECK_THROWS_WITH_AS(tare::encode<tare::fp16>(x, codes),
                         "encode<fp16>: 10 elements in, room for 9 out; both spans must have the "
                         "same size",
                         tare::error);
    CHECK_THROWS_AS(tare::decode<tare::fp16>(codes, x), tare::error);
    const std::span<float> all(x);
    CHECK_THROWS_WITH_AS(tare::round_trip<tare::fp16>(all.first(9), all.last(9)),
                         doctest::Contains("overlap"), tare::error);
    CHECK_NOTHROW(tare::round_trip<tare::fp16>(all.first(5), all.last(5)));
}

TEST_CASE("stochastic results depend on the position, not on how an array is cut") {
    using format = tare::fp16::with_rounding<tare::stochastic>;
    const std::vector<float> x = normals(1500);
    const tare::random_stream draws(7, 1);
    std::vector<float> whole(x.size());
    tare::round_trip<format>(x, whole, draws);
    for (const std::size_t cut : {1U, 255U, 256U, 257U, 1024U, 1499U}) {
        std::vector<float> parts(x.size());
        const std::span<const float> in(x);
        const std::span<float> out(parts);
        tare::round_trip<format>(in.first(cut), out.first(cut), draws);
        tare::round_trip<format>(in.subspan(cut), out.subspan(cut), draws, cut);
        CHECK(parts == whole);
    }
    std::vector<float> other(x.size());
    tare::round_trip<format>(x, other, tare::random_stream(8, 1));
    CHECK(other != whole);
}

TEST_CASE("outputs too large for the cache hold the same numbers, wherever they begin") {
    using format = tare::fp16;
    using stochastic = format::with_rounding<tare::stochastic>;
    const auto size = static_cast<std::size_t>(tare::stream_min_elements) + 1003;
    std::vector<float> x = normals(4099);
    x.resize(size);
    for (std::size_t i = 4099; i < size; ++i)
        x[i] = x[i - 4099] * 1.0009765F;
    std::vector<float> memory(size + 1);
    const std::span<float> y = std::span(memory).last(size);  // off every alignment of the type
    const auto wrong = [&](auto expected) {
        std::size_t count = 0;
        for (std::size_t i = 0; i < size; ++i)
            count += y[i] != expected(i);
        std::fill(memory.begin(), memory.end(), 0.0F);
        return count;
    };
    for (const int threads : {1, 3}) {
        tare::set_threads(threads);
        tare::round_trip<format>(x, y);
        CHECK(wrong([&](std::size_t i) { return format::round(x[i]); }) == 0);
        std::vector<std::uint16_t> code_memory(size + 1);
        const std::span<std::uint16_t> codes = std::span(code_memory).last(size);
        tare::encode<format>(x, codes);
        CHECK(code_memory[0] == 0);
        tare::decode<format>(codes, y);
        CHECK(wrong([&](std::size_t i) { return format::round(x[i]); }) == 0);
        const tare::random_stream draws(5, 1);
        tare::round_trip<stochastic>(x, y, draws, 77);
        CHECK(wrong([&](std::size_t i) {
                  const std::size_t at = 77 + i;
                  const std::uint32_t word = draws.bits<tare::rounding_rounds>(at / 2);
                  const std::uint32_t half = word >> (16 * (at % 2)) & 0xFFFFU;
                  return stochastic::round(x[i], half * 0x1'0001U);
              }) == 0);
    }
    tare::set_threads(1);
}

TEST_CASE("filled words are the words of the stream") {
    const tare::random_stream stream(0x1234'5678'9ABC'DEF0U, 0xFEDC'BA98'7654'3210U);
    std::array<std::uint32_t, 700> words;
    for (const std::uint64_t first : {0ULL, 1ULL, 127ULL, 128ULL, 0x3'FFFF'FFF0ULL})
        for (const std::size_t count : {0U, 1U, 127U, 128U, 129U, 700U}) {
            tare::fill_bits(stream, first, std::span(words).first(count));
            int wrong = 0;
            for (std::size_t i = 0; i < count; ++i)
                wrong += words[i] != stream.bits(first + i);
            CHECK(wrong == 0);
        }
}
