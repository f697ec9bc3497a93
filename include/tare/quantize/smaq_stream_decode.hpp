#pragma once
// SPDX-License-Identifier: MIT
// The packed form of SmaQ back to values; its layout stands in quantize/smaq_stream.hpp. There are
// few codes: the values of all are computed once and looked up. 64 elements at a time, main and
// outlier values are spread over the places that the flags give them.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/lossless/bit_pack_blocks.hpp>
#include <tare/lossless/bit_stream.hpp>
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

/// Codes of one width as values, in order.
class smaq_value_source {
  public:
    /// The `count` codes of `width` bits that `in` has next; `values` are those of all codes.
    smaq_value_source(bit_reader in, int width, std::int64_t count, const float* values)
        : in_(in),
          width_(static_cast<std::size_t>(width)),
          left_(count),
          values_(values),
          unpack_(bit_pack_kernels<std::uint16_t>::unpack(width)) {}

    /// The next values, `count` <= 64 of them; as many as an expansion may read are readable.
    [[nodiscard]] const float* next(std::size_t count) {
        if (end_ - begin_ < count) refill();
        const float* const first = ready_ + begin_;
        begin_ += count;
        return first;
    }

  private:
    void refill() {
        std::copy(ready_ + begin_, ready_ + end_, ready_);
        end_ -= begin_;
        begin_ = 0;
        std::uint64_t words[max_packed_words] = {};
        std::uint16_t codes[pack_block];
        const auto some = static_cast<std::size_t>(
            std::min<std::int64_t>(left_, static_cast<std::int64_t>(pack_block)));
        in_.take(words, some * width_);
        unpack_(reinterpret_cast<const std::byte*>(words), codes);
        for (std::size_t i = 0; i < pack_block; ++i)
            ready_[end_ + i] = values_[codes[i]];
        end_ += some;
        left_ -= static_cast<std::int64_t>(some);
    }

    bit_reader in_;
    std::size_t width_;
    std::int64_t left_;
    const float* values_;
    bit_pack_kernels<std::uint16_t>::unpack_function unpack_;
    std::size_t begin_ = 0, end_ = 0;
    float ready_[3 * pack_block] = {};  // 63 that wait, 64 new ones, and what is read beyond
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
    std::vector<std::uint64_t> masks((y.size() + mask_block - 1) / mask_block);
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
    const auto one_range = [&](std::size_t r) {
        const auto first = static_cast<std::int64_t>(r) * smaq_range_elements;
        const std::int64_t last = std::min(n, first + smaq_range_elements);
        const std::int64_t far = before[r + 1] - before[r];
        bit_reader main_at = flags;
        main_at.skip(static_cast<std::size_t>((first - before[r]) * widths.main));
        bit_reader outlier_at = flags;
        outlier_at.skip(static_cast<std::size_t>(main_bits + before[r] * widths.outlier));
        smaq_value_source near_values(main_at, widths.main, last - first - far, main_values.data());
        smaq_value_source far_values(outlier_at, widths.outlier, far, outlier_values.data());
        for (std::int64_t at = first; at < last; at += mask_block) {
            const auto some =
                static_cast<std::size_t>(std::min<std::int64_t>(mask_block, last - at));
            const std::uint64_t there = low_mask(static_cast<int>(some));
            const std::uint64_t mask = masks[static_cast<std::size_t>(at) / mask_block] & there;
            const auto count = static_cast<std::size_t>(std::popcount(mask));
            alignas(64) float near[mask_block];
            alignas(64) float far_ones[mask_block];
            expand_64(near_values.next(some - count), ~mask & there, near);
            expand_64(far_values.next(count), mask, far_ones);
            // Where the one has a value the other is +0, all bits zero.
            for (std::size_t i = 0; i < mask_block; ++i)
                near[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(near[i]) |
                                               std::bit_cast<std::uint32_t>(far_ones[i]));
            std::copy_n(near, some, y.data() + at);
        }
    };
    parallel_for(static_cast<extent>(ranges), 1, 16 * smaq_range_elements,
                 [&](extent begin, extent end) {
                     for (extent r = begin; r < end; ++r)
                         one_range(static_cast<std::size_t>(r));
                 });
}

}  // namespace tare::detail
