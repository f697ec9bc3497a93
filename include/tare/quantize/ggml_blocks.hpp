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

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <tare/formats/fp16.hpp>
#include <tare/quantize/block_elements.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/granularity.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// Scale of a block, before and after its rounding to half precision.
struct ggml_group {
    float exact = 0.0F;
    std::uint16_t half = 0;
    friend bool operator==(const ggml_group&, const ggml_group&) = default;
};

namespace detail {

[[nodiscard]] inline ggml_group ggml_scale(float d) noexcept {
    constexpr float most = 65504.0F;
    const float bounded = d > most ? most : (d < -most ? -most : d);
    return {bounded, fp16::encode(bounded)};
}

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

/// What both formats share: blocks of 32, a 16-bit scale.
template <class Derived>
class ggml_quantizer : public grouped_quantizer<Derived, ggml_group> {
  public:
    static constexpr extent block = 32;
    using code_type = std::uint8_t;  ///< while unpacked

    ggml_quantizer() = default;
    /// `columns`: length of a row, 0 for one long row; blocks start anew at every row.
    explicit ggml_quantizer(extent columns) : rows_{columns} {}

    [[nodiscard]] constexpr extent group_size(extent) const noexcept { return block; }
    [[nodiscard]] constexpr extent row_length(extent n) const { return rows_.row_length(n); }
    [[nodiscard]] constexpr int group_bits() const noexcept { return 16; }
    void put_group(code_writer& out, const ggml_group& group) const { out.put(group.half, 16); }
    [[nodiscard]] ggml_group get_group(code_reader& in) const {
        const auto half = static_cast<std::uint16_t>(in.get(16));
        const float d = fp16::decode(half);
        require(is_finite(d), Derived::name, ": a block scale of ", d,
                " in the stream; it must be finite, the stream is damaged");
        return {d, half};
    }

  protected:
    /// x / d, 0 where d is: a number by a divisor of 1, then forgotten.
    struct scaling {
        explicit scaling(const ggml_group& group) noexcept
            : divisor(group.exact == 0.0F ? 1.0F : group.exact), nothing(group.exact == 0.0F) {}
        [[nodiscard]] float quotient(float x) const noexcept {
            return nothing ? 0.0F : x / divisor;
        }
        float divisor;
        bool nothing;
    };

  private:
    row_blocks rows_;
};

}  // namespace detail

/// 4.5 bits per element. Gradient: identity.
class q4_0 : public detail::ggml_quantizer<q4_0> {
  public:
    static constexpr std::string_view name = "q4_0";
    using detail::ggml_quantizer<q4_0>::ggml_quantizer;

    [[nodiscard]] constexpr int code_bits() const noexcept { return 4; }
    [[nodiscard, gnu::always_inline]] ggml_group fit_group(std::span<const float> x) const {
        return detail::ggml_scale(detail::first_extreme(x) / -8.0F);
    }
    template <class Code>
    [[gnu::always_inline]] void encode_values(const float* x, extent n, const ggml_group& group,
                                              Code* codes) const {
        const scaling by(group);
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            codes[i] = static_cast<Code>(code(x[i], by));
    }
    template <class Code>
    [[gnu::always_inline]] void decode_values(const Code* codes, extent n, const ggml_group& group,
                                              float* y) const {
        const float d = fp16::decode(group.half);
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            y[i] = static_cast<float>(static_cast<std::int32_t>(codes[i]) - 8) * d;
    }
    [[gnu::always_inline]] void fake_block(const float* x, float* y, extent n,
                                           const ggml_group& group) const {
        const scaling by(group);
        const float d = fp16::decode(group.half);
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            y[i] = static_cast<float>(code(x[i], by) - 8) * d;
    }

  private:
    // int(x/d + 8.5) within 0 to 15; NaN is 8, that of zero.
    static std::int32_t code(float x, const scaling& by) noexcept {
        const float v = by.quotient(x) + 8.5F;
        const float number = v == v ? v : 8.0F;
        const float above = number > 0.0F ? number : 0.0F;
        return static_cast<std::int32_t>(above < 15.0F ? above : 15.0F);
    }
};

/// 8.5 bits per element. Gradient: identity.
class q8_0 : public detail::ggml_quantizer<q8_0> {
  public:
    static constexpr std::string_view name = "q8_0";
    using detail::ggml_quantizer<q8_0>::ggml_quantizer;

    [[nodiscard]] constexpr int code_bits() const noexcept { return 8; }
    [[nodiscard, gnu::always_inline]] ggml_group fit_group(std::span<const float> x) const {
        return detail::ggml_scale(largest_magnitude(x) / 127.0F);
    }
    template <class Code>
    [[gnu::always_inline]] void encode_values(const float* x, extent n, const ggml_group& group,
                                              Code* codes) const {
        const scaling by(group);
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            codes[i] = static_cast<Code>(static_cast<std::uint32_t>(integer(x[i], by)) & 0xFFU);
    }
    template <class Code>
    [[gnu::always_inline]] void decode_values(const Code* codes, extent n, const ggml_group& group,
                                              float* y) const {
        const float d = fp16::decode(group.half);
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            y[i] = static_cast<float>(from_twos_complement(codes[i], 8)) * d;
    }
    [[gnu::always_inline]] void fake_block(const float* x, float* y, extent n,
                                           const ggml_group& group) const {
        const scaling by(group);
        const float d = fp16::decode(group.half);
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            y[i] = static_cast<float>(integer(x[i], by)) * d;
    }

  private:
    // x/d to the nearest integer, half away from zero, within -127 to 127. Bounded first: the bound
    // is an integer, and what is left fits the conversion.
    static std::int32_t integer(float x, const scaling& by) noexcept {
        const float v = by.quotient(x);
        const float number = v == v ? v : 0.0F;
        const float below = number < 127.0F ? number : 127.0F;
        const float bounded = below > -127.0F ? below : -127.0F;
        const auto whole = static_cast<std::int32_t>(bounded);
        const float fraction = bounded - static_cast<float>(whole);  // exact
        return whole + static_cast<std::int32_t>(fraction >= 0.5F) -
               static_cast<std::int32_t>(fraction <= -0.5F);
    }
};

static_assert(packing_quantizer<q4_0> && packing_quantizer<q8_0>);

}  // namespace tare
