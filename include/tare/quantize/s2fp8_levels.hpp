#pragma once
// SPDX-License-Identifier: MIT
// The levels of S2FP8 for one pair (alpha, beta): where E5M2's midpoints lie among the magnitudes
// of the tensor, and which magnitude each level stands for. An element then needs no logarithm that
// is right to the last bit: a rough one finds its level or the one below, and one comparison with
// the border between the two decides. The result is a function of the table alone, whatever the
// rough logarithm was: the same bits in every build.
//
// Level i >= 7 is the normal number 2^e (1 + k/4) with 4 (e + 17) + k - 5 = i. The subnormal
// numbers 1, 2 and 3 (in steps of 2^-16) would be too far apart for this raster; levels share them:
//
//   level    0   1   2   3   4   5   6   7 ...  126     127
//   value    0   1   2   2   2   3   3   4 ...  57344   unused
//   E5M2     0   1   2   2   2   3   3   4 ...  123

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <tare/core/elementwise.hpp>
#include <tare/core/pack.hpp>
#include <tare/core/prefetch.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/simd.hpp>
#include <tare/core/simd_small.hpp>

namespace tare::detail {

inline constexpr int s2fp8_top_level = 126;

/// The E5M2 code (without sign) of a level.
[[nodiscard]] constexpr std::uint32_t s2fp8_code(std::uint32_t level) noexcept {
    // The codes of levels 0 to 6 in two bits each; the others follow one by one.
    constexpr std::uint32_t first_codes = 0b11'11'10'10'10'01'00;
    const std::uint32_t low = std::min(level, 6U);
    return (first_codes >> (2 * low) & 3U) + (level - low);
}
/// A level of a code from 0 to 123: the inverse.
[[nodiscard]] constexpr int s2fp8_level(int code) noexcept {
    return code < 3 ? code : (code == 3 ? 5 : code + 3);
}

class s2fp8_levels {
  public:
    /// Nothing but zeros.
    s2fp8_levels() { borders_.fill(never); }

    /// alpha > 0: t = alpha log2 |x| + beta is rounded as the exponent of an E5M2 number. alpha = 0
    /// says that every nonzero magnitude is `beta`.
    s2fp8_levels(float alpha, float beta) {
        borders_.fill(never);
        if (alpha == 0.0F) {
            std::fill_n(borders_.begin(), 63, std::numeric_limits<float>::denorm_min());
            std::fill(values_.begin() + 1, values_.end(), beta);  // 63 is the level of 1
            return;
        }
        const double a = static_cast<double>(alpha);
        const double b = static_cast<double>(beta);
        constexpr double most = std::numeric_limits<float>::max();
        const auto power = [](double exponent) {
            return static_cast<float>(std::fmin(std::exp2(exponent), most));
        };
        float mantissa[4];
        for (int k = 0; k < 4; ++k)
            mantissa[k] = power(std::log2(1.0 + 0.25 * k) / a);
        for (int level = 1; level <= s2fp8_top_level; ++level) {
            const auto code = static_cast<int>(s2fp8_code(static_cast<std::uint32_t>(level)));
            const int e = code > 3 ? code / 4 - 15 : (code > 1 ? -15 : -16);
            const int k = code > 3 ? code % 4 : (code == 3 ? 2 : 0);
            values_[static_cast<std::size_t>(level)] =
                std::fmin(power((e - b) / a) * mantissa[k], std::numeric_limits<float>::max());
        }
        // Ties go to the even code: to the upper one where the lower is odd.
        const auto border = [&](int level, double midpoint, bool up) {
            constexpr float infinity = std::numeric_limits<float>::infinity();
            const double exact = std::exp2((std::log2(midpoint) - b) / a);
            float first = infinity;  // the least magnitude above the border
            if (exact < most) {
                first = static_cast<float>(exact);
                const auto rounded = static_cast<double>(first);
                if (rounded < exact || (rounded == exact && !up))
                    first = std::nextafter(first, infinity);
            }
            borders_[static_cast<std::size_t>(level)] =
                std::max(first, std::numeric_limits<float>::denorm_min());
        };
        border(0, 0x1p-17, false);
        border(1, 0x3p-17, true);
        border(4, 0x5p-17, false);
        border(6, 0x7p-17, true);
        for (int level = 7; level < s2fp8_top_level; ++level) {
            const auto code = static_cast<int>(s2fp8_code(static_cast<std::uint32_t>(level)));
            const double step = std::ldexp(0.25, code / 4 - 15);
            border(level, step * (4 + code % 4 + 0.5), code % 2 != 0);
        }
        guess(a, b);
    }

    /// The value of a level from 0 to 126.
    [[nodiscard]] float value(int level) const noexcept {
        return values_[static_cast<std::size_t>(level)];
    }
    /// The level of a magnitude, by all borders: the plain reference. NaN gives 0.
    [[nodiscard]] int level(float magnitude) const noexcept {
        int out = 0;
        for (int i = 0; i < s2fp8_top_level; ++i)
            if (magnitude >= borders_[static_cast<std::size_t>(i)]) out = i + 1;
        return out;
    }
    /// Whether a rough logarithm finds the levels.
    [[nodiscard]] bool rough() const noexcept { return rough_; }

