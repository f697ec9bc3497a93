// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/aligned.hpp>
#include <tare/core/elementwise.hpp>
#include <tare/core/random.hpp>
#include <tare/quantize/packed.hpp>

TEST_CASE("fields of any width come back in order, without padding between them") {
    const tare::random_stream random(3, 0);
    tare::packed_tensor packed;
    tare::code_writer writer(packed);
    std::int64_t bits = 0;
    const auto field = [&](int i) {
        const std::uint64_t word = std::uint64_t{random.bits(static_cast<std::uint64_t>(i))} << 32 |
                                   random.bits(static_cast<std::uint64_t>(i) + 1000);
        return word & tare::low_mask(i % 65);
    };
    for (int i = 0; i < 300; ++i) {
        writer.put(field(i), i % 65);
        bits += i % 65;
    }
    CHECK(packed.bits == bits);
    CHECK(static_cast<std::int64_t>(packed.bytes.size()) == (bits + 7) / 8);
    tare::code_reader reader(packed, "test");
    for (int i = 0; i < 300; ++i)
        REQUIRE(reader.get(i % 65) == field(i));
    reader.expect_end();
    CHECK_THROWS_AS((void)reader.get(1), tare::error);
}

TEST_CASE("codes whose last byte goes on with the next field unpack") {
    for (const int width : {1, 3, 5, 7, 9, 16})
        for (std::size_t n = 0; n < 40; ++n) {
            std::vector<std::uint16_t> codes(n), back(n);
            for (std::size_t i = 0; i < n; ++i)
                codes[i] = static_cast<std::uint16_t>((i * 40503U) & tare::low_mask(width));
            tare::packed_tensor packed;
            tare::code_writer writer(packed);
            tare::pack_bits(std::span<const std::uint16_t>(codes), width,
                            writer.reserve(static_cast<tare::extent>(n), width));
            writer.put(~std::uint64_t{0}, 13);
            tare::code_reader reader(packed, "test");
            tare::detail::unpack_codes(reader.take(static_cast<tare::extent>(n), width), width,
                                       std::span(back));
            REQUIRE(codes == back);
            REQUIRE(reader.get(13) == tare::low_mask(13));
        }
}

TEST_CASE("damaged streams are refused with the byte offset") {
    tare::packed_tensor packed;
    tare::code_writer(packed).put(5, 11);
    packed.bytes[1] = std::byte{0xFF};
    CHECK_THROWS_WITH_AS(tare::code_reader(packed, "who"),
                         "who: byte 1: padding bits behind the end are not zero", tare::error);
    packed.bytes[1] = std::byte{0};
    packed.bits = 17;
    CHECK_THROWS_AS(tare::code_reader(packed, "who"), tare::error);
}

TEST_CASE("a reader says how much is missing or left") {
    tare::packed_tensor packed;
    tare::code_writer writer(packed);
    CHECK(writer.at_byte());
    writer.put(0x0123456789ABCDEFU, 64);
    writer.put(0xBEEFU, 16);
    CHECK(writer.at_byte());
    writer.put(3, 2);
    CHECK_FALSE(writer.at_byte());
    tare::code_reader reader(packed, "who");
    CHECK(reader.get(5) == 0x0FU);
    CHECK(reader.get(59) == 0x0123456789ABCDEFU >> 5);
    CHECK(reader.get(16) == 0xBEEFU);
    reader.expect(2);
    CHECK_THROWS_WITH_AS(reader.expect(3),
                         "who: byte 10: 2 bits are left of the 3 that follow here; the stream was "
                         "cut or belongs to a smaller tensor",
                         tare::error);
    CHECK_THROWS_AS(reader.expect_end(), tare::error);
    CHECK_THROWS_AS((void)reader.get(3), tare::error);
    CHECK(reader.get(2) == 3U);
    reader.expect_end();
    CHECK_THROWS_AS((void)tare::code_reader(packed, "who").take(11, 8), tare::error);
    packed.bytes.pop_back();
    CHECK_THROWS_AS(tare::code_reader(packed, "who"), tare::error);
}

TEST_CASE("an element's result does not depend on where it stands, streamed or not") {
    const tare::random_stream random(4, 0);
    constexpr tare::extent most = 5003;
    tare::aligned_vector<float> x(most), y(most + 40), alone(most);
    for (tare::extent i = 0; i < most; ++i)
        x[static_cast<std::size_t>(i)] = random.normal(static_cast<std::uint64_t>(i));
    const auto kernel = [](tare::simd::floats v, tare::extent) {
        return tare::simd::nearbyint(v * tare::simd::broadcast(17.0F)) /
               tare::simd::broadcast(3.0F);
    };
    for (tare::extent i = 0; i < most; ++i)
        tare::map_elements(x.data() + i, alone.data() + i, 0, 1, false, kernel);
    for (const bool stream : {false, true})
        for (const tare::extent n : {0, 1, 7, 15, 16, 17, 63, 64, 65, 2047, 2048, 2049, 5003})
            for (const tare::extent shift : {0, 1, 3, 15, 16, 31}) {
                std::fill(y.begin(), y.end(), -1.0F);
                tare::map_elements(x.data(), y.data() + shift, 0, n, stream, kernel);
                bool same = true;
                for (tare::extent i = 0; i < n; ++i)
                    same = same && y[static_cast<std::size_t>(i + shift)] ==
                                       alone[static_cast<std::size_t>(i)];
                CHECK(same);
                CHECK(y[static_cast<std::size_t>(n + shift)] == -1.0F);
                if (shift > 0) CHECK(y[static_cast<std::size_t>(shift - 1)] == -1.0F);
            }
}
