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

#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>

#include <tare/formats/fp16.hpp>
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

/// What both formats share: blocks of 32, a 16-bit scale.
template <class Derived>
class ggml_quantizer : public grouped_quantizer<Derived, ggml_group> {
  public:
    ggml_quantizer() = default;
    /// `columns`: length of a row, 0 for one long row; blocks start anew at every row.
    explicit ggml_quantizer(extent columns) : rows_{columns} {}

    [[nodiscard]] constexpr extent group_size(extent) const noexcept { return 32; }
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
    [[nodiscard]] ggml_group fit_group(std::span<const float> x) const {
        float extreme = 0.0F;
        for (const float v : x)
            if (is_finite(v) && std::fabs(v) > std::fabs(extreme)) extreme = v;
        return detail::ggml_scale(extreme / -8.0F);
    }
    void encode_values(const float* x, extent n, const ggml_group& group,
                       std::uint16_t* codes) const {
        for (extent i = 0; i < n; ++i) {
            const float v = group.exact == 0.0F ? 8.5F : x[i] / group.exact + 8.5F;
            const float bounded = v > 15.0F ? 15.0F : (v > 0.0F ? v : 0.0F);
            codes[i] = static_cast<std::uint16_t>(v == v ? bounded : 8.0F);
        }
    }
    void decode_values(const std::uint16_t* codes, extent n, const ggml_group& group,
                       float* y) const {
        const float d = fp16::decode(group.half);
        for (extent i = 0; i < n; ++i)
            y[i] = static_cast<float>(static_cast<int>(codes[i]) - 8) * d;
    }
};

/// 8.5 bits per element. Gradient: identity.
class q8_0 : public detail::ggml_quantizer<q8_0> {
  public:
    static constexpr std::string_view name = "q8_0";
    using detail::ggml_quantizer<q8_0>::ggml_quantizer;

    [[nodiscard]] constexpr int code_bits() const noexcept { return 8; }
    [[nodiscard]] ggml_group fit_group(std::span<const float> x) const {
        return detail::ggml_scale(largest_magnitude(x) / 127.0F);
    }
    void encode_values(const float* x, extent n, const ggml_group& group,
                       std::uint16_t* codes) const {
        for (extent i = 0; i < n; ++i) {
            const float v = group.exact == 0.0F ? 0.0F : std::round(x[i] / group.exact);
            const float bounded = v > 127.0F ? 127.0F : (v < -127.0F ? -127.0F : v);
            const auto q = static_cast<std::int32_t>(v == v ? bounded : 0.0F);
            codes[i] = static_cast<std::uint16_t>(static_cast<std::uint32_t>(q) & 0xFFU);
        }
    }
    void decode_values(const std::uint16_t* codes, extent n, const ggml_group& group,
                       float* y) const {
        const float d = fp16::decode(group.half);
        for (extent i = 0; i < n; ++i)
            y[i] = static_cast<float>(from_twos_complement(codes[i], 8)) * d;
    }
};

static_assert(packing_quantizer<q4_0> && packing_quantizer<q8_0>);

}  // namespace tare
