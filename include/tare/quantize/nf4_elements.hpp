#pragma once
// SPDX-License-Identifier: MIT
// The elements of an NF4 block: the nearest of sixteen levels to x / scale, and back. Distances are
// rounded to float32 before they are compared, as the published implementation does, so that the
// borders between levels are not always their middles: they are found here, once, at compile time.
//
// The fast form looks borders and levels up by bucket: <tare/formats/nf4_buckets.hpp>. Source:
// Dettmers, Pagnoni, Holtzman, Zettlemoyer 2023, "QLoRA", appendix E.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include <tare/core/shape.hpp>
#include <tare/core/simd.hpp>
#include <tare/core/simd_ops.hpp>
#include <tare/core/simd_tables.hpp>
#include <tare/formats/nf4.hpp>
#include <tare/formats/nf4_buckets.hpp>

namespace tare {

/// The sixteen levels, ascending: those of the format.
inline constexpr const std::array<float, 16>& nf4_levels = nf4::levels;

/// Index of the level nearest to v in [-1, 1] by distances in float32, the lower one on ties. The
/// plain reference of nearest_nf4.
[[nodiscard]] constexpr std::uint8_t nearest_nf4_plain(float v) noexcept {
    const auto distance = [v](float level) { return v > level ? v - level : level - v; };
    std::uint8_t best = 0;
    float least = distance(nf4_levels[0]);
    for (std::uint8_t k = 1; k < 16; ++k) {
        const float d = distance(nf4_levels[k]);
        best = d < least ? k : best;
        least = d < least ? d : least;
    }
    return best;
}

namespace detail {

/// nf4_borders[k]: the largest float32 whose nearest level is k or a lower one. A float32 near the
/// middle of two levels, moved until it is; distances are rounded, so that it may lie beyond it.
inline constexpr std::array<float, 15> nf4_borders = [] {
    std::array<float, 15> out{};
    for (std::uint8_t k = 0; k < 15; ++k) {
        const auto step = [](float v, std::int32_t by) {  // away from zero
            return std::bit_cast<float>(std::bit_cast<std::int32_t>(v) + by);
        };
        float v = (nf4_levels[k] + nf4_levels[k + 1]) / 2;
        const std::int32_t up = v > 0.0F ? 1 : -1;
        while (nearest_nf4_plain(v) > k)
            v = step(v, -up);
        while (nearest_nf4_plain(step(v, up)) <= k)
            v = step(v, up);
        out[k] = v;
    }
    return out;
}();

}  // namespace detail

/// Index of the level nearest to v by distances in float32, the lower one on ties; NaN has that of
/// zero.
[[nodiscard]] constexpr std::uint32_t nearest_nf4(float v) noexcept {
    const std::uint32_t code = detail::sixteen_steps(v, detail::patterns_of(detail::nf4_borders));
    return detail::select(v == v, code, nf4::zero_code);
}

/// Scale of a block; `code` is its entry in the dynamic map when scales are nested.
struct nf4_group {
    float scale = 0.0F;
    std::uint8_t code = 0;
    friend bool operator==(const nf4_group&, const nf4_group&) = default;
};

namespace detail {

inline constexpr nf4_value_buckets nf4_lookup(nf4_borders, nf4_levels);

/// What the drivers of quantize/grouped.hpp ask for. Without a scale every quotient is 0, or a NaN,
/// which is taken for 0.
class nf4_elements {
  public:
    template <class Code>
    [[gnu::always_inline]] void encode_values(const float* x, extent n, const nf4_group& group,
                                              Code* codes) const {
        const float divisor = divisor_of(group);
        extent i = 0;
        if constexpr (simd::looks_up_in_registers) {
            const nf4_codes code_of(nf4_lookup);
            const simd::floats by = simd::broadcast(divisor);
            for (; i + lanes <= n; i += lanes) {
                const simd::ints code = code_of(quotient(x + i, by));
                float bits[simd::lanes];
                simd::store(bits, simd::as_floats(code));
                static_assert(sizeof(Code) == sizeof(float));
                std::memcpy(codes + i, bits, sizeof bits);
            }
        }
        const extent rest = n - i;
#pragma omp simd
        for (extent k = 0; k < rest; ++k)
            codes[i + k] = static_cast<Code>(nearest_nf4(x[i + k] / divisor));
    }
    [[gnu::always_inline]] void scale_values(const float* values, extent n, const nf4_group& group,
                                             float* y) const {
        const float scale = group.scale;
#pragma omp simd
        for (extent i = 0; i < n; ++i)
            y[i] = values[i] * scale;
    }
    [[gnu::always_inline]] void fake_block(const float* x, float* y, extent n,
                                           const nf4_group& group) const {
        const float divisor = divisor_of(group);
        const float scale = group.scale;
        extent i = 0;
        if constexpr (simd::looks_up_in_registers) {
            const nf4_values level_of(nf4_lookup);
            const simd::floats by = simd::broadcast(divisor);
            const simd::floats outward = simd::broadcast(scale);
            for (; i + lanes <= n; i += lanes)
                simd::store(y + i, level_of(quotient(x + i, by)) * outward);
        }
        const extent rest = n - i;
#pragma omp simd
        for (extent k = 0; k < rest; ++k)
            y[i + k] =
                one_of_sixteen(nearest_nf4(x[i + k] / divisor), patterns_of(nf4_levels)) * scale;
    }

  private:
    static constexpr auto lanes = static_cast<extent>(simd::lanes);

    static float divisor_of(const nf4_group& group) noexcept {
        return group.scale == 0.0F ? std::numeric_limits<float>::infinity() : group.scale;
    }
    [[gnu::always_inline]] static simd::floats quotient(const float* x, simd::floats by) {
        return simd::unless_nan(simd::load(x) / by, simd::broadcast(0.0F));
    }
};

}  // namespace detail

}  // namespace tare
