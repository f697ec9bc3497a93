#pragma once
// SPDX-License-Identifier: MIT
// Classic base-delta-immediate compression of memory lines. A line of 64 bytes is read as words of
// 8, 4 or 2 bytes; each word is a small delta from 0 or from one base. Two accountings:
//   bdi_line_bytes   the published size: deltas and two bases, no tag and no selectors, and deltas
//   by
//                    magnitude, whose signs are not paid for; it cannot be decoded
//   bdi_encode       a stream that can be decoded. Of each line: tag 4 bits, then the content
//     zeros          nothing             repeated 8 or 4   one word
//     base-delta     base, one selector bit per word, two's complement deltas
//     raw            the 64 bytes        tail              the bytes that do not fill a line
// Source: Pekhimenko, Seshadri, Mutlu, Gibbons, Kozuch, Mowry 2012, "Base-delta-immediate
// compression: practical data compression for on-chip caches", section 4; sizes as in the authors'
// simulator routine.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/lossless/bit_stream.hpp>

namespace tare {

inline constexpr std::size_t bdi_line = 64;  ///< bytes

/// Word and delta bytes of the six base-delta configurations, in order.
struct bdi_config {
    int word;
    int delta;
};
inline constexpr std::array<bdi_config, 6> bdi_configs{
    {{8, 1}, {8, 2}, {8, 4}, {4, 1}, {4, 2}, {2, 1}}};

namespace detail {

// Word i of a line, zero-extended.
[[nodiscard]] inline std::uint64_t bdi_word(const std::byte* line, int bytes,
                                            std::size_t i) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, line + i * static_cast<std::size_t>(bytes), static_cast<std::size_t>(bytes));
    return word;
}

[[nodiscard]] inline bool bdi_repeats(const std::byte* line, int bytes) noexcept {
    for (std::size_t i = 1; i < bdi_line / static_cast<std::size_t>(bytes); ++i)
        if (bdi_word(line, bytes, i) != bdi_word(line, bytes, 0)) return false;
    return true;
}

[[nodiscard]] inline bool bdi_all_zero(const std::byte* line) noexcept {
    return bdi_word(line, 8, 0) == 0 && bdi_repeats(line, 8);
}

// The words of a line under one configuration: `near(word, base)` says whether a delta will do. The
// base is the first word that is not near 0 (0 if there is none); false if a word is near neither.
template <class Near>
bool bdi_fits(const std::byte* line, int bytes, std::uint64_t& base, std::uint64_t& selectors,
              Near near) {
    base = selectors = 0;
    bool known = false;
    for (std::size_t i = 0; i < bdi_line / static_cast<std::size_t>(bytes); ++i) {
        const std::uint64_t word = bdi_word(line, bytes, i);
        if (near(word, std::uint64_t{0})) continue;
        if (!known) base = word;
        known = true;
        if (!near(word, base)) return false;
        selectors |= std::uint64_t{1} << i;
    }
    return true;
}

// Tags of the stream: 0 zeros, 1 repeated 8, 2 repeated 4, 3 to 8 the configurations, 9 raw.
inline constexpr int bdi_tag_bits = 4;
inline constexpr std::size_t bdi_first_config_tag = 3;
inline constexpr std::size_t bdi_raw_tag = bdi_first_config_tag + bdi_configs.size();

// word - base in two's complement of the word's width fits in the delta.
[[nodiscard]] inline bool bdi_near(std::uint64_t word, std::uint64_t base, bdi_config c) noexcept {
    const std::uint64_t half = std::uint64_t{1} << (8 * c.delta - 1);
    return ((word - base + half) & low_mask(8 * c.word)) < 2 * half;
}

inline void bdi_encode_line(const std::byte* line, bit_writer& out) {
    const auto put_word = [&](std::uint64_t word, int bytes) {
        out.put_wide(word & low_mask(8 * bytes), 8 * bytes);
    };
    if (bdi_all_zero(line)) return out.put(0, bdi_tag_bits);
    for (const int bytes : {4, 8}) {
        if (!bdi_repeats(line, bytes)) continue;
        out.put(bytes == 8 ? 1 : 2, bdi_tag_bits);
        return put_word(bdi_word(line, bytes, 0), bytes);
    }
    std::size_t best_bits = 8 * bdi_line;
    std::size_t best = bdi_raw_tag;
    std::uint64_t base = 0;
    std::uint64_t selectors = 0;
    for (std::size_t k = 0; k < bdi_configs.size(); ++k) {
        const bdi_config c = bdi_configs[k];
        const std::size_t words = bdi_line / static_cast<std::size_t>(c.word);
        const std::size_t bits = static_cast<std::size_t>(8 * c.word) +
                                 words * static_cast<std::size_t>(1 + 8 * c.delta);
        std::uint64_t tried = 0;
        std::uint64_t mask = 0;
        const auto near = [c](std::uint64_t w, std::uint64_t b) { return bdi_near(w, b, c); };
        if (bits >= best_bits || !bdi_fits(line, c.word, tried, mask, near)) continue;
        best_bits = bits;
        best = bdi_first_config_tag + k;
        base = tried;
        selectors = mask;
    }
    out.put(best, bdi_tag_bits);
    if (best == bdi_raw_tag) {
        std::uint64_t words[bdi_line / 8];
        std::memcpy(words, line, bdi_line);
        return out.put(words, 8 * bdi_line);
    }
    const bdi_config c = bdi_configs[best - bdi_first_config_tag];
    const std::size_t words = bdi_line / static_cast<std::size_t>(c.word);
    put_word(base, c.word);
    const int selected = static_cast<int>(words);
    out.put_wide(selectors & low_mask(selected), selected);
    for (std::size_t i = 0; i < words; ++i) {
        const std::uint64_t from = (selectors >> i & 1) != 0 ? base : 0;
        put_word(bdi_word(line, c.word, i) - from, c.delta);
    }
}

