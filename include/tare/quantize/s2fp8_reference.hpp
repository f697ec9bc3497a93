#pragma once
// SPDX-License-Identifier: MIT
// S2FP8 as its public reimplementation computes it, for comparison: zeros count as magnitude 1 in
// the statistics, powers are taken in float32, rounding is stochastic and the positive maximum of
// FP8 becomes infinity.
//
//   mu = mean L, m = max L with L = log2|x|, 0 for x = 0;  alpha = 15/(m - mu), beta = -alpha mu
//   T = FP8(|x|^alpha 2^beta);  value = (T 2^-beta)^(1/alpha) sign(x)
//
// Degenerate inputs (one magnitude only, narrow spreads, NaN, infinities) overflow as the
// reference's do and give NaN or +-1; s2fp8.hpp is the sound version. `Conversion` names the two
// releases of the number-format library that the reference was run with:
//
//   fp8_release_020  no subnormals, exponents -15 to 15, everything up to 2^-16 becomes +0 and the
//                    rest below 2^-15 becomes 2^-15
//   fp8_release_030  subnormals in steps of 2^-16, exponents up to 16
//
// Both add the draw to the 21 bits that the mantissa drops and cut. Source: QPyTorch 0.2.0 and
// 0.3.0, float_quantize; the reference implementation of SmaQ, S2FP8 baseline.

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include <tare/core/error.hpp>
#include <tare/core/random.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/grouped.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

namespace detail {

inline constexpr std::uint32_t fp8_dropped = (1U << 21) - 1U;  // mantissa bits below the second

/// FLT_MAX through the conversion, rounded to nearest: what counts as overflow.
template <class Conversion>
[[nodiscard]] float positive_overflow_to_infinity(float v) noexcept {
    constexpr float slack = 1.1920929e-07F;
    return std::fabs(v - Conversion::largest) <= slack ? std::numeric_limits<float>::infinity() : v;
}

}  // namespace detail

struct fp8_release_020 {
    static constexpr float largest = 57344.0F;
    static float convert(float x, std::uint32_t draw) noexcept {
        const auto u = std::bit_cast<std::uint32_t>(x);
        const std::uint32_t q = (u + (draw & detail::fp8_dropped)) & ~detail::fp8_dropped;
        const std::uint32_t sign = u & 0x80000000U;
        const std::uint32_t exponent = q >> 23 & 0xFFU;
        if (q == 0) return 0.0F;
        if (exponent > 127 + 15) return std::bit_cast<float>(sign | 142U << 23 | 3U << 21);
        if (exponent < 127 - 15)
            return (q & 0x7FFFFFFFU) > 111U << 23 ? std::bit_cast<float>(sign | 112U << 23) : 0.0F;
        return std::bit_cast<float>(q);
    }
};

struct fp8_release_030 {
    static constexpr float largest = 114688.0F;
    static float convert(float x, std::uint32_t draw) noexcept {
        const auto u = std::bit_cast<std::uint32_t>(x);
        const std::uint32_t r = draw & detail::fp8_dropped;
        const std::uint32_t sign = u & 0x80000000U;
        if ((u >> 23 & 0xFFU) < 127 - 14) {  // by way of the smallest normal number
            const float shift = std::bit_cast<float>(sign | 113U << 23);
            const auto t = std::bit_cast<std::uint32_t>(x + shift);
            return std::bit_cast<float>((t + r) & ~detail::fp8_dropped) - shift;
        }
        const std::uint32_t q = (u + r) & ~detail::fp8_dropped;
        if ((q >> 23 & 0xFFU) > 127 + 16) return std::bit_cast<float>(sign | 143U << 23 | 3U << 21);
        return std::bit_cast<float>(q);
    }
};

/// The four numbers that the reference computes; it stores the last two.
struct s2fp8_reference_params {
    float mu = 0.0F;
    float m = 0.0F;
    float alpha = 0.0F;
    float beta = 0.0F;
    friend bool operator==(const s2fp8_reference_params&, const s2fp8_reference_params&) = default;
};

/// A simulation without a bit stream. Draw i of (seed, stream 0) belongs to element i.
template <class Conversion = fp8_release_020>
class s2fp8_reference {
  public:
    static constexpr std::string_view name = "s2fp8_reference";
    using params_type = s2fp8_reference_params;

    explicit s2fp8_reference(std::uint64_t seed = 0) : random_(seed, 0) {}

    /// The same quantizer with other draws, the `call`-th of this seed's.
    [[nodiscard]] s2fp8_reference reseeded(std::uint64_t call) const {
        return s2fp8_reference(seed_of_call(random_.seed(), call));
    }

    [[nodiscard]] params_type fit(std::span<const float> x) const {
        double sum = 0.0;
        float m = x.empty() ? 0.0F : -std::numeric_limits<float>::infinity();
        for (const float v : x) {
            const float log = v == 0.0F ? 0.0F : std::log2(std::fabs(v));
            sum += static_cast<double>(log);
            m = m != m || log < m ? m : log;  // a NaN stays
        }
        const auto mu = static_cast<float>(sum / static_cast<double>(x.size()));
        const float alpha = 15.0F / (m - mu);
        return {mu, m, alpha, -alpha * mu};
    }
    /// |x|^alpha 2^beta: what is handed to FP8.
    [[nodiscard]] static float squeeze(float x, const params_type& p) noexcept {
        return std::pow(std::fabs(x), p.alpha) * std::exp2(p.beta);
    }
    void fake_quantize(std::span<const float> x, const params_type& p, std::span<float> y) const {
        run(x, p, y, [this](std::size_t i) { return random_.bits(i); });
    }
    /// The same with the caller's random words (the low 21 bits of each count).
    void fake_quantize(std::span<const float> x, const params_type& p,
                       std::span<const std::uint32_t> draws, std::span<float> y) const {
        require(draws.size() == x.size(), name, ": ", draws.size(), " draws for ", x.size(),
                " elements");
        run(x, p, y, [&](std::size_t i) { return draws[i]; });
    }
    [[nodiscard]] constexpr storage_cost storage(std::int64_t elements,
                                                 std::int64_t nonzeros) const noexcept {
        return {.value_bits = 8 * nonzeros,
                .mask_bits = nonzeros < elements ? elements : 0,
                .scale_bits = elements > 0 ? 64 : 0};
    }

  private:
    template <class Draw>
    void run(std::span<const float> x, const params_type& p, std::span<float> y,
             const Draw& draw) const {
        detail::require_same_size(name, x.size(), y.size());
        const float back = 1.0F / std::exp2(p.beta);
        const float root = 1.0F / p.alpha;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const float t = detail::positive_overflow_to_infinity<Conversion>(
                Conversion::convert(squeeze(x[i], p), draw(i)));
            const float sign = x[i] > 0.0F ? 1.0F : (x[i] < 0.0F ? -1.0F : 0.0F);
            y[i] = std::pow(t * back, root) * sign;
        }
    }

    random_stream random_;
};

static_assert(quantizer<s2fp8_reference<>>);

}  // namespace tare
