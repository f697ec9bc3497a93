#pragma once
// SPDX-License-Identifier: MIT
// ggml's oldest block formats: 32 elements share a half-precision scale.
//
//   Q4_0  v = the element of largest magnitude, d = v / -8, code = min(15, int(x/d + 8.5)),
//         value = (code - 8) half(d)
//   Q8_0  d = largest magnitude / 127, code = round_half_away(x/d), value = code half(d)
//
// Codes use d in float32, values d as stored. A scale beyond half precision (65504) saturates, a
// scale below it (2^-25) makes the block zero. NaN becomes 0; infinities get the outermost code
// and do not touch the scale. Source: ggml, as described in its quantization source.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>

#include <tare/formats/fp16.hpp>
#include <tare/quantize/block_elements.hpp>
#include <tare/quantize/block_quotient.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/granularity.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// Scale of a block, before and after its rounding to half precision.
struct ggml_group {
    float exact = 0.0F;
    float inverse = 0.0F;    ///< detail::block_inverse(exact)
    float value = 0.0F;      ///< of `half`
    std::uint16_t half = 0;  ///< what is stored
    friend bool operator==(const ggml_group&, const ggml_group&) = default;
};

namespace detail {

/// The finite element of largest magnitude with its sign; of several, the first.
[[nodiscard, gnu::always_inline]] inline float first_extreme(std::span<const float> x) noexcept {
    // As signed integers, the patterns of negative numbers lie below all others; as unsigned ones,
    // above them, ordered by magnitude.
    std::int32_t positive = 0;
    std::uint32_t negative = 0;
    const float* const data = x.data();
    for (std::size_t i = 0; i < x.size(); ++i) {
        const auto pattern = std::bit_cast<std::uint32_t>(data[i]);
        const auto number = static_cast<std::int32_t>(pattern);
        positive = number > positive ? number : positive;
        negative = pattern > negative ? pattern : negative;
    }
    const std::int32_t below =
        negative > 0x80000000U ? static_cast<std::int32_t>(negative & 0x7FFFFFFFU) : 0;
    const bool finite = positive < infinity_pattern && below < infinity_pattern;
    if (finite && positive != below) [[likely]]
        return positive > below ? std::bit_cast<float>(positive) : -std::bit_cast<float>(below);
    float extreme = 0.0F;
    for (const float v : x)
        if (is_finite(v) && std::fabs(v) > std::fabs(extreme)) extreme = v;
    return extreme;
}

}  // namespace detail

/// 4 bits: the element of largest magnitude becomes -8. int(v + 8.5) within 0 to 15, NaN as 8.
struct q4_0_levels {
    static constexpr std::string_view name = "q4_0";
    static constexpr int bits = 4;
    [[gnu::always_inline]] static float scale(std::span<const float> x) noexcept {
        return detail::first_extreme(x) / -8.0F;
    }
    /// Codes of quotients from -widest to widest; the integers that they stand for.
    static constexpr float widest = 8.0F;
    [[gnu::always_inline]] static simd::ints codes(simd::floats v) noexcept {
        return simd::truncate_to_int(simd::min(v + simd::broadcast(8.5F), simd::broadcast(15.5F)));
    }
    [[gnu::always_inline]] static simd::floats integers(simd::floats v) noexcept {
        return simd::to_floats(codes(v)) - simd::broadcast(8.0F);
    }
    /// The same for any quotient.
    static std::int32_t rounded(float v) noexcept {
        // Beyond 16 every code is the outermost one.
        const auto whole = static_cast<std::int32_t>(detail::bounded(v, 16.0F) + 8.5F);
        return std::clamp(whole, 0, 15) - 8;
    }
    static constexpr std::uint32_t code(std::int32_t q) noexcept {
        return static_cast<std::uint32_t>(q + 8);
    }
    static constexpr std::int32_t integer(std::uint32_t code) noexcept {
        return static_cast<std::int32_t>(code) - 8;
    }
};

/// 8 bits, two's complement: half away from zero, within -127 to 127, NaN as 0.
struct q8_0_levels {
    static constexpr std::string_view name = "q8_0";
    static constexpr int bits = 8;
    [[gnu::always_inline]] static float scale(std::span<const float> x) noexcept {
        return largest_magnitude(x) / 127.0F;
    }
    static constexpr float widest = 127.0F;
    [[gnu::always_inline]] static simd::ints codes(simd::floats v) noexcept {
        return whole(v) & simd::ints(0xFF);
    }
    [[gnu::always_inline]] static simd::floats integers(simd::floats v) noexcept {
        return simd::to_floats(whole(v));
    }
    static std::int32_t rounded(float v) noexcept {
        // Bounded first, because the bound is an integer.
        return detail::nearest_away_integer(detail::bounded(v, 127.0F));
    }
    static constexpr std::uint32_t code(std::int32_t q) noexcept {
        return static_cast<std::uint32_t>(q) & 0xFFU;
    }
    static constexpr std::int32_t integer(std::uint32_t code) noexcept {
        return from_twos_complement(code, 8);
    }

