#pragma once
// SPDX-License-Identifier: MIT
// The packed form of SmaQ: a plane of outlier flags, then two dense arrays, so that codes of two
// widths need no search for their beginnings:
//
//   n flags | codes of main elements | codes of outliers | mean, 32 bits | deviation, 32 bits
//
// A code is [sign][magnitude]; the flag, the third part of the published layout, is in the plane.
// Work goes by ranges of the tensor: each packs its three parts on some thread, then they are put
// one behind the other.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/elementwise.hpp>
#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/pool.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/lossless/bit_pack_blocks.hpp>
#include <tare/lossless/bit_stream.hpp>
#include <tare/lossless/lanes.hpp>
#include <tare/quantize/packed.hpp>
#include <tare/quantize/smaq_statistics.hpp>

namespace tare::detail {

/// Bits of a code without its flag, and the threshold.
struct smaq_widths {
    int main;
    int outlier;
    float threshold;
};

/// Codes of one width, collected until they fill blocks of 64.
template <class Lane>
class smaq_code_queue {
  public:
    explicit smaq_code_queue(int width)
        : width_(static_cast<std::size_t>(width)), pack_(bit_pack_kernels<Lane>::pack(width)) {}

    /// Appends the codes of `block` whose bit in `mask` is set.
    void put(const Lane* block, std::uint64_t mask, bit_writer& out) noexcept {
        count_ += compress_64(block, mask, codes_ + count_);
        if (count_ < pack_block) return;
        flush(pack_block, out);
        count_ -= pack_block;
        std::memcpy(codes_, codes_ + pack_block, sizeof(Lane) * pack_block);
    }
    /// Writes what is left.
    void finish(bit_writer& out) noexcept {
        std::fill(codes_ + count_, codes_ + pack_block, Lane{0});
        flush(count_, out);
        count_ = 0;
    }

  private:
    void flush(std::size_t count, bit_writer& out) noexcept {
        std::uint64_t words[max_packed_words];
        pack_(codes_, reinterpret_cast<std::byte*>(words));
        out.put(words, count * width_);
    }

    std::size_t width_;
    typename bit_pack_kernels<Lane>::pack_function pack_;
    std::size_t count_ = 0;
    Lane codes_[3 * pack_block];  // 63 that wait, 64 new ones, and what compress_64 writes beyond
};

/// The parts of one range.
struct smaq_range {
    std::vector<std::uint64_t> flags;
    std::vector<std::byte, unset_allocator<std::byte>> main, outlier;
    std::int64_t main_bits = 0, outlier_bits = 0;
};

inline constexpr extent smaq_range_elements = 64 * map_chunk;

/// Packs elements [begin, end) of x. `code_values(begin, end, codes)` writes at most map_chunk
/// codes as numbers, 2^15 above the outliers.
template <class Lane, class CodeValues>
smaq_range smaq_pack_range(const float* x, extent begin, extent end, const smaq_widths& widths,
                           const CodeValues& code_values) {
    const auto n = static_cast<std::size_t>(end - begin);
    smaq_range out;
    out.flags.resize((n + mask_block - 1) / mask_block);
    constexpr std::size_t slack = 8;  // a writer stores whole words
    out.main.resize(n * static_cast<std::size_t>(widths.main) / 8 + 1 + slack);
    out.outlier.resize(n * static_cast<std::size_t>(widths.outlier) / 8 + 1 + slack);
    bit_writer main(out.main.data());
    bit_writer outlier(out.outlier.data());
    smaq_code_queue<Lane> main_codes(widths.main);
    smaq_code_queue<Lane> outlier_codes(widths.outlier);
    float values[map_chunk] = {};
    std::uint64_t* flags = out.flags.data();
    for (extent from = begin; from < end; from += map_chunk) {
        const extent count = std::min(map_chunk, end - from);
        code_values(from, from + count, values);
        for (extent at = 0; at < count; at += static_cast<extent>(mask_block)) {
            const extent some = std::min(static_cast<extent>(mask_block), count - at);
            // The next chunk comes into the cache while this one is packed.
            for (std::size_t line = 0; line < mask_block; line += 16)
                simd::prefetch(x + from + at, map_chunk + static_cast<extent>(line));
            std::uint32_t whole[mask_block];
            Lane code[mask_block];
            for (std::size_t i = 0; i < mask_block; ++i) {
                whole[i] = static_cast<std::uint32_t>(
                    static_cast<std::int32_t>(values[at + static_cast<extent>(i)]));
                code[i] = static_cast<Lane>(whole[i] & 0x7FFF);
            }
            const std::uint64_t there = low_mask(static_cast<int>(some));
            const std::uint64_t mask = within_64(whole, 0x8000U, 0x7FFFU) & there;
            *flags++ = mask;
            main_codes.put(code, ~mask & there, main);
            outlier_codes.put(code, mask, outlier);
        }
    }
    main_codes.finish(main);
    outlier_codes.finish(outlier);
    out.main_bits = main.bits();
    out.outlier_bits = outlier.bits();
    static_cast<void>(main.finish());
    static_cast<void>(outlier.finish());
    return out;
}

/// Packs the elements of x into `out`.
template <class CodeValues>
void smaq_encode(std::span<const float> x, const smaq_widths& widths, const smaq_params& p,
                 packed_tensor& out, const CodeValues& code_values) {
    const extent n = static_cast<extent>(x.size());
    const extent count = (n + smaq_range_elements - 1) / smaq_range_elements;
    std::vector<smaq_range> ranges(static_cast<std::size_t>(count));
    const bool bytes = widths.main <= 8 && widths.outlier <= 8;
    parallel_for(count, 1, 32 * smaq_range_elements, [&](extent begin, extent end) {
        for (extent r = begin; r < end; ++r) {
            const extent from = r * smaq_range_elements;
            const extent to = std::min(n, from + smaq_range_elements);
            ranges[static_cast<std::size_t>(r)] =
                bytes ? smaq_pack_range<std::uint8_t>(x.data(), from, to, widths, code_values)
                      : smaq_pack_range<std::uint32_t>(x.data(), from, to, widths, code_values);
        }
    });
    out.bits = n + 64;
    for (const smaq_range& range : ranges)
        out.bits += range.main_bits + range.outlier_bits;
    const auto size = static_cast<std::size_t>((out.bits + 7) / 8);
    out.bytes.resize(size + 8);
    bit_writer writer(out.bytes.data());
    // The buffers may lie at any address: words are copied out of them.
    const auto append = [&](const std::byte* from, std::int64_t bits) {
        constexpr std::int64_t piece = 64 * 64;
        for (std::int64_t at = 0; at < bits; at += piece) {
            std::uint64_t words[64];
            const std::int64_t some = std::min(piece, bits - at);
            std::memcpy(words, from + at / 8, static_cast<std::size_t>((some + 7) / 8));
            writer.put(words, static_cast<std::size_t>(some));
        }
    };
    for (extent r = 0; r < count; ++r) {
        const extent left = n - r * smaq_range_elements;
        append(reinterpret_cast<const std::byte*>(ranges[static_cast<std::size_t>(r)].flags.data()),
               std::min(left, smaq_range_elements));
    }
    for (const smaq_range& range : ranges)
        append(range.main.data(), range.main_bits);
    for (const smaq_range& range : ranges)
        append(range.outlier.data(), range.outlier_bits);
    writer.put(std::bit_cast<std::uint32_t>(p.mean), 32);
    writer.put(std::bit_cast<std::uint32_t>(p.deviation), 32);
    static_cast<void>(writer.finish());
    out.bytes.resize(size);
}

}  // namespace tare::detail
