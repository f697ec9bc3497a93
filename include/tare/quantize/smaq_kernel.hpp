#pragma once
// SPDX-License-Identifier: MIT
// The element of SmaQ in vectors: which side of the threshold, which integer, which value. The
// formulas stand in smaq.hpp; every operation is rounded to float32 and none is fused but where the
// result is the correctly rounded one anyway (quotients, see simd::divide and reciprocal_parts).

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <tare/core/reciprocal.hpp>
#include <tare/core/simd.hpp>
#include <tare/core/simd_masks.hpp>
#include <tare/core/simd_ops.hpp>
#include <tare/quantize/smaq_policies.hpp>
#include <tare/quantize/smaq_statistics.hpp>

namespace tare {

namespace detail {

/// One side of the threshold: codes per deviation and the largest code.
struct smaq_side {
    smaq_side(int bits, double span)
        : levels(static_cast<float>((1 << (bits - 2)) - 1)),
          scale(static_cast<float>(static_cast<double>(levels) / span)) {}
    float levels;
    float scale;
};

/// Integers on the grid; what is taken off z of an outlier, with the sign of z.
struct smaq_lanes {
    simd::floats q;
    simd::floats offset;
    simd::masks outlier;
};

/// The published simulation, without bounds.
template <class Rounding>
class smaq_faithful_kernel {
  public:
    static constexpr bool faithful = true;

    smaq_faithful_kernel(const smaq_options& options, const smaq_params& p)
        : main_(options.main_bits, options.main_threshold),
          outlier_(options.outlier_bits, options.outlier_threshold - options.main_threshold),
          mean_(p.mean),
          deviation_(p.deviation == 0.0F ? 1.0F : p.deviation),
          threshold_(static_cast<float>(options.main_threshold)),
          floor_(options.all_positive ? 0.0F : -std::numeric_limits<float>::infinity()),
          inward_(simd::broadcast(divisor(options, p))),
          main_back_(simd::broadcast(main_.scale)),
          outlier_back_(simd::broadcast(outlier_.scale)) {}

    /// What z is divided by: the deviation, kept within a range.
    static float divisor(const smaq_options& options, const smaq_params& p) {
        const float low = options.half_precision ? 1e-4F : 1e-38F;
        const float high = options.half_precision ? 1e4F : 1e38F;
        const float deviation = p.deviation == 0.0F ? 1.0F : p.deviation;
        return deviation < low ? low : (deviation > high ? high : deviation);
    }

    [[nodiscard, gnu::always_inline]] smaq_lanes grid(simd::floats v, simd::floats u) const {
        const simd::floats tm = simd::broadcast(threshold_);
        const simd::floats z = simd::divide(v - simd::broadcast(mean_), inward_);
        const simd::masks outlier = simd::magnitude(z) > tm;
        const simd::floats offset = simd::keep(outlier, simd::with_sign_of(tm, z));
        const simd::floats scale =
            simd::select(outlier, simd::broadcast(outlier_.scale), simd::broadcast(main_.scale));
        return {Rounding::round((z - offset) * scale, u), offset, outlier};
    }
    [[nodiscard, gnu::always_inline]] simd::floats value(const smaq_lanes& c) const {
        const simd::divisor back(
            simd::select(c.outlier, outlier_back_.value, main_back_.value),
            simd::select(c.outlier, outlier_back_.reciprocal, main_back_.reciprocal),
            outlier_back_.usable && main_back_.usable);
        const simd::floats w = simd::divide(c.q, back) + c.offset;
        return w * simd::broadcast(deviation_) + simd::broadcast(mean_);
    }
    /// Second moments: nothing below 0. A NaN stays one.
    [[nodiscard]] simd::floats finish(simd::floats v) const {
        return simd::max(simd::broadcast(floor_), v);  // the second argument for a NaN
    }
    /// All three steps. There are no usual parameters here that would spare one.
    template <bool Usual>
    [[nodiscard, gnu::always_inline]] simd::floats survivor(simd::floats v, simd::floats u) const {
        static_assert(!Usual);
        return finish(value(grid(v, u)));
    }

  private:
    smaq_side main_, outlier_;
    float mean_, deviation_, threshold_, floor_;
    simd::divisor inward_, main_back_, outlier_back_;
};

/// The sound variant: codes end at `levels`; NaN is taken for the mean.
template <class Rounding>
class smaq_encodable_kernel {
  public:
    static constexpr bool faithful = false;

