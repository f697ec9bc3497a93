// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/bits.hpp>
#include <tare/core/random.hpp>
#include <tare/lossless/bit_stream.hpp>
#include <tare/lossless/eight_strings.hpp>

TEST_CASE("eight strings at once are eight heads and codes one after the other") {
    const tare::random_stream draws(3, 8);
    std::uint64_t at = 0;
    const auto below = [&](std::uint32_t n) { return draws.below(at++, n); };
    const auto word = [&] {
        at += 2;
        return std::uint64_t{draws.bits(at - 2)} << 32 | draws.bits(at - 1);
    };
    for (int round = 0; round < 400; ++round) {
        std::vector<std::byte> fast_memory(2048, std::byte{0xA5});
        std::vector<std::byte> plain_memory(2048);
        tare::bit_writer fast(fast_memory.data());
        tare::bit_writer plain(plain_memory.data());
        for (int turn = 0; turn < 2; ++turn) {
            // Every fill of the byte in front, and again of what the first eight leave.
            const int front = static_cast<int>(below(17));
            const std::uint64_t field = word() & tare::low_mask(front);
            fast.put(field, front);
            plain.put(field, front);
            tare::stored_row head[4], head_bits, code_bits;
            // Bits behind the codes are anybody's.
            std::vector<std::uint8_t> codes(8 * tare::string_code_bytes + 8);
            for (std::uint8_t& byte : codes)
                byte = static_cast<std::uint8_t>(below(256));
            for (std::size_t l = 0; l < tare::row_lanes; ++l) {
                // The shortest and the longest as well, and codes that do not fill a byte.
                const std::uint32_t which = below(6);
                head_bits.at[l] = which == 0 ? 8 : (which == 1 ? 248 : 8 + below(241));
                code_bits.at[l] = which == 2 ? 0 : (which == 3 ? 512 : below(which == 4 ? 9 : 513));
                for (std::size_t w = 0; w < 4; ++w) {
                    const std::uint64_t some = std::min<std::uint64_t>(
                        64, head_bits.at[l] - std::min<std::uint64_t>(head_bits.at[l], 64 * w));
                    head[w].at[l] = word() & tare::low_mask(static_cast<int>(some));
                }
                const std::uint64_t words[4] = {head[0].at[l], head[1].at[l], head[2].at[l],
                                                head[3].at[l]};
                plain.put_four(words, static_cast<int>(head_bits.at[l]));
                std::uint64_t code_words[8];
                std::memcpy(code_words, codes.data() + tare::string_code_bytes * l,
                            sizeof code_words);
                plain.put(code_words, code_bits.at[l]);
            }
            const tare::word_row rows[4] = {head[0], head[1], head[2], head[3]};
            tare::put_eight(fast, rows, head_bits, codes.data(), code_bits);
            REQUIRE(fast.bits() == plain.bits());
        }
        const std::size_t bytes = fast.finish();
        REQUIRE(bytes == plain.finish());
        const auto end = static_cast<std::ptrdiff_t>(bytes);
        REQUIRE(std::equal(fast_memory.begin(), fast_memory.begin() + end, plain_memory.begin()));
        // No more than the room behind the end is touched.
        REQUIRE(std::all_of(fast_memory.begin() + end + std::ptrdiff_t{tare::bit_writer::room},
                            fast_memory.end(), [](std::byte b) { return b == std::byte{0xA5}; }));
    }
}
