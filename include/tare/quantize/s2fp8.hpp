#pragma once
// SPDX-License-Identifier: MIT
// S2FP8, shifted and squeezed FP8: magnitudes are moved to where FP8 is densest before rounding.
//
//   L = log2|x|;  mu = mean L, m = max L over the nonzero elements
//   alpha = 15/(m - mu), beta = -alpha mu;  t = alpha L + beta (mean 0, maximum 15)
//   T = E5M2(2^t), ties to even;  value = sign(x) 2^((log2 T - beta)/alpha)
//
// Everything stays in the log domain: t is rounded by comparing with the logarithms of E5M2's
// midpoints, and values come from two small tables (one per exponent, one per mantissa), so that
// neither 2^beta nor a power of x can overflow. If all nonzero magnitudes are equal there is
// nothing to squeeze and they come back as they are. Zeros keep out of the statistics and come
// back as +0. NaN stays NaN (E5M2 has one); infinities become the largest value.
// Source: Cambier, Bhiwandiwalla, Gong, Nekuii, Elibol, Tang 2020, "Shifted and squeezed 8-bit
// floating point format for low-precision training of deep neural networks", arXiv 2001.05674,
// section 3. The reference implementation's variant is in s2fp8_reference.hpp.

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/elementwise.hpp>
#include <tare/core/log2.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// alpha and beta as stored, and the tables that follow from them. alpha = 0 says that every
/// nonzero magnitude is `beta`.
struct s2fp8_group {
    float alpha = 0.0F;
    float beta = 0.0F;
    std::array<float, 32> exponents{};  ///< 2^((e - beta)/alpha) for e = -16 to 15
    std::array<float, 32> mantissas{};  ///< (1 + k/4)^(1/alpha) for k = 0 to 3
    friend bool operator==(const s2fp8_group&, const s2fp8_group&) = default;
};

