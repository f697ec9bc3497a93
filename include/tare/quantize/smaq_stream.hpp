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
#include <type_traits>
#include <vector>

#include <tare/core/bits.hpp>
#include <tare/core/elementwise.hpp>
#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/pool.hpp>
#include <tare/lossless/bit_pack_blocks.hpp>
#include <tare/lossless/join_bits.hpp>
#include <tare/lossless/lane_moves.hpp>
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

/// Bits of a signed code of one side: magnitude, and above it `sign` where it is negative; a zero
/// that has a sign is a code of outliers alone, `sign_of_zero` is 0 for the others.
template <class Signed, class Lane = std::make_unsigned_t<Signed>>
[[nodiscard]] constexpr Lane smaq_code(Signed v, Signed levels, Lane sign,
                                       Lane sign_of_zero) noexcept {
    const auto any = static_cast<Signed>(v < 0 ? ~v : v);
    const Signed size = any < levels ? any : levels;
    const Lane side = size == 0 ? sign_of_zero : sign;
    return static_cast<Lane>(static_cast<Lane>(size) | (v < 0 ? side : Lane{0}));
}

/// Codes of one side, collected until they fill blocks of 64, then packed one block behind the
/// other. They come as signed codes (see smaq_encodable_kernel) in `Signed`.
template <class Signed>
class smaq_code_queue {
  public:
    /// `out` has room for all codes, rounded up to whole blocks.
    smaq_code_queue(int width, int levels, bool outlier, std::byte* out)
        : width_(static_cast<std::size_t>(width)),
          levels_(static_cast<Signed>(levels)),
          sign_(static_cast<lane>(1U << (width - 1))),
          outlier_(outlier),
          run_(bit_pack_kernels<lane>::run(width)),
          out_(out) {}

    /// Takes those of `count` codes, at most map_chunk, whose bit in `outliers` is set, or those
    /// whose bit is not.
    void put(const Signed* codes, extent count, const std::uint64_t* outliers) noexcept {
        const std::uint64_t flip = outlier_ ? 0 : ~std::uint64_t{0};
        std::size_t waiting = count_;
        for (extent left = count; left > 0; left -= 64, codes += mask_block) {
            const std::uint64_t there = low_mask(static_cast<int>(std::min<extent>(left, 64)));
            waiting += compress_64(codes, (*outliers++ ^ flip) & there, codes_ + waiting);
        }
        const std::size_t whole = waiting / pack_block * pack_block;
        pack(whole);
        packed_ += whole;
        count_ = waiting - whole;
        std::memmove(codes_, codes_ + whole, sizeof(Signed) * count_);
    }
    /// Packs what is left, with zeros behind it; returns all bits.
    [[nodiscard]] std::int64_t finish() noexcept {
        std::fill(codes_ + count_, codes_ + pack_block, Signed{0});
        if (count_ > 0) pack(pack_block);
        return static_cast<std::int64_t>((packed_ + count_) * width_);
    }

  private:
    using lane = std::make_unsigned_t<Signed>;

    // Packs `count` codes, whole blocks of them.
    void pack(std::size_t count) noexcept {
        const Signed levels = levels_;
        const lane sign = sign_;
        const lane sign_of_zero = outlier_ ? sign : lane{0};
        lane* const codes = reinterpret_cast<lane*>(codes_);
        for (lane* block = codes; block < codes + count; block += pack_block)
#pragma omp simd
            for (std::size_t i = 0; i < pack_block; ++i)
                block[i] = smaq_code(static_cast<Signed>(block[i]), levels, sign, sign_of_zero);
        run_(codes, count / pack_block, out_);
        out_ += count / 8 * width_;
    }

    std::size_t width_;
    Signed levels_;
    lane sign_;
    bool outlier_;
    typename bit_pack_kernels<lane>::run_function run_;
    std::byte* out_;
    std::size_t count_ = 0;
    std::size_t packed_ = 0;
    // 63 that wait, a chunk of new ones, and what compress_64 writes beyond.
    Signed codes_[static_cast<std::size_t>(map_chunk) + 2 * pack_block];
};

/// The parts of one range.
struct smaq_range {
    std::vector<std::uint64_t, unset_allocator<std::uint64_t>> flags;
    std::vector<std::byte, unset_allocator<std::byte>> main, outlier;
    std::int64_t main_bits = 0, outlier_bits = 0;
};

inline constexpr extent smaq_range_elements = 64 * map_chunk;