    smaq_encodable_kernel(const smaq_options& options, const smaq_params& p)
        : main_(options.main_bits, options.main_threshold),
          outlier_(options.outlier_bits, options.outlier_threshold - options.main_threshold),
          // Without levels all codes are 0.
          main_back_(main_.scale == 0.0F ? 1.0F : main_.scale),
          outlier_back_(outlier_.scale == 0.0F ? 1.0F : outlier_.scale),
          mean_(p.mean),
          inward_(divisor(options, p)),
          threshold_(static_cast<float>(options.main_threshold)),
          floor_(options.all_positive ? 0.0F : -std::numeric_limits<float>::infinity()) {
        const float deviation = inward_.value;
        constexpr float most = std::numeric_limits<float>::max();
        const float far = deviation * most_deviations;
        farthest_ = far < most ? far : most;
        last_within_ = find_last_within();
        const double outermost = std::fabs(static_cast<double>(mean_)) +
                                 1.001 * options.outlier_threshold * static_cast<double>(deviation);
        bounded_ = options.all_positive || !(outermost < static_cast<double>(most));
        // Then no main element comes beyond its last level, nor near the last one of outliers.
        one_bound_ = main_.levels <= outlier_.levels && threshold_ * main_.scale <= main_.levels;
    }

    static float divisor(const smaq_options&, const smaq_params& p) {
        return p.deviation == 0.0F ? 1.0F : p.deviation;
    }
    /// Whether the options and parameters are such that survivor<true> and signed_code<true>, which
    /// do not ask for each vector what holds for all, are right. Their draws are of uniform_16.
    [[nodiscard]] bool usual() const noexcept {
        const bool small = !Rounding::draws || outlier_.levels <= 127.0F;
        return inward_.exact && one_bound_ && exact_back() && !bounded_ && small;
    }

    // Inlined by force: GCC counts the bodies as large, and a call spills every vector.
    template <bool Usual = false>
    [[nodiscard, gnu::always_inline]] smaq_lanes grid(simd::floats v, simd::floats u) const {
        const simd::floats d = v - simd::broadcast(mean_);
        const simd::floats z = deviations<Usual>(v, d);
        const simd::masks outlier = outside(d);
        const simd::floats offset = offset_of(z);
        const simd::floats y = scaled(z, offset, outlier);
        // The bounds are integers, so that it does not matter which comes first, they or rounding.
        const simd::floats most = Usual || one_bound_
                                      ? simd::broadcast(outlier_.levels)
                                      : pick(outlier, outlier_.levels, main_.levels);
        return {rounded<Usual>(simd::limit(y, most), u), offset, outlier};
    }
    template <bool Usual = false>
    [[nodiscard, gnu::always_inline]] simd::floats value(const smaq_lanes& c) const {
        simd::floats w;
        if (Usual || exact_back()) {
            const simd::floats low = c.q * pick(c.outlier, outlier_back_.low, main_back_.low);
            w = simd::fma(c.q, pick(c.outlier, outlier_back_.high, main_back_.high), low);
        } else {
            w = c.q / pick(c.outlier, outlier_back_.value, main_back_.value);
        }
        w = simd::add_where(c.outlier, w, c.offset);
        return w * simd::broadcast(inward_.value) + simd::broadcast(mean_);
    }
    /// Keeps to the range of float32, and above 0 where that was asked for.
    template <bool Usual = false>
    [[nodiscard, gnu::always_inline]] simd::floats finish(simd::floats v) const {
        return Usual || !bounded_ ? v : bounded(v);
    }
    /// The same for what the parameters do not bound: values that were folded.
    [[nodiscard, gnu::always_inline]] simd::floats bounded(simd::floats v) const {
        const simd::floats most = simd::broadcast(std::numeric_limits<float>::max());
        return simd::max(simd::broadcast(floor_), simd::clamp(v, -most, most));
    }

    /// All three steps.
    template <bool Usual>
    [[nodiscard, gnu::always_inline]] simd::floats survivor(simd::floats v, simd::floats u) const {
        return finish<Usual>(value<Usual>(grid<Usual>(v, u)));
    }

