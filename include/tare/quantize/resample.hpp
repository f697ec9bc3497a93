#pragma once
// SPDX-License-Identifier: MIT
// Resampling along the rows of a matrix by a ratio of integers, with a windowed sinc: a row of C
// weights is stored as C n / o of them and brought back by the inverse ratio.
//     o : n reduced,  sigma = min(o, n) rolloff,  w = ceil(zeros o / sigma)
//     kernel_p[i] = sinc(t) cos(t / (2 zeros))^2,  t = pi clamp((i / o - p / n) sigma, -zeros,
//     zeros)
//                   for the phases p = 0 ... n - 1 and the taps i = -w ... w + o - 1, sum 1
//     y[q n + p] = sum_i kernel_p[i] x[q o + i],  x continued by its values at both ends
// Linear in x: a stored row trains through the transposed operator.
// Source: Smith, "Digital Audio Resampling Home Page" (2002), in the form of the library julius
// (Defossez 2020).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <numeric>
#include <span>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/view.hpp>
#include <tare/quantize/storage.hpp>

namespace tare {

struct resample_options {
    int zeros = 24;          ///< zero crossings of the sinc on either side
    double rolloff = 0.945;  ///< of the lower of the two bandwidths
    friend bool operator==(const resample_options&, const resample_options&) = default;
};

/// Resampling from `from` values to `to`.
class resampler {
  public:
    /// **Throws** tare::error unless the ratio is of positive numbers, zeros >= 1 and
    /// 0 < rolloff <= 1.
    resampler(extent from, extent to, resample_options options = {}) {
        require(from >= 1 && to >= 1, "resampler: from ", from, " to ", to,
                "; both must be positive");
        require(options.zeros >= 1 && options.rolloff > 0.0 && options.rolloff <= 1.0,
                "resampler: ", options.zeros, " zeros and a rolloff of ", options.rolloff,
                "; choose at least 1, and one in (0, 1]");
        const extent common = std::gcd(from, to);
        from_ = from / common;
        to_ = to / common;
        make_kernel(options);
    }

    [[nodiscard]] extent from() const noexcept { return from_; }
    [[nodiscard]] extent to() const noexcept { return to_; }
    /// Values that a row of `length` becomes: floor(length to / from), or rounded up (`full`).
    [[nodiscard]] extent length(extent length, bool full = false) const noexcept {
        return (length * to_ + (full ? from_ - 1 : 0)) / from_;
    }
    /// Taps of each phase, 2 w + from of them; one phase where nothing changes.
    [[nodiscard]] matrix_view<const float> kernel() const noexcept {
        return {kernel_.data(), to_, taps()};
    }
    /// w: how far a value reaches to the left.
    [[nodiscard]] extent reach() const noexcept { return reach_; }

    /// y = x resampled. **Shapes** x (R, C), y (R, m) with m at most length(C, true).
    /// **Accuracy** sums in double, rounded once. **Throws** on other shapes, and on no columns.
    /// **Complexity/threads** R m taps multiply-adds; rows are shared out.
    void apply(matrix_view<const float> x, matrix_view<float> y) const {
        check(x.rows, x.columns, y.rows, y.columns);
        parallel_for(x.rows, 1, 2 * y.columns * taps(), [&](extent begin, extent end) {
            for (extent r = begin; r < end; ++r)
                for (extent j = 0; j < y.columns; ++j) {
                    double sum = 0.0;
                    for_each_tap(j, x.columns, [&](extent source, float tap) {
                        sum += static_cast<double>(tap) * static_cast<double>(x(r, source));
                    });
                    y(r, j) = static_cast<float>(sum);
                }
        });
    }

    /// The transposed operator: dx = K^T dy, the gradient of apply. **Shapes** as there.
    void apply_transposed(matrix_view<const float> dy, matrix_view<float> dx) const {
        check(dx.rows, dx.columns, dy.rows, dy.columns);
        parallel_for(dx.rows, 1, 2 * dy.columns * taps(), [&](extent begin, extent end) {
            std::vector<double> sums(static_cast<std::size_t>(dx.columns));
            for (extent r = begin; r < end; ++r) {
                std::ranges::fill(sums, 0.0);
                for (extent j = 0; j < dy.columns; ++j)
                    for_each_tap(j, dx.columns, [&](extent source, float tap) {
                        sums[static_cast<std::size_t>(source)] +=
                            static_cast<double>(tap) * static_cast<double>(dy(r, j));
                    });
                for (extent c = 0; c < dx.columns; ++c)
                    dx(r, c) = static_cast<float>(sums[static_cast<std::size_t>(c)]);
            }
        });
    }

  private:
    [[nodiscard]] extent taps() const noexcept { return to_ == from_ ? 1 : 2 * reach_ + from_; }

    void make_kernel(const resample_options& options) {
        if (from_ == to_) {
            kernel_ = {1.0F};
            return;
        }
        const double sigma = static_cast<double>(std::min(from_, to_)) * options.rolloff;
        reach_ = static_cast<extent>(std::ceil(options.zeros * static_cast<double>(from_) / sigma));
        const double zeros = options.zeros;
        std::vector<double> phase(static_cast<std::size_t>(taps()));
        for (extent p = 0; p < to_; ++p) {
            double sum = 0.0;
            for (extent i = 0; i < taps(); ++i) {
                const double place = static_cast<double>(i - reach_) / static_cast<double>(from_) -
                                     static_cast<double>(p) / static_cast<double>(to_);
                const double t = std::clamp(place * sigma, -zeros, zeros) * std::numbers::pi;
                const double window = std::cos(t / (2.0 * zeros));
                const double sinc = t == 0.0 ? 1.0 : std::sin(t) / t;
                sum += phase[static_cast<std::size_t>(i)] = sinc * window * window;
            }
            for (const double v : phase)
                kernel_.push_back(static_cast<float>(v / sum));
        }
    }

    void check(extent rows, extent columns, extent out_rows, extent out_columns) const {
        require(columns >= 1 && rows == out_rows && out_columns <= length(columns, true),
                "resampler: (", rows, ',', columns, ") cannot become (", out_rows, ',', out_columns,
                ") by ", from_, ':', to_, "; rows stay, and there are at most ",
                length(columns, true), " columns");
    }
    /// Every tap of output j, with the input that it takes: the ends stand for what lies beyond.
    template <class Visit>
    void for_each_tap(extent j, extent columns, const Visit& visit) const {
        const float* const phase = kernel_.data() + j % to_ * taps();
        const extent first = j / to_ * from_ - reach_;
        for (extent i = 0; i < taps(); ++i)
            visit(std::clamp<extent>(first + i, 0, columns - 1), phase[i]);
    }

    extent from_ = 1;
    extent to_ = 1;
    extent reach_ = 0;
    std::vector<float> kernel_;
};

/// Bits of a matrix whose rows are stored resampled: full length, `bits` for each value.
[[nodiscard]] inline storage_cost resampled_storage(const resampler& compress, extent rows,
                                                    extent columns, int bits) {
    return {.value_bits = rows * compress.length(columns, true) * bits};
}

}  // namespace tare
