#pragma once
// SPDX-License-Identifier: MIT
// MX block formats: 32 elements of a narrow format share a power of two, stored as E8M0 (exponent
// plus 127; 255 is NaN). Element = round(x / 2^s) saturated; value = element 2^s. The shared
// exponent s follows from the block's largest magnitude m and the element's largest power of two
// 2^emax by a rule:
//
//   scale_floor  floor(log2 m) - emax        the standard's; large elements saturate
//   scale_ceil   ceil(log2 m) - emax
//   scale_even   floor(log2 m') - emax, m' = m rounded to the element's mantissa
//   scale_rceil  ceil(log2(m / element_max)) the smallest scale without saturation
//
// m = 0 or an s below -127 gives -127. A NaN makes its block NaN (scale 255), as the formats
// without NaN codes have no other way; infinities saturate and do not touch the scale, unless the
// option says that they poison the block too.
// Source: OCP Microscaling Formats (MX) Specification 1.0 (2023), sections 5 and 6; the scale rules
// as in microsoft/microxcaling and pytorch/ao.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

#include <tare/core/error.hpp>
#include <tare/formats/fp6.hpp>
#include <tare/formats/fp8.hpp>
#include <tare/formats/rounding.hpp>
#include <tare/quantize/block_elements.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/granularity.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// MXINT8's element: an integer in [-127, 127] over 64. -128 is read as -2 and never written. NaN
/// is written as 0.
template <class Rounding = nearest_even>
struct mx_int8_element {
    static constexpr std::string_view name = "mx_int8_element";
    static constexpr int bits = 8;
    static constexpr int mantissa_bits = 6;
    static constexpr bool exact_in_fp32 = true;
    static constexpr bool standalone_sign = false;
    using code_type = std::uint8_t;
    template <rounding_policy R>
    using with_rounding = mx_int8_element<R>;

    static code_type encode(float x) noexcept {
        return static_cast<code_type>(static_cast<std::uint32_t>(integer(x)) & 0xFFU);
    }
    static constexpr float decode(code_type code) noexcept {
        return static_cast<float>(static_cast<std::int8_t>(code)) / 64.0F;
    }
    /// What survives encode and decode.
    static float round(float x) noexcept { return static_cast<float>(integer(x)) / 64.0F; }
    static constexpr float max_value() noexcept { return 127.0F / 64.0F; }

  private:
    static std::int32_t integer(float x) noexcept {
        // Bounded first: the bound is an integer.
        const float inside = detail::bounded(x * 64.0F, 127.0F);
        if constexpr (std::is_same_v<Rounding, nearest_away>)
            return detail::nearest_away_integer(inside);
        return static_cast<std::int32_t>(std::nearbyint(inside));
    }
};

struct scale_floor {
    template <class Element>
    static int exponent(float m, int emax) noexcept {
        return detail::floor_log2(m) - emax;
    }
};
struct scale_ceil {
    template <class Element>
    static int exponent(float m, int emax) noexcept {
        const int below = detail::floor_log2(m);
        return below + (std::ldexp(1.0, below) < static_cast<double>(m) ? 1 : 0) - emax;
    }
};
struct scale_even {
    template <class Element>
    static int exponent(float m, int emax) noexcept {
        // Half a unit of the element's last place carries into the exponent or does not.
        const int below = detail::floor_log2(m);
        const double carried =
            static_cast<double>(m) + std::ldexp(0.5, below - Element::mantissa_bits);
        return below + (carried >= std::ldexp(2.0, below) ? 1 : 0) - emax;
    }
};
struct scale_rceil {
    template <class Element>
    static int exponent(float m, int) noexcept {
        const double ratio = static_cast<double>(m) / static_cast<double>(Element::max_value());
        const int below = std::ilogb(ratio);
        return below + (std::ldexp(1.0, below) < ratio ? 1 : 0);
    }
};

/// The stored scale of a block: s + 127, or 255 for NaN.
struct mx_group {
    std::uint8_t scale = 0;
    friend bool operator==(const mx_group&, const mx_group&) = default;
};

/// Block format with elements of `Element`.
/// Gradient: identity. Accuracy: as the public emulator's, bit for bit, for scale_floor.
/// Storage: Element::bits per element and 8 bits per block of 32; blocks start anew at every row if
/// the row length is given, and the last block of a row may be short.
template <numeric_format Element, class ScaleRule = scale_floor>
class mx : public grouped_quantizer<mx<Element, ScaleRule>, mx_group> {
  public:
    static constexpr std::string_view name = Element::name;
    static constexpr extent block = 32;
    using element_type = Element;
    static_assert(Element::bits <= 16, "mx: elements of at most 16 bits");

    mx() = default;
    /// `columns`: length of a row, 0 for one long row. `infinity_is_nan`: a block with an infinity
    /// becomes NaN too.
    explicit mx(extent columns, bool infinity_is_nan = false)
        : rows_{columns}, infinity_is_nan_(infinity_is_nan) {}

