#pragma once
// SPDX-License-Identifier: MIT
// NormalFloat4: sixteen levels at quantiles of a normal distribution scaled to [-1, 1], with an
// exact zero. The code is the index of the level. Source: Dettmers, Pagnoni, Holtzman and
// Zettlemoyer 2023, "QLoRA", section 3 and appendix E.

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <tare/core/simd.hpp>
#include <tare/core/simd_ops.hpp>
#include <tare/core/simd_tables.hpp>
#include <tare/formats/concept.hpp>
#include <tare/formats/nf4_buckets.hpp>
#include <tare/formats/rounding.hpp>

namespace tare {

namespace detail {

/// All ones where x > border.
[[nodiscard]] constexpr std::uint32_t beyond(float x, std::uint32_t border) noexcept {
    return 0U - static_cast<std::uint32_t>(x > std::bit_cast<float>(border));
}
/// `yes` where the mask is ones, `no` where it is zeros.
[[nodiscard]] constexpr std::uint32_t either(std::uint32_t mask, std::uint32_t yes,
                                             std::uint32_t no) noexcept {
    return (yes & mask) | (no & ~mask);
}

/// How many of fifteen ascending borders (as bit patterns) lie below x, by halving: four
/// comparisons, each with a border that those before select. No branch and no look-up, so that
/// loops of it vectorise.
[[nodiscard]] constexpr std::uint32_t
sixteen_steps(float x, const std::array<std::uint32_t, 15>& b) noexcept {
    const std::uint32_t eight = beyond(x, b[7]);
    const std::uint32_t four = beyond(x, either(eight, b[11], b[3]));
    const std::uint32_t two =
        beyond(x, either(eight, either(four, b[13], b[9]), either(four, b[5], b[1])));
    const std::uint32_t low = either(four, either(two, b[6], b[4]), either(two, b[2], b[0]));
    const std::uint32_t high = either(four, either(two, b[14], b[12]), either(two, b[10], b[8]));
    const std::uint32_t one = beyond(x, either(eight, high, low));
    return (eight & 8U) | (four & 4U) | (two & 2U) | (one & 1U);
}

/// Element `code` of sixteen bit patterns, by halving.
[[nodiscard]] constexpr float one_of_sixteen(std::uint32_t code,
                                             const std::array<std::uint32_t, 16>& v) noexcept {
    const std::uint32_t one = 0U - (code & 1U);
    const std::uint32_t two = 0U - (code >> 1 & 1U);
    const std::uint32_t four = 0U - (code >> 2 & 1U);
    const std::uint32_t eight = 0U - (code >> 3 & 1U);
    const std::uint32_t a = either(two, either(one, v[3], v[2]), either(one, v[1], v[0]));
    const std::uint32_t b = either(two, either(one, v[7], v[6]), either(one, v[5], v[4]));
    const std::uint32_t c = either(two, either(one, v[11], v[10]), either(one, v[9], v[8]));
    const std::uint32_t d = either(two, either(one, v[15], v[14]), either(one, v[13], v[12]));
    return std::bit_cast<float>(either(eight, either(four, d, c), either(four, b, a)));
}

/// The bit patterns of floats.
template <std::size_t N>
[[nodiscard]] constexpr std::array<std::uint32_t, N>
patterns_of(const std::array<float, N>& values) noexcept {
    return std::bit_cast<std::array<std::uint32_t, N>>(values);
}

}  // namespace detail

/// The nearest of the sixteen levels. **Rounding/NaN** a tie goes to the lower level; numbers
/// beyond
/// [-1, 1] saturate; NaN becomes the level 0.
struct nf4 {
    using code_type = std::uint8_t;
    using overflow = saturate;
    static constexpr std::string_view name = "nf4";
    static constexpr int bits = 4;
    static constexpr bool exact_in_fp32 = true;
    static constexpr bool standalone_sign = false;
    static constexpr int zero_code = 7;

