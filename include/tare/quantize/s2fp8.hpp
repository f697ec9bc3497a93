#pragma once
// SPDX-License-Identifier: MIT
// S2FP8, shifted and squeezed FP8: magnitudes are moved to where FP8 is densest before rounding.
//
//   L = log2|x|;  mu = mean L, m = max L over the nonzero elements
//   alpha = 15/(m - mu), beta = -alpha mu;  t = alpha L + beta (mean 0, maximum 15)
//   T = E5M2(2^t), ties to even;  value = sign(x) 2^((log2 T - beta)/alpha)
//
// No power of an element is taken: the midpoints of E5M2, moved back to the magnitudes of the
// tensor once, are the borders between its levels (s2fp8_levels.hpp), so that neither 2^beta nor a
// power of x can overflow.
//
// Degenerate tensors: without a nonzero finite element all values become +0 (NaN stays); if all
// nonzero magnitudes are equal (also: one element, one that is not zero) there is nothing to
// squeeze and they come back as they are. Zeros keep out of the statistics and come back as +0. NaN
// stays NaN (E5M2 has one) and nothing else becomes one; infinities become the largest value.
// Source: Cambier, Bhiwandiwalla, Gong, Nekuii, Elibol, Tang 2020, "Shifted and squeezed 8-bit
// floating point format for low-precision training of deep neural networks", arXiv 2001.05674,
// section 3. The reference implementation's variant is in s2fp8_reference.hpp.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include <tare/core/elementwise.hpp>
#include <tare/core/error.hpp>
#include <tare/core/pack.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/simd_small.hpp>
#include <tare/core/simd_tables.hpp>
#include <tare/formats/rounding.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/log_statistics.hpp>
#include <tare/quantize/s2fp8_levels.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// alpha and beta as stored, and the levels that follow from them. alpha = 0 says that every
/// nonzero magnitude is `beta`.
struct s2fp8_group {
    float alpha = 0.0F;
    float beta = 0.0F;
    detail::s2fp8_levels levels{};
    friend bool operator==(const s2fp8_group& a, const s2fp8_group& b) {
        return a.alpha == b.alpha && a.beta == b.beta;
    }
};

/// The quantizer. Gradient: identity.
/// Accuracy: relative 2e-5 against a double-precision evaluation, but for elements within 1e-5 of
/// a rounding border.
/// Storage: 8 bits per element and 64 bits per tensor.
class s2fp8 : public grouped_quantizer<s2fp8, s2fp8_group> {
  public:
    static constexpr std::string_view name = "s2fp8";

    [[nodiscard]] constexpr extent group_size(extent n) const noexcept { return n > 0 ? n : 1; }
    [[nodiscard]] constexpr int code_bits() const noexcept { return 8; }
    [[nodiscard]] constexpr int group_bits() const noexcept { return 64; }

    [[nodiscard]] s2fp8_group fit_group(std::span<const float> x) const {
        const log_statistics logs = log_statistics_of(x);
        if (logs.count == 0) return {};
        const auto mu = static_cast<float>(logs.mean);
        const auto m = static_cast<float>(std::log2(static_cast<double>(logs.largest)));
        const float alpha = 15.0F / (m - mu);
        // A spread of a few ulps of m is rounding, not a spread.
        constexpr float most_alpha = 1e6F;
        if (!(alpha > 0.0F && alpha < most_alpha)) return group_of(0.0F, logs.largest);
        return group_of(alpha, -alpha * mu);
    }
    /// The group with these two numbers, as a stream holds them.
    [[nodiscard]] static s2fp8_group group_of(float alpha, float beta) {
        return {alpha, beta, detail::s2fp8_levels(alpha, beta)};
    }

