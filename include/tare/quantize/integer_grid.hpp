#pragma once
// SPDX-License-Identifier: MIT
// Integers between two ends and what they stand for:
//     q = clamp(round_half_even(x / s + z), low, high),  value = (q - z) s
// every operation in float32, with the scale and the zero point that an observer finds in a range
// [min, max] widened to hold zero:
//     affine       s = max((hi - lo) / (high - low), eps),  z = clamp(low - round(lo / s))
//     symmetric    s = max(max(-lo, hi) / ((high - low) / 2), eps),  z in the middle
// with eps = 2^-23. For a range within a step of the ends of float32 the scale is so much smaller
// that the outermost codes are finite. Source: PyTorch 1.13, torch.ao.quantization.observer.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/view.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// The ends of the codes: 0 and 2^bits - 1, or any other two.
struct code_range {
    std::int32_t low = 0;
    std::int32_t high = 255;
    friend bool operator==(const code_range&, const code_range&) = default;
};

/// Codes of `bits` bits without a sign. **Throws** unless 1 <= bits <= 16.
[[nodiscard]] inline code_range unsigned_codes(int bits) {
    require(bits >= 1 && bits <= 16, "unsigned_codes: ", bits, " bits; choose 1 to 16");
    return {0, (std::int32_t{1} << bits) - 1};
}

/// Scale, zero point and codes.
struct integer_grid {
    float scale = 1.0F;
    std::int32_t zero = 0;
    code_range codes{};

    /// The ends of the values.
    [[nodiscard]] float lowest() const noexcept {
        return scale * static_cast<float>(codes.low - zero);
    }
    [[nodiscard]] float highest() const noexcept {
        return scale * static_cast<float>(codes.high - zero);
    }
    /// Bits of one code.
    [[nodiscard]] int bits() const noexcept {
        return static_cast<int>(std::bit_width(static_cast<std::uint32_t>(codes.high - codes.low)));
    }
    /// **Rounding/NaN** half to even; NaN gets the code of zero.
    [[nodiscard]] std::int32_t code_of(float x) const noexcept {
        const float q = std::nearbyint(x / scale + static_cast<float>(zero));
        if (!(q == q)) return zero;
        return static_cast<std::int32_t>(
            std::clamp(q, static_cast<float>(codes.low), static_cast<float>(codes.high)));
    }
    [[nodiscard]] float value_of(std::int32_t code) const noexcept {
        return static_cast<float>(code - zero) * scale;
    }
    /// The value that survives. For a Scalar of tests, the float's.
    template <class Scalar>
    [[nodiscard]] Scalar round_trip(const Scalar& x) const noexcept {
        return Scalar(value_of(code_of(static_cast<float>(x))));
    }
    friend bool operator==(const integer_grid&, const integer_grid&) = default;
};

namespace detail {

inline extremes with_zero(extremes range) {
    return {std::min(range.low, 0.0F), std::max(range.high, 0.0F)};
}

/// The grid with a smaller scale where its outermost codes would decode beyond FLT_MAX.
inline integer_grid within_floats(integer_grid grid) {
    constexpr float most = std::numeric_limits<float>::max();
    if (is_finite(grid.lowest()) && is_finite(grid.highest())) return grid;
    const auto reach =
        static_cast<float>(std::max(grid.zero - grid.codes.low, grid.codes.high - grid.zero));
    grid.scale = most / reach;
    while (!is_finite(grid.scale * reach))
        grid.scale = std::nextafter(grid.scale, 0.0F);
    return grid;
}

}  // namespace detail

/// The grid whose ends are those of the range. A range of zeros gets the smallest scale.
[[nodiscard]] inline integer_grid affine_grid(extremes range, code_range codes = {}) {
    const extremes r = detail::with_zero(range);
    const auto steps = static_cast<float>(codes.high - codes.low);
    const float width = r.high - r.low;
    // One step of two halves of float32 is no float32 either.
    const float wanted = is_finite(width) ? width / steps
                                          : std::min(r.high / steps - r.low / steps,
                                                     std::numeric_limits<float>::max());
    const float scale = std::max(wanted, std::numeric_limits<float>::epsilon());
    const float zero = static_cast<float>(codes.low) - std::nearbyint(r.low / scale);
    return detail::within_floats(
        {scale,
         static_cast<std::int32_t>(
             std::clamp(zero, static_cast<float>(codes.low), static_cast<float>(codes.high))),
         codes});
}

/// The grid around zero that reaches the largest magnitude. Codes with a sign have zero as their
/// zero point, 0 to 255 has 128, other ranges the integer below their middle.
[[nodiscard]] inline integer_grid symmetric_grid(extremes range, code_range codes = {}) {
    const extremes r = detail::with_zero(range);
    const float half = static_cast<float>(codes.high - codes.low) / 2.0F;
    const float scale =
        std::max(std::max(-r.low, r.high) / half, std::numeric_limits<float>::epsilon());
    const bool bytes = codes == code_range{};
    return detail::within_floats(
        {scale, codes.low < 0 ? 0 : (codes.low + codes.high + (bytes ? 1 : 0)) / 2, codes});
}

/// Smallest and largest element of every row (output channel), or of every column.
[[nodiscard]] inline std::vector<extremes> row_extremes(matrix_view<const float> x) {
    std::vector<extremes> out;
    for (extent r = 0; r < x.rows; ++r)
        out.push_back(range_of(x.row(r)));
    return out;
}
[[nodiscard]] inline std::vector<extremes> column_extremes(matrix_view<const float> x) {
    std::vector<float> column(static_cast<std::size_t>(x.rows));
    std::vector<extremes> out;
    for (extent c = 0; c < x.columns; ++c) {
        for (extent r = 0; r < x.rows; ++r)
            column[static_cast<std::size_t>(r)] = x(r, c);
        out.push_back(range_of(column));
    }
    return out;
}

/// Moving average of both ends, from the first tensor's on: m <- m + c (m_x - m).
/// Unlike moving_average_tracker (quantize/range.hpp) it starts at what it sees first and corrects
/// no bias.
class moving_extremes {
  public:
    /// **Throws** unless 0 < constant <= 1.
    explicit moving_extremes(float constant = 0.01F) : constant_(constant) {
        require(constant > 0.0F && constant <= 1.0F, "moving_extremes: averaging constant ",
                constant, " must be in (0, 1]");
    }
    void update(std::span<const float> x) { update(range_of(x)); }
    void update(extremes range) {
        if (!started_) range_ = range;
        range_.low = moved(range_.low, range.low);
        range_.high = moved(range_.high, range.high);
        started_ = true;
    }
    /// {0, 0} before the first update.
    [[nodiscard]] extremes range() const noexcept { return range_; }

  private:
    // A distance between two floats may be none; between two doubles it is.
    [[nodiscard]] float moved(float from, float to) const noexcept {
        const float distance = to - from;
        if (is_finite(distance)) return from + constant_ * distance;
        const double wide = static_cast<double>(to) - static_cast<double>(from);
        return static_cast<float>(static_cast<double>(from) +
                                  static_cast<double>(constant_) * wide);
    }

    float constant_;
    extremes range_;
    bool started_ = false;
};

}  // namespace tare
