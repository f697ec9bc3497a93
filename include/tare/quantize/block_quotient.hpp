#pragma once
// SPDX-License-Identifier: MIT
// Elements of a block divided by its scale, a register at a time. Divisions take longer than all
// else that is done with an element of a block; they are five multiplications here (see
// simd::divide) by a reciprocal that was found for many blocks at once.

#include <bit>
#include <cmath>
#include <cstdint>

#include <tare/core/shape.hpp>
#include <tare/core/simd.hpp>
#include <tare/core/simd_ops.hpp>
#include <tare/formats/rounding.hpp>

namespace tare::detail {

/// 1 / scale, or 0 where for_quotients cannot use it: for 0, and near the ends of float32.
[[nodiscard]] constexpr float block_inverse(float scale) noexcept {
    const std::uint32_t size = std::bit_cast<std::uint32_t>(scale) & 0x7FFFFFFFU;
    constexpr auto least = std::bit_cast<std::uint32_t>(0x1p-60F);
    constexpr auto most = std::bit_cast<std::uint32_t>(0x1p60F);
    const auto inverse = std::bit_cast<std::uint32_t>(1.0F / scale);
    // On bit patterns, so that compilers vectorise it.
    return std::bit_cast<float>(select(size - least <= most - least, inverse, 0U));
}

/// Calls one(quotients, i) for the whole registers of x[0 .. n) and returns how many elements those
/// have: 0 where `inverse` is, and in builds that gain nothing. The quotients x / scale have the
/// bits of the division unless they are below 2^-40; NaN gives 0, and what lies beyond `widest`
/// scales, infinities too, +-widest. For codes that end there or before and are the same for all
/// tiny quotients.
template <class One>
[[gnu::always_inline]] inline extent for_quotients(const float* x, extent n, float scale,
                                                   float inverse, float widest, const One& one) {
    extent i = 0;
    if constexpr (simd::fused && simd::lanes > 1) {
        constexpr auto lanes = static_cast<extent>(simd::lanes);
        const simd::divisor by(simd::broadcast(scale), simd::broadcast(inverse), true);
        const simd::floats most = simd::broadcast(std::fabs(scale) * widest);
        if (inverse != 0.0F) [[likely]]
            for (; i + lanes <= n; i += lanes) {
                const simd::floats v = simd::load(x + i);
                one(simd::divide_usable(simd::keep(v == v, simd::limit(v, most)), by), i);
            }
    }
    return i;
}

}  // namespace tare::detail
