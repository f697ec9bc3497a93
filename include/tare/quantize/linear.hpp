#pragma once
// SPDX-License-Identifier: MIT
// Linear quantizers: codes are integers on a uniform grid. `Range` says which integers and how the
// scale follows from the values; `Granularity` says which elements share a scale.
//
//   symmetric_levels   n = 2^(b-1)-1, scale = (1/m) n, q = round_half_even(scale x) in [-n, n],
//                     value = q / scale; m the largest magnitude            (MIT-HAN-Lab 2019)
//   full_levels        n = (2^b-1)/2, scale = n/m, q clamped to [-2^(b-1), 2^(b-1)-1]     (later
//   Distiller) stored_range      codes as symmetric_levels, value = q cut(1/scale): every value
//   exact in float32 affine_range      scale = (2^b-1)/(high-low), q = round_half_even(scale x) +
//   zero in [0, 2^b-1]
//
// Scale is a factor from value to code, in float32. The symmetric one takes two roundings, the
// reciprocal first, then times n; its last bit depends on it. A group whose range is 0, or so small
// (below n / FLT_MAX) that the scale overflows, gets scale 1 and becomes zeros. NaN gets the code
// of zero; infinities get the outermost codes and do not touch the scale; -0 comes back as +0.

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include <tare/core/elementwise.hpp>
#include <tare/core/error.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/granularity.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// Parameters of one group.
struct linear_group {
    float scale = 1.0F;  ///< codes per unit of value
    float step = 1.0F;   ///< value of one code; only stored_range multiplies by it
    float zero = 0.0F;   ///< code of the value 0; 0 unless affine
    friend bool operator==(const linear_group&, const linear_group&) = default;
};

/// v with all but its upper 32 - bits bits zeroed, so that a product with an integer of `bits` bits
/// is exact in float32.
[[nodiscard]] constexpr float cut(float v, int bits) noexcept {
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(v) & ~((1U << bits) - 1U));
}

/// A scale that can be used: 1 in the place of one without a finite value (a range that is 0 or
/// tiny), and moved up where the outermost code would decode beyond FLT_MAX (only for a range
/// within a step of it).
[[nodiscard]] inline float usable_scale(float scale, float outermost) noexcept {
    if (!is_finite(scale)) return 1.0F;
    if (is_finite(outermost / scale)) return scale;
    scale = outermost / std::numeric_limits<float>::max();
    while (!is_finite(outermost / scale))
        scale = std::nextafter(scale, 1.0F);
    return scale;
}

struct symmetric_levels {
    static constexpr std::string_view name = "linear_symmetric";
    static constexpr bool has_zero = false;
    static constexpr bool multiplies = false;
    static constexpr float low(int bits) noexcept { return -high(bits); }
    static constexpr float high(int bits) noexcept {
        return static_cast<float>((1 << (bits - 1)) - 1);
    }
    static linear_group fit(std::span<const float> x, int bits) {
        return from_magnitude(largest_magnitude(x), bits);
    }
    /// Parameters for a range known beforehand, m >= 0.
    static linear_group from_magnitude(float m, int bits) {
        const float scale = usable_scale((1.0F / m) * high(bits), high(bits));
        return {scale, 1.0F / scale, 0.0F};
    }
};

struct full_levels {
    static constexpr std::string_view name = "linear_full_range";
    static constexpr bool has_zero = false;
    static constexpr bool multiplies = false;
    static constexpr float low(int bits) noexcept { return -static_cast<float>(1 << (bits - 1)); }
    static constexpr float high(int bits) noexcept {
        return static_cast<float>((1 << (bits - 1)) - 1);
    }
    static linear_group fit(std::span<const float> x, int bits) {
        const float n = static_cast<float>((1 << bits) - 1) / 2.0F;
        const float scale = usable_scale(n / largest_magnitude(x), -low(bits));
        return {scale, 1.0F / scale, 0.0F};
    }
};