    /// One integer per element, with a place for either sign of 0: |q| where v is not below the
    /// mean, else -|q| - 1. And the outliers, a bit each, lane 0 lowest. |q| ends at `most` here,
    /// an integer not below both numbers of levels: those are for the caller to see to, when codes
    /// are bytes.
    template <bool Usual>
    [[nodiscard, gnu::always_inline]] simd::ints
    signed_code(simd::floats v, simd::floats u, simd::floats most, std::uint32_t& outliers) const {
        const simd::floats d = v - simd::broadcast(mean_);
        const simd::floats z = deviations<Usual>(v, d);
        const simd::masks outlier = outside(d);
        const simd::floats y = scaled(z, offset_of(z), outlier);
        outliers = simd::mask_bits(outlier);
        const simd::floats near = simd::limit(y, most);
        simd::ints q;
        if constexpr (Usual && Rounding::draws) {
            q = Rounding::round_drawn_to_int(near, u);
        } else {
            q = Rounding::round_to_int(near, u);
        }
        return simd::add(q, simd::shift_right(simd::as_ints(z), 31));
    }
    [[nodiscard]] int levels(bool outlier) const noexcept {
        return static_cast<int>(outlier ? outlier_.levels : main_.levels);
    }

  private:
    [[nodiscard]] bool exact_back() const noexcept {
        return main_back_.exact && outlier_back_.exact;
    }
    // The largest distance from the mean that is not an outlier's: as rounding keeps the order, to
    // ask for it is to ask for the quotient, and is done while that is formed. The patterns of
    // floats that are not negative are ordered as they are.
    [[nodiscard]] float find_last_within() const noexcept {
        const float deviation = std::fabs(inward_.value);
        const auto within = [&](std::int32_t pattern) {
            const float z = std::bit_cast<float>(pattern) / deviation;
            return !((z < most_deviations ? z : most_deviations) > threshold_);
        };
        constexpr std::int32_t near = 4;  // it is this near to the product, or a rare extreme
        std::int32_t low = 0, high = 0x7F800001;  // within, and not
        const auto guess = std::bit_cast<std::int32_t>(threshold_ * deviation);
        if (guess > near && guess < high - near) {
            if (within(guess - near)) low = guess - near;
            if (!within(guess + near)) high = guess + near;
        }
        while (high - low > 1) {
            const std::int32_t middle = low + (high - low) / 2;
            (within(middle) ? low : high) = middle;
        }
        return std::bit_cast<float>(low);
    }

    // A NaN is taken for the mean. `d` is v less the mean.
    template <bool Usual>
    [[gnu::always_inline]] simd::floats deviations(simd::floats v, simd::floats d) const {
        if (Usual || inward_.exact) {
            const simd::floats near = simd::limit(d, simd::broadcast(farthest_));
            return simd::keep_fma(v == v, near, simd::broadcast(inward_.high),
                                  near * simd::broadcast(inward_.low));
        }
        // FLT_MAX may be near: a difference beyond it is infinite, and stays so until here.
        const simd::floats z = d / simd::broadcast(inward_.value);
        return simd::keep(v == v, simd::limit(z, simd::broadcast(most_deviations)));
    }
    [[gnu::always_inline]] simd::masks outside(simd::floats d) const {
        return simd::magnitude(d) > simd::broadcast(last_within_);
    }
    template <bool Usual>
    [[gnu::always_inline]] static simd::floats rounded(simd::floats y, simd::floats u) {
        if constexpr (Usual && Rounding::draws) return Rounding::round_drawn(y, u);
        return Rounding::round_small(y, u);
    }
    [[gnu::always_inline]] simd::floats offset_of(simd::floats z) const {
        return simd::with_sign_of(simd::broadcast(threshold_), z);
    }
    [[gnu::always_inline]] simd::floats scaled(simd::floats z, simd::floats offset,
                                               simd::masks outlier) const {
        return simd::subtract_where(outlier, z, offset) *
               pick(outlier, outlier_.scale, main_.scale);
    }
    [[gnu::always_inline]] static simd::floats pick(simd::masks outlier, float far, float near) {
        return simd::select(outlier, simd::broadcast(far), simd::broadcast(near));
    }

    // Beyond these every code is the outermost one, and no quotient within overflows.
    static constexpr float most_deviations = 0x1p100F;

    smaq_side main_, outlier_;
    simd::reciprocal_parts main_back_, outlier_back_;
    float mean_;
    simd::reciprocal_parts inward_;  // of the deviation
    float threshold_, floor_;
    float farthest_ = 0.0F, last_within_ = 0.0F;
    bool bounded_ = false;
    bool one_bound_ = false;
};

}  // namespace detail

}  // namespace tare