  private:
    // Half away from zero: where the largest number below 1/2 is added, the sum reaches the next
    // integer from the middle on and not before.
    [[gnu::always_inline]] static simd::ints whole(simd::floats v) noexcept {
        return simd::truncate_to_int(v + simd::with_sign_of(simd::broadcast(0x1.FFFFFEp-2F), v));
    }
};

/// Blocks of 32 with a 16-bit scale; `Levels` says how the scale follows from the elements and
/// which integers and codes there are. Gradient: identity.
/// Storage: Levels::bits per element and 16 bits per block.
template <class Levels>
class ggml_blocks : public grouped_quantizer<ggml_blocks<Levels>, ggml_group> {
  public:
    static constexpr std::string_view name = Levels::name;
    static constexpr extent block = 32;

    ggml_blocks() = default;
    /// `columns`: length of a row, 0 for one long row; blocks start anew at every row.
    explicit ggml_blocks(extent columns) : rows_{columns} {}

    [[nodiscard]] constexpr extent group_size(extent) const noexcept { return block; }
    [[nodiscard]] constexpr extent row_length(extent n) const { return rows_.row_length(n); }
    [[nodiscard]] constexpr int code_bits() const noexcept { return Levels::bits; }
    [[nodiscard]] constexpr int group_bits() const noexcept { return 16; }
    [[nodiscard, gnu::always_inline]] ggml_group fit_group(std::span<const float> x) const {
        return {.exact = Levels::scale(x)};
    }
    /// Rounds the scales, many at once; they saturate.
    void finish_groups(ggml_group* groups, extent count) const {
        constexpr extent most = 64;
        for (extent from = 0; from < count; from += most) {
            const extent some = std::min(most, count - from);
            ggml_group* const group = groups + from;
            float exact[most];
            float inverse[most];
            float value[most];
            std::uint16_t half[most];
            for (extent g = 0; g < some; ++g)
                exact[g] = group[g].exact;
#pragma omp simd
            for (extent g = 0; g < some; ++g) {
                exact[g] = detail::bounded(exact[g], 65504.0F);
                inverse[g] = detail::block_inverse(exact[g]);
                half[g] = fp16::encode(exact[g]);
                value[g] = fp16::decode(half[g]);
            }
            for (extent g = 0; g < some; ++g)
                group[g] = {exact[g], inverse[g], value[g], half[g]};
        }
    }
    template <class Code>
    [[gnu::always_inline]] void encode_values(const float* x, extent n, const ggml_group& group,
                                              Code* codes) const {
        const extent done = detail::for_quotients(
            x, n, group.exact, group.inverse, Levels::widest, [=](simd::floats v, extent i) {
                static_assert(sizeof(Code) == sizeof(float));
                const simd::floats bits = simd::as_floats(Levels::codes(v));
                std::memcpy(codes + i, &bits, sizeof bits);
            });
        const float divisor = divisor_of(group);
#pragma omp simd
        for (extent i = done; i < n; ++i)
            codes[i] = static_cast<Code>(Levels::code(Levels::rounded(x[i] / divisor)));
    }
    template <class Code>
    [[gnu::always_inline]] void decode_values(const Code* codes, extent n, const ggml_group& group,
                                              float* y) const {
        const float d = group.value;
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            y[i] = static_cast<float>(Levels::integer(codes[i])) * d;
    }
    [[gnu::always_inline]] void fake_block(const float* x, float* y, extent n,
                                           const ggml_group& group) const {
        const float d = group.value;
        const extent done = detail::for_quotients(
            x, n, group.exact, group.inverse, Levels::widest, [=](simd::floats v, extent i) {
                simd::store(y + i, Levels::integers(v) * simd::broadcast(d));
            });
        const float divisor = divisor_of(group);
#pragma omp simd
        for (extent i = done; i < n; ++i)
            y[i] = static_cast<float>(Levels::rounded(x[i] / divisor)) * d;
    }

    void pack_groups(const ggml_group* groups, extent count, std::byte* to) const {
        static_assert(std::endian::native == std::endian::little);
        for (extent g = 0; g < count; ++g)
            std::memcpy(to + 2 * g, &groups[g].half, 2);
    }
    void put_group(code_writer& out, const ggml_group& group) const {
        out.put(group.half, 16);
    }
    [[nodiscard]] ggml_group get_group(code_reader& in) const {
        const auto half = static_cast<std::uint16_t>(in.get(16));
        const float d = fp16::decode(half);
        in.check(is_finite(d), "a block scale of ", d,
                 " in the stream; it must be finite, the stream is damaged");
        return {d, 0.0F, d, half};
    }

  private:
    /// What to divide by: without a scale every quotient is 0, or a NaN, which is taken for 0.
    [[nodiscard]] static float divisor_of(const ggml_group& group) noexcept {
        return group.exact == 0.0F ? std::numeric_limits<float>::infinity() : group.exact;
    }

    row_blocks rows_;
};

/// 4.5 bits per element.
using q4_0 = ggml_blocks<q4_0_levels>;
/// 8.5 bits per element.
using q8_0 = ggml_blocks<q8_0_levels>;

static_assert(packing_quantizer<q4_0> && packing_quantizer<q8_0>);

}  // namespace tare