    static constexpr std::array<float, 16> levels{-1.0F,
                                                  -0.6961928009986877F,
                                                  -0.5250730514526367F,
                                                  -0.39491748809814453F,
                                                  -0.28444138169288635F,
                                                  -0.18477343022823334F,
                                                  -0.09105003625154495F,
                                                  0.0F,
                                                  0.07958029955625534F,
                                                  0.16093020141124725F,
                                                  0.24611230194568634F,
                                                  0.33791524171829224F,
                                                  0.44070982933044434F,
                                                  0.5626170039176941F,
                                                  0.7229568362236023F,
                                                  1.0F};

    [[nodiscard]] static constexpr code_type encode(float x) noexcept {
        const std::uint32_t code = detail::sixteen_steps(x, detail::patterns_of(borders));
        return static_cast<code_type>(detail::select(x == x, code, zero_code));
    }
    [[nodiscard]] static constexpr float decode(code_type code) noexcept {
        return detail::one_of_sixteen(code, detail::patterns_of(levels));
    }
    /// What survives encode and decode: fifteen selections, no table look-up.
    [[nodiscard]] static constexpr float round(float x) noexcept {
        float value = levels[0];
        for (std::size_t i = 0; i < borders.size(); ++i)
            value = x > borders[i] ? levels[i + 1] : value;
        return x == x ? value : 0.0F;
    }
    static constexpr float max_value() noexcept { return 1.0F; }
    static constexpr float min_positive() noexcept { return levels[zero_code + 1]; }
    /// codes[i] = encode(x[i]).
    static void encode_all(const float* x, code_type* codes, std::ptrdiff_t count) noexcept {
        const std::ptrdiff_t whole = looked_up(count);
        if (whole > 0) {
            const detail::nf4_codes code_of(buckets);
            for (std::ptrdiff_t i = 0; i < whole; i += lanes)
                simd::store_bytes(codes + i, code_of(number(x + i)));
        }
#pragma omp simd
        for (std::ptrdiff_t i = whole; i < count; ++i)
            codes[i] = encode(x[i]);
    }
    /// y[i] = round(x[i]); y may be x.
    static void round_all(const float* x, float* y, std::ptrdiff_t count) noexcept {
        const std::ptrdiff_t whole = looked_up(count);
        if (whole > 0) {
            const detail::nf4_values level_of(buckets);
            for (std::ptrdiff_t i = 0; i < whole; i += lanes)
                simd::store(y + i, level_of(number(x + i)));
        }
#pragma omp simd
        for (std::ptrdiff_t i = whole; i < count; ++i)
            y[i] = round(x[i]);
    }

  private:
    /// The largest float32 not above the exact middle of two neighbouring levels.
    static constexpr std::array<float, 15> borders = [] {
        std::array<float, 15> out{};
        for (std::size_t i = 0; i < out.size(); ++i) {
            const double middle = (double{levels[i]} + double{levels[i + 1]}) / 2;
            const auto near = static_cast<float>(middle);
            const std::uint32_t u = std::bit_cast<std::uint32_t>(near);
            const float below = std::bit_cast<float>(near > 0 ? u - 1 : u + 1);
            out[i] = double{near} > middle ? below : near;
        }
        return out;
    }();
    static constexpr detail::nf4_value_buckets buckets{borders, levels};
    static constexpr auto lanes = static_cast<std::ptrdiff_t>(simd::lanes);

    /// How many of `count` elements are looked up in registers.
    static constexpr std::ptrdiff_t looked_up(std::ptrdiff_t count) noexcept {
        return simd::looks_up_in_registers ? count - count % lanes : 0;
    }
    /// A register of x, NaN as 0.
    [[gnu::always_inline]] static simd::floats number(const float* x) noexcept {
        return simd::unless_nan(simd::load(x), simd::broadcast(0.0F));
    }
};
static_assert(numeric_format<nf4>);

}  // namespace tare