    /// The levels in vectors, with everything an element needs in registers.
    class vectors {
      public:
        using pack = simd::wide_pack;
        explicit vectors(const s2fp8_levels& all)
            : all_(&all), rough_(all), borders_(all.borders_.data()), values_(all.values_.data()) {}
        /// levels[i] = the level of x[i], of several with one value any, of a NaN anything; whole
        /// packs are written. Two passes, because an element's operations wait for each other: with
        /// half of them at a time the machine works on twice as many elements.
        void find(const float* x, extent n, std::uint8_t* levels) const {
            if (!all_->rough_) return find_by_all_borders(x, n, levels);
            // Each pass asks for half of what the next chunk will read.
            constexpr extent half = simd::wide_lanes / 2;
            for_packs(x, n, [=, rough = rough_](extent i, const pack& v) {
                simd::prefetch<half>(x + i, map_chunk);
                const pack guess = simd::detail::each(rough, abs(v));
                simd::store_bytes(levels + i, simd::truncate_to_small(guess, s2fp8_top_level));
            });
            for_packs(x, n, [=, borders = borders_](extent i, const pack& v) {
                simd::prefetch<half>(x + i, map_chunk + half);
                const simd::small_pack below = simd::load_small(levels + i);
                simd::store_bytes(levels + i,
                                  simd::increment_where_not_less(abs(v), borders[below], below));
            });
        }
        /// The values of levels.
        [[nodiscard]] const simd::wide_table128& values() const noexcept { return values_; }

      private:
        // The level of a magnitude or the one below, and a fraction. NaN gives anything finite.
        class rough_level {
          public:
            explicit rough_level(const s2fp8_levels& all) : slope_(simd::broadcast(all.slope_)) {
                for (std::size_t i = 0; i < 4; ++i)
                    cubic_[i] = simd::broadcast(all.cubic_[i]);
            }
            [[nodiscard, gnu::always_inline]] simd::floats operator()(simd::floats size) const {
                const simd::ints pattern = simd::as_ints(size);
                // The pattern, taken for a number, is the logarithm but for a bend in the mantissa.
                const simd::floats m =
                    simd::as_floats((pattern & simd::ints(0x007FFFFF)) | simd::ints(0x3F800000));
                simd::floats bend = simd::fma(cubic_[3], m, cubic_[2]);
                bend = simd::fma(simd::fma(bend, m, cubic_[1]), m, cubic_[0]);
                return simd::fma(simd::to_floats(pattern), slope_, bend);
            }

          private:
            simd::floats slope_;
            simd::floats cubic_[4];
        };

        template <class One>
        static void for_packs(const float* x, extent n, const One& one) {
            constexpr auto lanes = static_cast<extent>(simd::wide_lanes);
            const extent whole = n / lanes * lanes;
            for (extent i = 0; i < whole; i += lanes)
                one(i, simd::load_pack<pack>(x + i));
            if (whole < n)
                one(whole, simd::load_pack<pack>(x + whole, static_cast<std::size_t>(n - whole)));
        }
        void find_by_all_borders(const float* x, extent n, std::uint8_t* levels) const {
            for_packs(x, n, [=, this](extent i, const pack& v) {
                const pack size = abs(v);
                pack level = like(v, 0.0F);
                for (int b = 0; b < s2fp8_top_level; ++b) {
                    const pack border = like(v, all_->borders_[static_cast<std::size_t>(b)]);
                    level = select(border <= size, like(v, static_cast<float>(b + 1)), level);
                }
                simd::store_bytes(levels + i, simd::truncate_to_small(level, s2fp8_top_level));
            });
        }

        const s2fp8_levels* all_;
        rough_level rough_;
        simd::wide_table128 borders_;
        simd::wide_table128 values_;
    };

  private:
    static constexpr float never = std::numeric_limits<float>::quiet_NaN();

    // A rough level is 4 t + 63.5, with t in the place of e + 2^f - 1 (e + f = t), which is less by
    // 0.0861 at most. It must not lie above the true one, so everything uncertain is taken off:
    // that bulge, the error of the cubic times alpha, and the roundings.
    void guess(double alpha, double beta) {
        // log2 m - m + 1 on [1, 2] at Chebyshev points; its error is below 0.00083.
        constexpr double cubic[] = {-1.1362320654, 2.0111621508, -1.0268049074, 0.1527002848};
        constexpr double cubic_error = 0.00085;
        constexpr double bulge = 0.0861;
        // Four roundings to 2^-24 of numbers up to these.
        const double error =
            alpha * cubic_error + (alpha * 128.0 + std::fabs(beta) + 32.0) * 0x1p-21;
        slope_ = static_cast<float>(4.0 * alpha * 0x1p-23);
        for (std::size_t i = 0; i < 4; ++i)
            cubic_[i] = static_cast<float>(4.0 * alpha * cubic[i]);
        cubic_[0] =
            static_cast<float>(4.0 * (alpha * (cubic[0] - 127.0) + beta - bulge - error) + 63.5);
        // Nor may it lie more than one below, and not below the level itself where the border is in
        // the middle of a level (1, 4 and 6). The last is the narrowest: half a level is 0.125, the
        // bulge is 0.0574 there, hence 0.0861 - 0.0574 + 2 error < 0.125. Subnormal float32, whose
        // pattern is no logarithm, must all belong to level 0.
        constexpr double most_error = 0.048;
        rough_ = error < most_error && borders_[0] >= 2.0F * std::numeric_limits<float>::min();
    }

    std::array<float, 128> borders_{};  // least magnitude of the next level; NaN: one value
    std::array<float, 128> values_{};
    float slope_ = 0.0F;
    std::array<float, 4> cubic_{};
    bool rough_ = false;
};

}  // namespace tare::detail