    static constexpr bool fetches_next = true;
    void encode_values(const float* x, extent n, const s2fp8_group& group,
                       std::uint16_t* codes) const {
        level_bytes levels;
        vectors(group.levels).find(x, n, levels);
        std::uint32_t wide[detail::map_chunk];  // with bytes in it the loop is not vectorised
        std::copy_n(levels, n, wide);
#pragma omp simd
        for (extent i = 0; i < n; ++i) {
            const auto pattern = std::bit_cast<std::uint32_t>(x[i]);
            const std::uint32_t code = detail::s2fp8_code(wide[i]);
            const std::uint32_t sign = detail::select(code != 0, pattern >> 24 & 0x80U, 0U);
            const bool number = (pattern & 0x7FFFFFFFU) <= 0x7F800000U;
            codes[i] = static_cast<std::uint16_t>(detail::select(number, code | sign, nan_code));
        }
    }
    void decode_values(const std::uint16_t* codes, extent n, const s2fp8_group& group,
                       float* y) const {
        float sizes[128];  // of all codes
        for (std::uint32_t code = 0; code < 128; ++code)
            sizes[code] = code <= detail::s2fp8_code(detail::s2fp8_top_level)
                              ? group.levels.value(detail::s2fp8_level(static_cast<int>(code)))
                              : std::numeric_limits<float>::quiet_NaN();
        const simd::table128 table(sizes);
        const simd::ints low(0x7F);
        const simd::floats zero = simd::broadcast(0.0F);  // makes +0 of -0
        constexpr auto lanes = static_cast<extent>(simd::lanes);
        extent i = 0;
        for (; i + lanes <= n; i += lanes) {
            const simd::ints code = simd::load_codes(codes + i);
            const simd::floats sign = simd::as_floats(simd::shift_left(code, 24));
            simd::store(y + i, simd::with_sign_of(table[code & low], sign) + zero);
        }
        for (; i < n; ++i) {
            const float size = sizes[codes[i] & 0x7FU];
            y[i] = ((codes[i] & 0x80U) != 0 ? -size : size) + 0.0F;
        }
    }
    void fake_values(const float* x, float* y, extent begin, extent end, bool stream,
                     const s2fp8_group& group) const {
        const vectors all(group.levels);
        detail::for_chunks(begin, end, [&](extent first, extent last) {
            // Half a chunk at a time: reads and writes then alternate often enough to overlap.
            constexpr extent step = detail::map_chunk / 2;
            for (extent from = first; from < last; from += step) {
                const extent to = std::min(from + step, last);
                level_bytes levels;
                all.find(x + from, to - from, levels);
                std::fill_n(levels + (to - from), simd::wide_lanes, std::uint8_t{0});
                detail::map_range<pack>(
                    x, y, from, to, stream,
                    [values = all.values(), at = levels - from](const pack& v, extent i) {
                        return signed_value(values[simd::load_small(at + i)], v);
                    });
            }
        });
    }

    void put_group(code_writer& out, const s2fp8_group& group) const {
        out.put_float(group.alpha);
        out.put_float(group.beta);
    }
    [[nodiscard]] s2fp8_group get_group(code_reader& in) const {
        const float alpha = in.get_float();
        in.check(is_finite(alpha) && alpha >= 0.0F, "alpha ", alpha,
                 " in the stream; it must be finite and not negative");
        const float beta = in.get_float();
        in.check(is_finite(beta), "beta ", beta, " in the stream; it must be finite");
        return group_of(alpha, beta);
    }

  private:
    using vectors = detail::s2fp8_levels::vectors;
    using pack = vectors::pack;
    using level_bytes = std::uint8_t[detail::map_chunk + simd::wide_lanes];
    static constexpr std::uint32_t nan_code = 0x7E;

    // `size` with the sign of `v`, zero as +0; v itself where it is NaN.
    [[gnu::always_inline]] static pack signed_value(const pack& size, const pack& v) {
        return simd::detail::each(
            [](simd::floats s, simd::floats x) {
                const simd::floats y = simd::with_sign_of(s, x) + simd::broadcast(0.0F);
                return simd::select(x == x, y, x);
            },
            size, v);
    }
};

static_assert(packing_quantizer<s2fp8> && differentiable_quantizer<s2fp8>);

}  // namespace tare