/// Packs elements [begin, end) of x, which `elements` (a smaq_simulation) codes.
template <class Signed, class Elements>
smaq_range smaq_pack_range(const float* x, extent begin, extent end, const smaq_widths& widths,
                           const Elements& elements) {
    const std::size_t blocks =
        (static_cast<std::size_t>(end - begin) + mask_block - 1) / mask_block;
    smaq_range out;
    out.flags.resize(blocks);
    out.main.resize((blocks + 1) * 8 * static_cast<std::size_t>(widths.main));
    out.outlier.resize((blocks + 1) * 8 * static_cast<std::size_t>(widths.outlier));
    smaq_code_queue<Signed> main(widths.main, elements.levels(false), false, out.main.data());
    smaq_code_queue<Signed> outlier(widths.outlier, elements.levels(true), true,
                                    out.outlier.data());
    alignas(64) Signed codes[map_chunk];
    for (extent from = begin; from < end; from += map_chunk) {
        const extent count = std::min(map_chunk, end - from);
        std::uint64_t* const flags =
            out.flags.data() + static_cast<std::size_t>(from - begin) / mask_block;
        elements.signed_codes(x, from, from + count, codes, flags);
        main.put(codes, count, flags);
        outlier.put(codes, count, flags);
    }
    out.main_bits = main.finish();
    out.outlier_bits = outlier.finish();
    return out;
}

/// Packs the elements of x, which `elements` codes, into `out`.
template <class Elements>
void smaq_encode(std::span<const float> x, const smaq_widths& widths, const smaq_params& p,
                 packed_tensor& out, const Elements& elements) {
    const extent n = static_cast<extent>(x.size());
    const extent count = (n + smaq_range_elements - 1) / smaq_range_elements;
    std::vector<smaq_range> ranges(static_cast<std::size_t>(count));
    const bool bytes = widths.main <= 8 && widths.outlier <= 8;
    parallel_for(count, 1, 32 * smaq_range_elements, [&](extent begin, extent end) {
        for (extent r = begin; r < end; ++r) {
            const extent from = r * smaq_range_elements;
            const extent to = std::min(n, from + smaq_range_elements);
            ranges[static_cast<std::size_t>(r)] =
                bytes ? smaq_pack_range<std::int8_t>(x.data(), from, to, widths, elements)
                      : smaq_pack_range<std::int32_t>(x.data(), from, to, widths, elements);
        }
    });
    const auto words_of = [](float v) { return std::bit_cast<std::uint32_t>(v); };
    const std::uint64_t statistics = words_of(p.mean) | std::uint64_t{words_of(p.deviation)} << 32;
    std::vector<bit_string> strings;
    strings.reserve(3 * ranges.size() + 1);
    for (extent r = 0; r < count; ++r) {
        const smaq_range& range = ranges[static_cast<std::size_t>(r)];
        strings.push_back({reinterpret_cast<const std::byte*>(range.flags.data()),
                           std::min(n - r * smaq_range_elements, smaq_range_elements)});
    }
    for (const smaq_range& range : ranges)
        strings.push_back({range.main.data(), range.main_bits});
    for (const smaq_range& range : ranges)
        strings.push_back({range.outlier.data(), range.outlier_bits});
    strings.push_back({reinterpret_cast<const std::byte*>(&statistics), 64});
    out.bits = 0;
    for (const bit_string& s : strings)
        out.bits += s.bits;
    out.bytes.resize(static_cast<std::size_t>((out.bits + 7) / 8));
    static_cast<void>(join_bits(strings, out.bytes.data()));
}

/// Codes of all elements in order, bit 15 the outlier flag.
template <class Elements>
void smaq_symbols(std::span<const float> x, const smaq_widths& widths, const Elements& elements,
                  std::span<std::uint16_t> out) {
    parallel_for(static_cast<extent>(x.size()), map_chunk, 32, [&](extent begin, extent end) {
        std::int32_t codes[map_chunk];
        std::uint64_t flags[static_cast<std::size_t>(map_chunk) / mask_block];
        for (extent from = begin; from < end; from += map_chunk) {
            const extent to = std::min(from + map_chunk, end);
            elements.signed_codes(x.data(), from, to, codes, flags);
            for (extent i = 0; i < to - from; ++i) {
                const bool far = (flags[i / 64] >> (i % 64) & 1) != 0;
                const std::uint32_t sign = 1U << ((far ? widths.outlier : widths.main) - 1);
                const std::uint32_t code =
                    smaq_code(codes[i], elements.levels(far), sign, far ? sign : 0U);
                out[static_cast<std::size_t>(from + i)] =
                    static_cast<std::uint16_t>(code | (far ? 0x8000U : 0U));
            }
        }
    });
}

}  // namespace tare::detail
