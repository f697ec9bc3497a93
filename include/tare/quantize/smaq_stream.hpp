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

/// Packs elements [begin, end). `code_values(begin, end, codes)` writes at most map_chunk codes as
/// numbers, 2^15 above the outliers.
template <class Lane, class CodeValues>
smaq_range smaq_pack_range(extent begin, extent end, const smaq_widths& widths,
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

/// Packs n elements into `out`.
template <class CodeValues>
void smaq_encode(extent n, const smaq_widths& widths, const smaq_params& p, packed_tensor& out,
                 const CodeValues& code_values) {
    const extent count = (n + smaq_range_elements - 1) / smaq_range_elements;
    std::vector<smaq_range> ranges(static_cast<std::size_t>(count));
    const bool bytes = widths.main <= 8 && widths.outlier <= 8;
    parallel_for(count, 1, 32 * smaq_range_elements, [&](extent begin, extent end) {
        for (extent r = begin; r < end; ++r) {
            const extent from = r * smaq_range_elements;
            const extent to = std::min(n, from + smaq_range_elements);
            ranges[static_cast<std::size_t>(r)] =
                bytes ? smaq_pack_range<std::uint8_t>(from, to, widths, code_values)
                      : smaq_pack_range<std::uint32_t>(from, to, widths, code_values);
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

/// Values of all codes of one width; `value(outlier, q, offset)` gives one.
template <class Value>
std::vector<float> smaq_values(bool outlier, const smaq_widths& widths, const Value& value) {
    const int width = outlier ? widths.outlier : widths.main;
    const std::uint32_t sign = 1U << (width - 1);
    std::vector<float> out(std::size_t{2} * sign);
    for (std::uint32_t code = 0; code < 2 * sign; ++code) {
        const bool negative = (code & sign) != 0;
        const auto magnitude = static_cast<float>(code & (sign - 1));
        const float offset = outlier ? (negative ? -widths.threshold : widths.threshold) : 0.0F;
        // + 0: a negative zero is the main code 0.
        out[code] = value(outlier, (negative ? -magnitude : magnitude) + 0.0F, offset);
    }
    return out;
}

/// Codes of one width read 64 at a time, in order.
class smaq_code_source {
  public:
    smaq_code_source(bit_reader in, int width, std::int64_t count)
        : in_(in),
          width_(width),
          left_(count),
          unpack_(bit_pack_kernels<std::uint16_t>::unpack(width)) {}

    [[nodiscard]] std::uint16_t next() {
        if (at_ == pack_block) refill();
        return codes_[at_++];
    }

  private:
    void refill() {
        std::uint64_t words[max_packed_words] = {};
        const auto some = std::min<std::int64_t>(left_, pack_block);
        in_.take(words, static_cast<std::size_t>(some) * static_cast<std::size_t>(width_));
        unpack_(reinterpret_cast<const std::byte*>(words), codes_);
        left_ -= some;
        at_ = 0;
    }

    bit_reader in_;
    int width_;
    std::int64_t left_;
    bit_pack_kernels<std::uint16_t>::unpack_function unpack_;
    std::size_t at_ = pack_block;
    std::uint16_t codes_[pack_block];
};

/// Unpacks y.size() elements; `values_of(params)` gives the function for smaq_values.
/// Throws with the byte offset on a stream of another size or with damaged numbers.
template <class ValuesOf>
void smaq_decode(const packed_tensor& packed, std::string_view who, const smaq_widths& widths,
                 std::span<float> y, const ValuesOf& values_of) {
    static_cast<void>(code_reader(packed, who));  // size and padding
    const auto n = static_cast<std::int64_t>(y.size());
    const bit_reader start(packed.bytes, who, 0);
    bit_reader flags = start;
    std::vector<std::uint64_t> masks((y.size() + mask_block - 1) / mask_block);
    flags.take(masks.data(), y.size());
    std::int64_t outliers = 0;
    for (const std::uint64_t mask : masks)
        outliers += std::popcount(mask);
    const std::int64_t main_bits = (n - outliers) * widths.main;
    const std::int64_t bits = n + main_bits + outliers * widths.outlier + 64;
    require(packed.bits == bits, who, ": byte ", packed.bytes.size(), ": the stream has ",
            packed.bits, " bits where ", n, " elements with ", outliers, " outliers take ", bits,
            "; it was cut or belongs to another tensor");
    bit_reader tail = start;
    tail.skip(static_cast<std::size_t>(bits - 64));
    const float mean = std::bit_cast<float>(static_cast<std::uint32_t>(tail.take(32)));
    const float deviation = std::bit_cast<float>(static_cast<std::uint32_t>(tail.take(32)));
    require(is_finite(mean) && is_finite(deviation) && deviation >= 0.0F, who, ": byte ",
            (bits - 64) / 8, ": mean ", mean, " and deviation ", deviation,
            " in the stream; both must be finite, the deviation not negative");

    const auto value = values_of(smaq_params{mean, deviation});
    const std::vector<float> main_values = smaq_values(false, widths, value);
    const std::vector<float> outlier_values = smaq_values(true, widths, value);
    bit_reader outlier_bits = flags;
    outlier_bits.skip(static_cast<std::size_t>(main_bits));
    smaq_code_source main_codes(flags, widths.main, n - outliers);
    smaq_code_source outlier_codes(outlier_bits, widths.outlier, outliers);
    for (std::size_t i = 0; i < y.size(); ++i) {
        const bool outlier = (masks[i / mask_block] >> (i % mask_block) & 1) != 0;
        y[i] = outlier ? outlier_values[outlier_codes.next()] : main_values[main_codes.next()];
    }
}

}  // namespace tare::detail