struct stored_range {
    static constexpr std::string_view name = "linear_stored";
    static constexpr bool has_zero = false;
    static constexpr bool multiplies = true;
    static constexpr float low(int bits) noexcept { return symmetric_levels::low(bits); }
    static constexpr float high(int bits) noexcept { return symmetric_levels::high(bits); }
    static linear_group fit(std::span<const float> x, int bits) {
        linear_group group = symmetric_levels::fit(x, bits);
        group.step = cut(group.step, bits);
        return group;
    }
};

struct affine_range {
    static constexpr std::string_view name = "linear_affine";
    static constexpr bool has_zero = true;
    static constexpr bool multiplies = false;
    static constexpr float low(int) noexcept { return 0.0F; }
    static constexpr float high(int bits) noexcept { return static_cast<float>((1 << bits) - 1); }
    static linear_group fit(std::span<const float> x, int bits) {
        return from_extremes(range_of(x), bits);
    }
    /// Parameters for a range known beforehand; it is widened to contain 0, which has a code.
    static linear_group from_extremes(extremes range, int bits) {
        const double low_value = range.low < 0.0F ? static_cast<double>(range.low) : 0.0;
        const double high_value = range.high > 0.0F ? static_cast<double>(range.high) : 0.0;
        const auto scale =
            static_cast<float>(static_cast<double>(high(bits)) / (high_value - low_value));
        if (!is_finite(scale)) return {};
        const auto zero = std::nearbyint(-low_value * static_cast<double>(scale));
        return {scale, 1.0F / scale, static_cast<float>(zero)};
    }
};