namespace detail {

struct log_statistics {
    double mean = 0.0;
    extent count = 0;
};

/// Mean of log2|x| over nonzero finite elements, in double, in blocks.
[[nodiscard]] inline log_statistics mean_log2(std::span<const float> x) {
    std::vector<log_statistics> parts(block_count(x));
    for_each_block(x, 8, [&](extent block, const float* data, extent count) {
        float logs[statistics_block];
        const simd::floats zero = simd::broadcast(0.0F);
        const simd::floats most = simd::broadcast(std::numeric_limits<float>::max());
        map_elements(data, logs, 0, count, false, [&](simd::floats v, extent) {
            const simd::floats a = simd::magnitude(v);
            return simd::select(a > zero, simd::select(a <= most, simd::log2(a), zero), zero);
        });
        extent counted = 0;
        for (extent i = 0; i < count; ++i)
            counted += finite_pattern(data[i]) > 0 ? 1 : 0;
        parts[static_cast<std::size_t>(block)] = {block_sums(logs, count, 0.0).sum, counted};
    });
    log_statistics all;
    for (const log_statistics& p : parts) {
        all.mean += p.mean;
        all.count += p.count;
    }
    if (all.count > 0) all.mean /= static_cast<double>(all.count);
    return all;
}

}  // namespace detail

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
        const float largest = largest_magnitude(x);
        if (largest == 0.0F) return {};
        const auto mu = static_cast<float>(detail::mean_log2(x).mean);
        const auto m = static_cast<float>(std::log2(static_cast<double>(largest)));
        const float alpha = 15.0F / (m - mu);
        // A spread of a few ulps of m is rounding, not a spread.
        constexpr float most_alpha = 1e6F;
        if (!(alpha > 0.0F && alpha < most_alpha)) return group_of(0.0F, largest);
        return group_of(alpha, -alpha * mu);
    }
    /// The group with these two numbers, as a stream holds them.
    [[nodiscard]] static s2fp8_group group_of(float alpha, float beta) {
        constexpr double most = std::numeric_limits<float>::max();
        s2fp8_group group{alpha, beta, {}, {}};
        const auto power = [](double exponent) {
            return static_cast<float>(std::fmin(std::exp2(exponent), most));
        };
        for (int k = 0; k < 32; ++k)
            group.exponents[static_cast<std::size_t>(k)] =
                alpha == 0.0F
                    ? beta
                    : power((k - 16 - static_cast<double>(beta)) / static_cast<double>(alpha));
        for (int k = 0; k < 4; ++k)
            group.mantissas[static_cast<std::size_t>(k)] =
                alpha == 0.0F ? 1.0F
                              : power(std::log2(1.0 + 0.25 * k) / static_cast<double>(alpha));
        return group;
    }

    void encode_values(const float* x, extent n, const s2fp8_group& group,
                       std::uint16_t* codes) const {
        float level[detail::map_chunk];
        map_elements(x, level, 0, n, false,
                     [&](simd::floats v, extent) { return levels(v, group); });
        for (extent i = 0; i < n; ++i) {
            const std::uint16_t sign = std::signbit(x[i]) ? 0x80 : 0;
            const auto quarter = static_cast<int>(level[i]);  // 4 (e + 16) + mantissa
            // E5M2: subnormals are 1, 2 and 3 steps of 2^-16.
            const int code = quarter >= 8 ? quarter - 4 : (quarter < 4 ? 1 : quarter / 2);
            codes[i] = x[i] != x[i] ? nan_code
                                    : (level[i] < 0.0F ? std::uint16_t{0}
                                                       : static_cast<std::uint16_t>(sign | code));
        }
    }
    void decode_values(const std::uint16_t* codes, extent n, const s2fp8_group& group,
                       float* y) const {
        for (extent i = 0; i < n; ++i) {
            const int code = codes[i] & 0x7F;
            const int quarter = code >= 4 ? code + 4 : (code == 1 ? 0 : 2 * code);
            const float size = product(group.exponents[static_cast<std::size_t>(quarter / 4 % 32)],
                                       group.mantissas[static_cast<std::size_t>(quarter % 4)]);
            const float value = code == 0 ? 0.0F : ((codes[i] & 0x80) != 0 ? -size : size);
            y[i] = code > 0x7B ? std::numeric_limits<float>::quiet_NaN() : value;
        }
    }
    void fake_values(const float* x, float* y, extent begin, extent end, bool stream,
                     const s2fp8_group& group) const {
        const simd::floats zero = simd::broadcast(0.0F);
        map_elements(x, y, begin, end, stream, [&](simd::floats v, extent) {
            const simd::floats level = levels(v, group);
            const simd::floats kept = simd::select(level < zero, zero, level);
            const simd::ints quarter = simd::truncate_to_int(kept);
            const simd::floats size =
                simd::min(simd::lookup32(group.exponents.data(), quarter >> 2) *
                              simd::lookup32(group.mantissas.data(), quarter & simd::ints(3)),
                          simd::broadcast(std::numeric_limits<float>::max()));
            const simd::floats value =
                simd::select(level < zero, zero, simd::with_sign_of(size, v));
            return simd::select(v == v, value, v);
        });
    }

    void put_group(code_writer& out, const s2fp8_group& group) const {
        out.put_float(group.alpha);
        out.put_float(group.beta);
    }
    [[nodiscard]] s2fp8_group get_group(code_reader& in) const {
        const float alpha = in.get_float();
        const float beta = in.get_float();
        require(is_finite(alpha) && alpha >= 0.0F && is_finite(beta), name, ": alpha ", alpha,
                " and beta ", beta, " in the stream; both must be finite, alpha not negative");
        return group_of(alpha, beta);
    }

  private:
    static constexpr std::uint16_t nan_code = 0x7E;

    static float product(float a, float b) noexcept {
        return std::fmin(a * b, std::numeric_limits<float>::max());
    }

    // 4 (e + 16) + k for the E5M2 number 2^e (1 + k/4) nearest to 2^t, or -1 for zero. Below 2^-14
    // E5M2 keeps halves (e = -15) and wholes (e = -16) only: the borders move accordingly.
    static simd::floats levels(simd::floats v, const s2fp8_group& group) {
        const auto value = [](float c) { return simd::broadcast(c); };
        const simd::floats zero = value(0.0F);
        const simd::floats a = simd::magnitude(v);
        const simd::floats t =
            group.alpha == 0.0F ? zero : value(group.alpha) * simd::log2(a) + value(group.beta);
        const simd::floats e = simd::floor(t);
        const simd::floats f = t - e;
        const auto step = [&](simd::masks m, float size) {
            return simd::select(m, value(size), zero);
        };
        // log2 of 9/8, 11/8, 13/8, 15/8; of 5/4, 7/4; of 3/2.
        const simd::floats quarters =
            (step(f > value(0.16992500F), 1.0F) + step(f >= value(0.45943162F), 1.0F)) +
            (step(f > value(0.70043972F), 1.0F) + step(f >= value(0.90689060F), 1.0F));
        const simd::floats halves =
            step(f > value(0.32192809F), 2.0F) + step(f >= value(0.80735492F), 2.0F);
        const simd::floats whole = step(f >= value(0.58496250F), 4.0F);
        const simd::floats k = simd::select(e > value(-14.5F), quarters,
                                            simd::select(e > value(-15.5F), halves, whole));
        simd::floats level = value(4.0F) * e + value(64.0F) + k;
        // Between 2^-17 (a tie with zero) and 2^-16 the smallest number is nearest.
        level = simd::select(t < value(-16.0F), zero, level);
        level = simd::select(t > value(-17.0F), level, value(-1.0F));
        const simd::floats bounded = simd::select(level < value(127.0F), level, value(127.0F));
        return simd::select(a > zero, bounded, value(-1.0F));
    }
};

static_assert(packing_quantizer<s2fp8> && differentiable_quantizer<s2fp8>);

}  // namespace tare
