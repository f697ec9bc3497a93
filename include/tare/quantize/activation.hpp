#pragma once
// SPDX-License-Identifier: MIT
// The explicit quantization point of a stored model: two numbers per point, no statistics at run
// time.
//
//   y = round_half_even(clamp(x, -max_abs, max_abs) / inv_scale) * inv_scale
//
// with inv_scale = cut(1/scale), scale = (1/max_abs) n, n = 2^(b-1)-1: every value is an integer of
// b bits times a float of 32-b significant pattern bits, exact in float32. NaN becomes 0;
// infinities become the outermost values. Source: MIT-HAN-Lab, MicroNet challenge 2019 (evaluation
// model).

#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>

#include <tare/core/elementwise.hpp>
#include <tare/core/error.hpp>
#include <tare/quantize/block_elements.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/linear.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// What a quantization point stores.
struct activation_group {
    float max_abs = 0.0F;
    float inv_scale = 1.0F;
    friend bool operator==(const activation_group&, const activation_group&) = default;
};

/// Activation quantizer with a fixed range, for b = 2 to 11 bits (beyond, the cut inverse is so
/// coarse that max_abs / inv_scale needs more than b bits).
/// Gradient: 1 where |x| <= max_abs, else 0 (also for NaN).
/// Storage: bits per element and 64 bits per tensor.
class activation_linear : public grouped_quantizer<activation_linear, activation_group> {
  public:
    static constexpr std::string_view name = "activation_linear";

    activation_linear() = default;
    /// Throws unless 2 <= bits <= 11.
    explicit activation_linear(int bits) : bits_(bits) {
        require(bits >= 2 && bits <= 11, name, ": ", bits, " bits; choose 2 to 11");
    }
    /// The point for a tracked range: max_abs = max(|low|, |high|).
    [[nodiscard]] activation_group from_range(extremes range) const {
        const float m = range.magnitude();
        return {m, cut(symmetric_levels::from_magnitude(m, bits_).step, bits_)};
    }
    /// A tensor is one group; these are its parameters.
    [[nodiscard]] static params_type params(activation_group group) { return {{group}}; }

    /// The plain reference of the loops.
    [[nodiscard]] float quantize(float x, const activation_group& group) const noexcept {
        if (!(x == x)) return 0.0F;
        const float m = group.max_abs;
        return std::nearbyint((x < -m ? -m : (x > m ? m : x)) / group.inv_scale) + 0.0F;
    }

    [[nodiscard]] constexpr int bits() const noexcept { return bits_; }
    [[nodiscard]] constexpr extent group_size(extent n) const noexcept { return n > 0 ? n : 1; }
    [[nodiscard]] constexpr int code_bits() const noexcept { return bits_; }
    [[nodiscard]] constexpr int group_bits() const noexcept { return 64; }
    [[nodiscard]] activation_group fit_group(std::span<const float> x) const {
        const float m = largest_magnitude(x);
        return from_range({-m, m});
    }
    [[nodiscard]] static float gradient(float x, const activation_group& group) noexcept {
        return x >= -group.max_abs && x <= group.max_abs ? 1.0F : 0.0F;
    }
    void encode_values(const float* x, extent n, const activation_group& group,
                       std::uint16_t* codes) const {
        const auto mask = static_cast<std::uint32_t>(low_mask(bits_));
        const float most = group.max_abs;
        const float step = group.inv_scale;
#pragma omp simd
        for (extent i = 0; i < n; ++i) {
            const float q = std::nearbyint(detail::bounded(x[i], most) / step);
            codes[i] = static_cast<std::uint16_t>(
                static_cast<std::uint32_t>(static_cast<std::int32_t>(q)) & mask);
        }
    }
    void decode_values(const std::uint16_t* codes, extent n, const activation_group& group,
                       float* y) const {
        for (extent i = 0; i < n; ++i)
            y[i] = static_cast<float>(from_twos_complement(codes[i], bits_)) * group.inv_scale;
    }
    void fake_values(const float* x, float* y, extent begin, extent end, bool stream,
                     const activation_group& group) const {
        const simd::floats most = simd::broadcast(group.max_abs);
        const simd::floats step = simd::broadcast(group.inv_scale);
        const simd::floats zero = simd::broadcast(0.0F);
        map_elements(x, y, begin, end, stream, [=](simd::floats v, extent) {
            const simd::floats inside = simd::clamp(simd::unless_nan(v, zero), -most, most);
            return (simd::nearbyint(inside / step) + zero) * step;
        });
    }
    void put_group(code_writer& out, const activation_group& group) const {
        out.put_float(group.max_abs);
        out.put_float(group.inv_scale);
    }
    [[nodiscard]] activation_group get_group(code_reader& in) const {
        activation_group group;
        group.max_abs = in.get_float();
        in.check(is_finite(group.max_abs), "max_abs ", group.max_abs,
                 " in the stream; it must be finite");
        group.inv_scale = in.get_float();
        in.check(is_finite(group.inv_scale) && group.inv_scale > 0.0F, "inv_scale ",
                 group.inv_scale, " in the stream; it must be finite and positive");
        return group;
    }

  private:
    int bits_ = 8;
};

static_assert(packing_quantizer<activation_linear> && differentiable_quantizer<activation_linear>);

}  // namespace tare