inline void bdi_decode_line(bit_reader& in, std::byte* line) {
    const auto fill = [&](std::uint64_t word, int bytes) {
        for (std::size_t i = 0; i < bdi_line; i += static_cast<std::size_t>(bytes))
            std::memcpy(line + i, &word, static_cast<std::size_t>(bytes));
    };
    const auto tag = static_cast<std::size_t>(in.take(bdi_tag_bits));
    if (tag > bdi_raw_tag) in.corrupt("unknown tag ", tag, " of a line");
    if (tag == 0) return fill(0, 8);
    if (tag < bdi_first_config_tag) {
        const int bytes = tag == 1 ? 8 : 4;
        return fill(in.take(8 * bytes), bytes);
    }
    if (tag == bdi_raw_tag) {
        std::uint64_t words[bdi_line / 8];
        in.take(words, 8 * bdi_line);
        std::memcpy(line, words, bdi_line);
        return;
    }
    const bdi_config c = bdi_configs[tag - bdi_first_config_tag];
    const auto word_bytes = static_cast<std::size_t>(c.word);
    const std::uint64_t base = in.take(8 * c.word);
    const std::uint64_t selectors = in.take(static_cast<int>(bdi_line / word_bytes));
    for (std::size_t i = 0; i < bdi_line / word_bytes; ++i) {
        const std::uint64_t sign = std::uint64_t{1} << (8 * c.delta - 1);
        const std::uint64_t delta = (in.take(8 * c.delta) ^ sign) - sign;  // sign extension
        const std::uint64_t word = ((selectors >> i & 1) != 0 ? base : 0) + delta;
        std::memcpy(line + i * word_bytes, &word, word_bytes);
    }
}

}  // namespace detail

/// The published size of one line in bytes: 1 if all zero, 8 or 4 for one repeated word, otherwise
/// the least delta words + 2 word of the configurations whose words are all within 2^(8 delta) - 1
/// of 0 or of the first word that is not within that of 0 (words zero-extended, distances as signed
/// 64-bit numbers); 64 if none fits.
[[nodiscard]] inline int bdi_line_bytes(std::span<const std::byte, bdi_line> line) noexcept {
    if (detail::bdi_all_zero(line.data())) return 1;
    int best = bdi_line;
    if (detail::bdi_repeats(line.data(), 8)) best = 8;
    if (detail::bdi_repeats(line.data(), 4)) best = 4;
    for (const bdi_config c : bdi_configs) {
        const std::uint64_t limit = low_mask(8 * c.delta);
        const auto near = [limit](std::uint64_t word, std::uint64_t base) {
            const std::uint64_t d = word - base;
            return (d >> 63 != 0 ? 0 - d : d) <= limit;
        };
        std::uint64_t base = 0;
        std::uint64_t selectors = 0;
        if (detail::bdi_fits(line.data(), c.word, base, selectors, near))
            best = std::min(best, c.delta * (int{bdi_line} / c.word) + 2 * c.word);
    }
    return best;
}

/// Encodes bytes, 64 to a line; what does not fill a line follows as it is. The stream starts with
/// the number of bytes (64 bits). Each line takes the smallest form, the first on ties.
[[nodiscard]] inline std::vector<std::byte> bdi_encode(std::span<const std::byte> bytes) {
    // A raw line takes 4 bits more than itself; the writer wants 8 bytes of room at the end.
    std::vector<std::byte> out(8 + bytes.size() + bytes.size() / bdi_line + 16);
    bit_writer writer(out.data());
    writer.put_64(bytes.size());
    const std::size_t lines = bytes.size() / bdi_line;
    for (std::size_t l = 0; l < lines; ++l)
        detail::bdi_encode_line(bytes.data() + l * bdi_line, writer);
    for (const std::byte b : bytes.subspan(lines * bdi_line))
        writer.put(std::to_integer<std::uint64_t>(b), 8);
    out.resize(writer.finish());
    return out;
}

/// Decodes a stream of bdi_encode. Throws tare::error, with the byte, for a stream that is
/// truncated, too long or not one of bdi_encode; a changed delta cannot be noticed.
[[nodiscard]] inline std::vector<std::byte> bdi_decode(std::span<const std::byte> stream) {
    bit_reader in(stream, "bdi_decode", 0);
    const std::uint64_t count = in.take(64);
    // A line takes 4 bits at least, so a longer claim is a lie: refuse before allocating.
    if (count / bdi_line / 2 > stream.size())
        fail("bdi_decode: byte 0: ", count, " bytes cannot come from a stream of ", stream.size());
    std::vector<std::byte> out(static_cast<std::size_t>(count));
    const std::size_t lines = out.size() / bdi_line;
    for (std::size_t l = 0; l < lines; ++l)
        detail::bdi_decode_line(in, out.data() + l * bdi_line);
    for (std::size_t i = lines * bdi_line; i < out.size(); ++i)
        out[i] = static_cast<std::byte>(in.take(8));
    in.finish();
    return out;
}

}  // namespace tare
