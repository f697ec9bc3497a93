#pragma once
// SPDX-License-Identifier: MIT
// Linear quantizers: codes are integers on a uniform grid (linear_levels.hpp). `Range` says which
// integers and how the scale follows from the values; `Granularity` says which elements share a
// scale. NaN gets the code of zero; infinities get the outermost codes and do not touch the scale;
// -0 comes back as +0.

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>

#include <tare/core/elementwise.hpp>
#include <tare/core/error.hpp>
#include <tare/lossless/bit_stream.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/granularity.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/linear_levels.hpp>

namespace tare {

/// Quantizer with integer codes of 2 to 16 bits.
/// Rounding: half to even. Gradient: identity (the scale counts as a constant).
/// Accuracy: |value - x| <= half a step for finite x, plus the roundings of one product and one
/// division; stored_range adds what its cut step is short of, up to 2^(bits-23) of the value.
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

    /// The integer of one value.
    [[nodiscard]] float quantize(float x, const linear_group& group) const noexcept {
        return integer_of<Range>(x, group, bits_);
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
    static constexpr bool by_extremes = requires { Range::from_extremes(extremes{}, 8); };
    static constexpr extent block = fixed_group_size<Granularity>;
    [[nodiscard]] constexpr extent group_size(extent n) const { return granularity_.group_size(n); }
    [[nodiscard]] constexpr int code_bits() const noexcept { return bits_; }
    [[nodiscard]] constexpr int group_bits() const noexcept {
        return Range::has_zero ? 32 + bits_ : 32;
    }
    /// Where they follow from the ends of the values: these of the values in the place of the
    /// parameters, until finish_groups() has computed those of many groups at once.
    [[nodiscard, gnu::always_inline]] linear_group fit_group(std::span<const float> x) const {
        if constexpr (by_extremes) {
            const extremes range = range_of(x);
            return {range.low, range.high, 0.0F};
        } else {
            return Range::fit(x, bits_);
        }
    }
    void finish_groups(linear_group* groups, extent count) const requires(by_extremes) {
        constexpr extent most = 64;
        for (extent from = 0; from < count; from += most) {
            const extent some = std::min(most, count - from);
            linear_group* const group = groups + from;
            // Each number in an array of its own: loops over the groups themselves would gather.
            float scale[most];
            float step[most];
            float zero[most];
            for (extent g = 0; g < some; ++g) {
                scale[g] = group[g].scale;
                step[g] = group[g].step;
            }
            const int bits = bits_;
#pragma omp simd
            for (extent g = 0; g < some; ++g) {
                const linear_group one = Range::from_extremes({scale[g], step[g]}, bits);
                scale[g] = one.scale;
                step[g] = one.step;
                zero[g] = one.zero;
            }
            for (extent g = 0; g < some; ++g)
                group[g] = {scale[g], step[g], zero[g]};
        }
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

    void pack_groups(const linear_group* groups, extent count, std::byte* to) const {
        const int width = group_bits();
        constexpr extent most = 64;
        std::byte words[most * 6 + extent{bit_writer::room}];  // of at most 48 bits each
        for (extent from = 0; from < count; from += most) {
            bit_writer out(words);
            for (extent g = from; g < std::min(from + most, count); ++g) {
                const auto factor = std::bit_cast<std::uint32_t>(factor_of(groups[g]));
                const auto zero = static_cast<std::uint64_t>(groups[g].zero);
                out.put(factor | zero << 32, width);
            }
            std::memcpy(to + from * width / 8, words, out.finish());
        }
    }
    void put_group(code_writer& out, const linear_group& group) const {
        out.put_float(factor_of(group));
        if constexpr (Range::has_zero) out.put(static_cast<std::uint64_t>(group.zero), bits_);
    }
    [[nodiscard]] linear_group get_group(code_reader& in) const {
        linear_group group;
        float& factor = Range::multiplies ? group.step : group.scale;
        factor = in.get_float();
        in.check(is_finite(factor) && factor > 0.0F, "a scale of ", factor,
                 " in the stream; it must be positive and finite, the stream is damaged");
        if constexpr (Range::has_zero) group.zero = static_cast<float>(in.get(bits_));
        return group;
    }

  private:
    // The one that is stored.
    [[nodiscard]] static float factor_of(const linear_group& group) noexcept {
        return Range::multiplies ? group.step : group.scale;
    }
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