/// Quantizer with integer codes of 2 to 16 bits.
/// Rounding: half to even. Gradient: identity (the scale counts as a constant).
/// Accuracy: |value - x| <= half a step for finite x, plus the rounding of one division.
/// Storage: bits per element; 32 bits of scale per group, and the zero point in `bits` bits if
/// affine.
/// Source: the pinned Distiller fork of the MIT-HAN-Lab entry, MicroNet challenge 2019.
template <class Range = symmetric_levels, granularity Granularity = per_tensor>
class linear_quantizer
    : public grouped_quantizer<linear_quantizer<Range, Granularity>, linear_group> {
  public:
    static constexpr std::string_view name = Range::name;

    linear_quantizer() = default;
    /// Throws unless 2 <= bits <= 16.
    explicit linear_quantizer(int bits, Granularity granularity = {})
        : bits_(bits), granularity_(granularity) {
        require(bits >= 2 && bits <= 16, name, ": ", bits, " bits; choose 2 to 16");
    }

    [[nodiscard]] constexpr int bits() const noexcept { return bits_; }
    [[nodiscard]] constexpr const Granularity& groups() const noexcept { return granularity_; }

    /// The integer of one value, as the formula above says. The plain reference of the fast loops.
    [[nodiscard]] float quantize(float x, const linear_group& group) const noexcept {
        const float q = std::nearbyint(group.scale * x) + group.zero;
        if (!(q == q)) return group.zero;
        const float low = Range::low(bits_);
        const float high = Range::high(bits_);
        return q < low ? low : (q > high ? high : q);
    }
    /// The value of one integer.
    [[nodiscard]] float dequantize(float q, const linear_group& group) const noexcept {
        const float centred = q - group.zero;
        if constexpr (Range::multiplies) return centred * group.step;
        const float value = centred / group.scale;
        constexpr float most = std::numeric_limits<float>::max();
        if constexpr (Range::has_zero) return value > most ? most : (value < -most ? -most : value);
        return value;
    }

    // What grouped_quantizer asks for.
    static constexpr extent block = fixed_group_size<Granularity>;
    [[nodiscard]] constexpr extent group_size(extent n) const { return granularity_.group_size(n); }
    [[nodiscard]] constexpr int code_bits() const noexcept { return bits_; }
    [[nodiscard]] constexpr int group_bits() const noexcept {
        return Range::has_zero ? 32 + bits_ : 32;
    }
    [[nodiscard]] linear_group fit_group(std::span<const float> x) const {
        return Range::fit(x, bits_);
    }

    template <class Code>
    [[gnu::always_inline]] void encode_values(const float* x, extent n, const linear_group& group,
                                              Code* codes) const {
        const float scale = group.scale;
        const float zero = group.zero;
        const float low = Range::low(bits_);
        const float high = Range::high(bits_);
        const auto mask = static_cast<std::uint32_t>(low_mask(bits_));
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            codes[i] =
                static_cast<std::uint16_t>(static_cast<std::uint32_t>(static_cast<std::int32_t>(
                                               inside(scale * x[i], zero, low, high))) &
                                           mask);
    }
    template <class Code>
    [[gnu::always_inline]] void decode_values(const Code* codes, extent n,
                                              const linear_group& group, float* y) const {
        const linear_group by = group;
        const int unused = 32 - bits_;
#pragma omp simd
        for (extent i = 0; i < n; ++i) {
            const std::uint32_t code = codes[i];
            const auto q = Range::has_zero ? static_cast<std::int32_t>(code)
                                           : static_cast<std::int32_t>(code << unused) >> unused;
            y[i] = dequantize(static_cast<float>(q), by);
        }
    }
    void fake_values(const float* x, float* y, extent begin, extent end, bool stream,
                     const linear_group& group) const {
        const simd::floats scale = simd::broadcast(group.scale);
        const simd::divisor divisor(scale);
        const simd::floats step = simd::broadcast(group.step);
        const simd::floats zero = simd::broadcast(group.zero);
        const simd::floats low = simd::broadcast(Range::low(bits_));
        const simd::floats high = simd::broadcast(Range::high(bits_));
        const simd::floats most = simd::broadcast(std::numeric_limits<float>::max());
        map_elements(x, y, begin, end, stream, [=](simd::floats v, extent) {
            // Adding zero (affine or not) turns -0 into +0, as a trip through an integer does.
            simd::floats q = simd::nearbyint(scale * v) + zero;
            q = simd::clamp(simd::unless_nan(q, zero), low, high) - zero;
            if constexpr (Range::multiplies) return q * step;
            q = simd::divide_finite(q, divisor);
            if constexpr (Range::has_zero) q = simd::clamp(q, -most, most);
            return q;
        });
    }

    /// The same on short groups.
    [[gnu::always_inline]] void fake_block(const float* x, float* y, extent n,
                                           const linear_group& group) const {
        const linear_group by = group;
        const float low = Range::low(bits_);
        const float high = Range::high(bits_);
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            y[i] = dequantize(inside(by.scale * x[i], by.zero, low, high), by);
    }

    void put_group(code_writer& out, const linear_group& group) const {
        out.put_float(Range::multiplies ? group.step : group.scale);
        if constexpr (Range::has_zero) out.put(static_cast<std::uint64_t>(group.zero), bits_);
    }
    [[nodiscard]] linear_group get_group(code_reader& in) const {
        linear_group group;
        float& factor = Range::multiplies ? group.step : group.scale;
        factor = in.get_float();
        require(is_finite(factor) && factor > 0.0F, name, ": a scale of ", factor,
                " in the stream; it must be positive and finite, the stream is damaged");
        if constexpr (Range::has_zero) group.zero = static_cast<float>(in.get(bits_));
        return group;
    }

  private:
    // The integer of a scaled value, NaN the code of zero.
    [[nodiscard]] static float inside(float scaled, float zero, float low, float high) noexcept {
        const float q = std::nearbyint(scaled) + zero;
        const float number = q == q ? q : zero;
        const float above = number > low ? number : low;
        return above < high ? above : high;
    }

    int bits_ = 8;
    Granularity granularity_{};
};

static_assert(packing_quantizer<linear_quantizer<>> &&
              differentiable_quantizer<linear_quantizer<>>);

}  // namespace tare