    [[nodiscard]] constexpr extent group_size(extent) const noexcept { return block; }
    [[nodiscard]] constexpr extent row_length(extent n) const { return rows_.row_length(n); }
    [[nodiscard]] constexpr int code_bits() const noexcept { return Element::bits; }
    [[nodiscard]] constexpr int group_bits() const noexcept { return 8; }

    [[nodiscard, gnu::always_inline]] mx_group fit_group(std::span<const float> x) const {
        const std::int32_t pattern =
            detail::largest_pattern(x.data(), static_cast<extent>(x.size()));
        if (pattern >= detail::infinity_pattern) [[unlikely]]
            return fit_unusual(x);
        return group_of(std::bit_cast<float>(pattern));
    }
    template <class Code>
    [[gnu::always_inline]] void encode_values(const float* x, extent n, const mx_group& group,
                                              Code* codes) const {
        if (group.scale == nan_scale) {
            std::fill_n(codes, n, Code{0});
            return;
        }
        elements::encode(x, n, inward(group), codes);
    }
    [[gnu::always_inline]] void scale_values(const float* values, extent n, const mx_group& group,
                                             float* y) const {
        elements::scale(values, n, outward(group), y);
    }
    [[gnu::always_inline]] void fake_block(const float* x, float* y, extent n,
                                           const mx_group& group) const {
        elements::round(x, y, n, inward(group), outward(group));
    }
    void pack_groups(const mx_group* groups, extent count, std::byte* to) const {
        for (extent g = 0; g < count; ++g)
            to[g] = static_cast<std::byte>(groups[g].scale);
    }
    void put_group(code_writer& out, const mx_group& group) const { out.put(group.scale, 8); }
    [[nodiscard]] mx_group get_group(code_reader& in) const {
        return {static_cast<std::uint8_t>(in.get(8))};
    }

  private:
    using elements = detail::block_elements<Element>;
    static constexpr std::uint8_t nan_scale = 255;
    static constexpr int emax = detail::floor_log2(Element::max_value());

    static mx_group group_of(float m) noexcept {
        if (m == 0.0F) return {0};
        const int s = ScaleRule::template exponent<Element>(m, emax);
        return {static_cast<std::uint8_t>(std::clamp(s, -127, 127) + 127)};
    }
    [[gnu::noinline]] mx_group fit_unusual(std::span<const float> x) const {
        for (const float v : x)
            if (v != v || (infinity_is_nan_ && !is_finite(v))) return {nan_scale};
        return group_of(largest_magnitude(x));
    }
    // 2^-s and 2^s: a float32 for every s, and any factor will do where the result is NaN.
    static float inward(const mx_group& group) noexcept {
        return detail::power_of_two(127 - group.scale);
    }
    static float outward(const mx_group& group) noexcept {
        return group.scale == nan_scale ? std::numeric_limits<float>::quiet_NaN()
                                        : detail::power_of_two(group.scale - 127);
    }

    row_blocks rows_;
    bool infinity_is_nan_ = false;
};

template <class ScaleRule = scale_floor>
struct mxfp8_e4m3 : mx<fp8_e4m3, ScaleRule> {
    static constexpr std::string_view name = "mxfp8_e4m3";
    using mx<fp8_e4m3, ScaleRule>::mx;
};
template <class ScaleRule = scale_floor>
struct mxfp8_e5m2 : mx<fp8_e5m2, ScaleRule> {
    static constexpr std::string_view name = "mxfp8_e5m2";
    using mx<fp8_e5m2, ScaleRule>::mx;
};
template <class ScaleRule = scale_floor>
struct mxfp6_e3m2 : mx<fp6_e3m2, ScaleRule> {
    static constexpr std::string_view name = "mxfp6_e3m2";
    using mx<fp6_e3m2, ScaleRule>::mx;
};
template <class ScaleRule = scale_floor>
struct mxfp6_e2m3 : mx<fp6_e2m3, ScaleRule> {
    static constexpr std::string_view name = "mxfp6_e2m3";
    using mx<fp6_e2m3, ScaleRule>::mx;
};
template <class ScaleRule = scale_floor>
struct mxfp4 : mx<fp4_e2m1, ScaleRule> {
    static constexpr std::string_view name = "mxfp4";
    using mx<fp4_e2m1, ScaleRule>::mx;
};
template <class ScaleRule = scale_floor>
struct mxint8 : mx<mx_int8_element<>, ScaleRule> {
    static constexpr std::string_view name = "mxint8";
    using mx<mx_int8_element<>, ScaleRule>::mx;
};

static_assert(packing_quantizer<mxfp8_e4m3<>> && packing_quantizer<mxint8<>>);

}  // namespace tare
