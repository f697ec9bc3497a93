#pragma once
// SPDX-License-Identifier: MIT
// The packed form of SmaQ back to values; its layout stands in quantize/smaq_stream.hpp. There are
// few codes: the values of all are computed once and looked up. A chunk of elements at a time, main
// and outlier values are looked up side by side, then merged as the flags say.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/core/elementwise.hpp>
#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/pool.hpp>
#include <tare/core/simd_tables.hpp>
#include <tare/lossless/bit_pack_blocks.hpp>
#include <tare/lossless/bit_stream.hpp>
#include <tare/lossless/lane_moves.hpp>
#include <tare/lossless/lanes.hpp>
#include <tare/quantize/packed.hpp>
#include <tare/quantize/smaq_statistics.hpp>
#include <tare/quantize/smaq_stream.hpp>

namespace tare::detail {

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

/// Codes of one side as values, in order.
class smaq_value_source {
  public:
    /// The codes of `width` bits that `in` has next; `values` are those of all codes.
    smaq_value_source(bit_reader in, int width, std::vector<float> values)
        : in_(in), width_(width), values_(std::move(values)) {
        // Tables that fit registers are filled up to one of their sizes.
        if (values_.size() <= 128) values_.resize(values_.size() <= 32 ? 32 : 128);
    }

    /// The next `count` values, at most map_chunk, into `out`, which has room for whole blocks.
    void take(std::size_t count, float* out) {
        if (count == 0) return;
        std::uint64_t words[static_cast<std::size_t>(map_chunk) / 4];  // 16 bits a code
        in_.take(words, count * static_cast<std::size_t>(width_));
        const auto* const packed = reinterpret_cast<const std::byte*>(words);
        if (values_.size() == 32) {
            take_as<std::uint8_t>(packed, count, out, simd::table32(values_.data()));
        } else if (values_.size() == 128) {
            take_as<std::uint8_t>(packed, count, out, simd::table128(values_.data()));
        } else {
            take_as<std::uint16_t>(packed, count, out, values_.data());
        }
    }

  private:
    template <class Code, class Table>
    void take_as(const std::byte* packed, std::size_t count, float* out, const Table& table) {
        const auto unpack = bit_pack_kernels<Code>::unpack(width_);
        const std::size_t stride = 8 * static_cast<std::size_t>(width_);
        for (std::size_t at = 0; at < count; at += pack_block, packed += stride) {
            alignas(64) Code codes[pack_block];
            unpack(packed, codes);
            if constexpr (sizeof(Code) == 1) {
                simd::look_up(table, codes, pack_block, out + at);
            } else {
                for (std::size_t i = 0; i < pack_block; ++i)
                    out[at + i] = table[codes[i]];
            }
        }
    }

    bit_reader in_;
    int width_;
    std::vector<float> values_;
};

/// Unpacks y.size() elements; `values_of(params)` gives the function for smaq_values.
/// Throws with the byte offset on a stream of another size or with damaged numbers.
/// Threads: ranges of the tensor; where the codes of a range begin follows from its flags.
template <class ValuesOf>
void smaq_decode(const packed_tensor& packed, std::string_view who, const smaq_widths& widths,
                 std::span<float> y, const ValuesOf& values_of) {
    static_cast<void>(code_reader(packed, who));  // size and padding
    const auto n = static_cast<std::int64_t>(y.size());
    const bit_reader start(packed.bytes, who, 0);
    bit_reader flags = start;
    std::vector<std::uint64_t, unset_allocator<std::uint64_t>> masks((y.size() + mask_block - 1) /
                                                                     mask_block);
    flags.take(masks.data(), y.size());
    constexpr std::size_t range_masks = smaq_range_elements / mask_block;
    const std::size_t ranges = (masks.size() + range_masks - 1) / range_masks;
    std::vector<std::int64_t> before(ranges + 1);  // outliers before each range
    for (std::size_t r = 0; r < ranges; ++r) {
        before[r + 1] = before[r];
        for (std::size_t m = r * range_masks; m < std::min(masks.size(), (r + 1) * range_masks);
             ++m)
            before[r + 1] += std::popcount(masks[m]);
    }
    const std::int64_t outliers = before[ranges];
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
    const bool stream = n >= stream_min_elements;
    const auto one_range = [&](std::size_t r) {
        const auto first = static_cast<std::int64_t>(r) * smaq_range_elements;
        const std::int64_t last = std::min(n, first + smaq_range_elements);
        bit_reader main_at = flags;
        main_at.skip(static_cast<std::size_t>((first - before[r]) * widths.main));
        bit_reader outlier_at = flags;
        outlier_at.skip(static_cast<std::size_t>(main_bits + before[r] * widths.outlier));
        smaq_value_source near_values(main_at, widths.main, main_values);
        smaq_value_source far_values(outlier_at, widths.outlier, outlier_values);
        constexpr auto chunk = static_cast<std::size_t>(map_chunk);
        for (std::int64_t at = first; at < last; at += map_chunk) {
            const auto some =
                static_cast<std::size_t>(std::min<std::int64_t>(map_chunk, last - at));
            const std::uint64_t* const mask =
                masks.data() + static_cast<std::size_t>(at) / mask_block;
            std::size_t count = 0;
            for (std::size_t b = 0; b * mask_block < some; ++b)
                count += static_cast<std::size_t>(std::popcount(mask[b]));
            alignas(64) float near[chunk + 2 * mask_block];  // a merge reads beyond the last one
            alignas(64) float far_ones[chunk + 2 * mask_block];
            alignas(64) float values[chunk];
            near_values.take(some - count, near);
            far_values.take(count, far_ones);
            const float* others = near;
            const float* marked = far_ones;
            for (std::size_t b = 0; b * mask_block < some; ++b) {
                merge_64(others, marked, mask[b], values + b * mask_block);
                const int ones = std::popcount(mask[b]);
                marked += ones;
                others += static_cast<int>(mask_block) - ones;
            }
            if (stream) {
                stream_out(values, y.data() + at, static_cast<extent>(some));
            } else {
                std::copy_n(values, some, y.data() + at);
            }
        }
        if (stream) simd::stream_fence();
    };
    parallel_for(static_cast<extent>(ranges), 1, 16 * smaq_range_elements,
                 [&](extent begin, extent end) {
                     for (extent r = begin; r < end; ++r)
                         one_range(static_cast<std::size_t>(r));
                 });
}

}  // namespace tare::detail
