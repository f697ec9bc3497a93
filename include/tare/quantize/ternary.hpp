#pragma once
// SPDX-License-Identifier: MIT
// Ternary weights: -alpha, 0 or +alpha. `Rule` decides which:
//
//   twn_rule     D = 0.7 mean |x|; sign(x) where |x| > D, alpha = mean of |x| over those elements
//   bitnet_rule  g = mean |x|; q = clip(round_half_even(x / (g + eps)), -1, 1), alpha = g
//
// NaN becomes 0 and infinities +-alpha; neither touches the statistics.
// Source: Li, Zhang, Liu 2016, "Ternary weight networks", section 2; Ma et al. 2024, "The era of
// 1-bit LLMs" (BitNet b1.58), section 2.

#include <bit>
#include <cstdint>
#include <span>
#include <string_view>

#include <tare/core/elementwise.hpp>
#include <tare/core/simd_ops.hpp>
#include <tare/formats/rounding.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/granularity.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/mean_magnitude.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// What a group stores (alpha) and what only fitting needs (where the levels part).
struct ternary_group {
    float alpha = 0.0F;
    float threshold = 0.0F;  ///< the level is not 0 where |x| exceeds it
    friend bool operator==(const ternary_group&, const ternary_group&) = default;
};

struct twn_rule {
    static constexpr std::string_view name = "ternary_twn";
    static ternary_group fit(std::span<const float> x) {
        const float threshold = 0.7F * mean_magnitude(x).mean;
        return {mean_magnitude(x, threshold).mean, threshold};
    }
};
struct bitnet_rule {
    static constexpr std::string_view name = "ternary_bitnet";
    static constexpr float epsilon = 1e-5F;
    static ternary_group fit(std::span<const float> x) {
        const float g = mean_magnitude(x).mean;
        // round_half_even(q) leaves 0 exactly where |q| > 1/2.
        return {g, 0.5F * (g + epsilon)};
    }
};

/// The quantizer. Gradient: identity.
/// Storage: 2 bits per element and 32 bits per group.
template <class Rule = twn_rule, granularity Granularity = per_tensor>
class ternary_weights
    : public grouped_quantizer<ternary_weights<Rule, Granularity>, ternary_group> {
  public:
    static constexpr std::string_view name = Rule::name;

    explicit ternary_weights(Granularity granularity = {}) : granularity_(granularity) {}

    [[nodiscard]] constexpr extent group_size(extent n) const { return granularity_.group_size(n); }
    [[nodiscard]] constexpr int code_bits() const noexcept { return 2; }
    [[nodiscard]] constexpr int group_bits() const noexcept { return 32; }
    [[nodiscard]] ternary_group fit_group(std::span<const float> x) const { return Rule::fit(x); }
    void encode_values(const float* x, extent n, const ternary_group& group,
                       std::uint16_t* codes) const {
        const float threshold = group.threshold;
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            codes[i] = x[i] > threshold ? 1 : (x[i] < -threshold ? 3 : 0);
    }
    void decode_values(const std::uint16_t* codes, extent n, const ternary_group& group,
                       float* y) const {
        const auto alpha = std::bit_cast<std::uint32_t>(group.alpha);
#pragma omp simd
        for (extent i = 0; i < n; ++i) {
            const std::uint32_t code = codes[i];
            const std::uint32_t value = alpha ^ (code & 2U) << 30;
            y[i] = std::bit_cast<float>(detail::select(code == 0, 0U, value));
        }
    }
    void fake_values(const float* x, float* y, extent begin, extent end, bool stream,
                     const ternary_group& group) const {
        const simd::floats threshold = simd::broadcast(group.threshold);
        const simd::floats alpha = simd::broadcast(group.alpha);
        map_elements(x, y, begin, end, stream, [=](simd::floats v, extent) {
            return simd::keep(simd::magnitude(v) > threshold, simd::with_sign_of(alpha, v));
        });
    }
    void put_group(code_writer& out, const ternary_group& group) const {
        out.put_float(group.alpha);
    }
    [[nodiscard]] ternary_group get_group(code_reader& in) const {
        const float alpha = in.get_float();
        in.check(is_finite(alpha) && alpha >= 0.0F, "a magnitude of ", alpha,
                 " in the stream; it must be finite and not negative");
        return {alpha, 0.0F};
    }

  private:
    Granularity granularity_{};
};

static_assert(packing_quantizer<ternary_weights<>>);

}  // namespace tare
