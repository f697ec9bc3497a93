#pragma once
// SPDX-License-Identifier: MIT
// Binary weights: value = alpha sign(x), alpha = mean |x| of the group (a filter, a row),
// sign(0) = +1. alpha is the best scale in least squares for these signs.
//
// NaN and infinite elements are left out of alpha; a NaN counts as positive. Where float32 has no
// mean (all elements excluded) alpha is 0. Source: Rastegari, Ordonez, Redmon, Farhadi 2016,
// "XNOR-Net", sections 3.1 and 3.2.

#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>

#include <tare/quantize/concept.hpp>
#include <tare/quantize/granularity.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/mean_magnitude.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// The magnitude of a group.
struct binary_group {
    float alpha = 0.0F;
    friend bool operator==(const binary_group&, const binary_group&) = default;
};

/// The quantizer. Gradient: 1 where |x| <= 1, else 0.
/// Storage: 1 bit per element and 32 bits per group.
template <granularity Granularity = per_tensor>
class xnor : public grouped_quantizer<xnor<Granularity>, binary_group> {
  public:
    static constexpr std::string_view name = "xnor";

    explicit xnor(Granularity granularity = {}) : granularity_(granularity) {}

    [[nodiscard]] constexpr extent group_size(extent n) const { return granularity_.group_size(n); }
    [[nodiscard]] constexpr int code_bits() const noexcept { return 1; }
    [[nodiscard]] constexpr int group_bits() const noexcept { return 32; }
    [[nodiscard]] binary_group fit_group(std::span<const float> x) const {
        return {mean_magnitude(x).mean};
    }
    [[nodiscard]] static float gradient(float x, const binary_group&) noexcept {
        return std::fabs(x) <= 1.0F ? 1.0F : 0.0F;
    }
    void encode_values(const float* x, extent n, const binary_group&, std::uint16_t* codes) const {
        for (extent i = 0; i < n; ++i)
            codes[i] = x[i] < 0.0F ? 1 : 0;
    }
    void decode_values(const std::uint16_t* codes, extent n, const binary_group& group,
                       float* y) const {
        for (extent i = 0; i < n; ++i)
            y[i] = codes[i] != 0 ? -group.alpha : group.alpha;
    }
    void put_group(code_writer& out, const binary_group& group) const {
        out.put_float(group.alpha);
    }
    [[nodiscard]] binary_group get_group(code_reader& in) const {
        const float alpha = in.get_float();
        in.check(is_finite(alpha) && alpha >= 0.0F, "a magnitude of ", alpha,
                 " in the stream; it must be finite and not negative");
        return {alpha};
    }

  private:
    Granularity granularity_{};
};

static_assert(packing_quantizer<xnor<>> && differentiable_quantizer<xnor<>>);

}  // namespace tare
