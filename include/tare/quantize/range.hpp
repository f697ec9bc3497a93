#pragma once
// SPDX-License-Identifier: MIT
// Range trackers: they see the tensors that pass a quantization point and say which range to use.
// All of them skip NaN and infinite elements.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// The smallest and largest element seen so far.
class minmax_tracker {
  public:
    void update(std::span<const float> x) { update(range_of(x)); }
    void update(extremes range) {
        range_ = steps_ == 0
                     ? range
                     : extremes{std::min(range_.low, range.low), std::max(range_.high, range.high)};
        ++steps_;
    }
    /// {0, 0} before the first update.
    [[nodiscard]] extremes range() const noexcept { return range_; }

  private:
    extremes range_;
    std::int64_t steps_ = 0;
};

/// Exponential moving average of the minimum and the maximum, with bias correction.
/// Formula: biased <- decay biased + (1 - decay) x, tracked = biased / (1 - decay^s) at step s; in
/// float32, the decay included, every operation rounded: 1 - decay has only 14 good bits, but
/// numerator and denominator share the error.
/// Source: Kingma and Ba 2015, section 3 (bias correction); MIT-HAN-Lab, MicroNet challenge 2019.
class moving_average_tracker {
  public:
    moving_average_tracker() = default;
    /// Throws unless 0 <= decay < 1.
    explicit moving_average_tracker(float decay) : decay_(decay) {
        require(decay >= 0.0F && decay < 1.0F, "moving_average_tracker: decay ", decay,
                " must be in [0, 1)");
    }
    void update(std::span<const float> x) { update(range_of(x)); }
    void update(extremes range) {
        const float take = 1.0F - decay_;
        biased_.low = decay_ * biased_.low + take * range.low;
        biased_.high = decay_ * biased_.high + take * range.high;
        ++steps_;
    }
    /// {0, 0} before the first update: an evaluation before training clamps everything to 0.
    [[nodiscard]] extremes range() const noexcept {
        if (steps_ == 0) return {};
        const float correction = 1.0F - std::pow(decay_, static_cast<float>(steps_));
        return {biased_.low / correction, biased_.high / correction};
    }
    [[nodiscard]] std::int64_t steps() const noexcept { return steps_; }
    /// The averages before the bias correction: with steps(), all that a later update depends on.
    [[nodiscard]] extremes biased() const noexcept { return biased_; }
    /// Puts the tracker where biased() and steps() were read. **Throws** on negative steps.
    void restore(extremes biased, std::int64_t steps) {
        require(steps >= 0, "moving_average_tracker: ", steps, " steps cannot be restored");
        biased_ = biased;
        steps_ = steps;
    }

  private:
    float decay_ = 0.999F;
    extremes biased_;
    std::int64_t steps_ = 0;
};

/// A histogram of magnitudes with a fixed number of bins; when a larger value arrives, the width of
/// a bin doubles until it fits and neighbours are merged, so that nothing is counted twice or
/// moved to a wrong bin.
class histogram_tracker {
  public:
    /// Throws unless `bins` is even and positive.
    explicit histogram_tracker(int bins = 2048) : counts_(static_cast<std::size_t>(bins), 0) {
        require(bins > 0 && bins % 2 == 0, "histogram_tracker: ", bins,
                " bins; choose an even number, for example 2048");
    }

    void update(std::span<const float> x) {
        const double most = static_cast<double>(largest_magnitude(x));
        // A first width that is a power of two: later doublings stay exact.
        if (width_ == 0.0 && most > 0.0)
            width_ = std::exp2(std::ceil(std::log2(most / static_cast<double>(counts_.size()))));
        while (width_ > 0.0 && most >= width_ * static_cast<double>(counts_.size()))
            widen();
        for (const float value : x) {
            if (!is_finite(value)) continue;
            const double magnitude = std::fabs(static_cast<double>(value));
            ++counts_[width_ > 0.0 ? static_cast<std::size_t>(magnitude / width_) : 0];
            ++total_;
        }
    }

    /// The smallest bin edge m such that at least `fraction` of the values lie in [-m, m], as
    /// {-m, m}. Throws unless 0 < fraction <= 1.
    [[nodiscard]] extremes range(double fraction = 1.0) const {
        require(fraction > 0.0 && fraction <= 1.0, "histogram_tracker: fraction ", fraction,
                " must be in (0, 1]");
        const double wanted = fraction * static_cast<double>(total_);
        std::int64_t seen = 0;
        for (std::size_t bin = 0; bin < counts_.size() && total_ > 0; ++bin) {
            seen += counts_[bin];
            if (static_cast<double>(seen) >= wanted) return symmetric(edge(bin));
        }
        return {};
    }

    /// The range {-m, m} with the least expected squared error of a symmetric linear quantizer of
    /// `bits` bits: inside, step^2 / 12 per value; outside, the squared distance to m (values
    /// taken at the middle of their bin). Cost: bins^2 / 2. Throws unless 2 <= bits <= 16.
    [[nodiscard]] extremes best_range(int bits) const {
        require(bits >= 2 && bits <= 16, "histogram_tracker: ", bits, " bits; choose 2 to 16");
        const double levels = static_cast<double>((1 << (bits - 1)) - 1);
        double best_edge = 0.0;
        double best_error = 0.0;
        double inside = 0.0;
        for (std::size_t bin = 0; bin < counts_.size() && total_ > 0; ++bin) {
            inside += static_cast<double>(counts_[bin]);
            const double step = edge(bin) / levels;
            double error = inside * step * step / 12.0;
            for (std::size_t out = bin + 1; out < counts_.size(); ++out) {
                const double miss = (static_cast<double>(out) + 0.5) * width_ - edge(bin);
                error += static_cast<double>(counts_[out]) * miss * miss;
            }
            if (bin == 0 || error < best_error) {
                best_error = error;
                best_edge = edge(bin);
            }
        }
        return symmetric(best_edge);
    }

    [[nodiscard]] std::int64_t total() const noexcept { return total_; }
    [[nodiscard]] std::span<const std::int64_t> counts() const noexcept { return counts_; }
    [[nodiscard]] double bin_width() const noexcept { return width_; }

  private:
    [[nodiscard]] double edge(std::size_t bin) const noexcept {
        return width_ * static_cast<double>(bin + 1);
    }
    // The edge of the last bin may lie beyond float32.
    static extremes symmetric(double m) noexcept {
        constexpr double most = std::numeric_limits<float>::max();
        const auto f = static_cast<float>(std::min(m, most));
        return {-f, f};
    }
    void widen() {
        const std::size_t half = counts_.size() / 2;
        for (std::size_t bin = 0; bin < half; ++bin)
            counts_[bin] = counts_[2 * bin] + counts_[2 * bin + 1];
        std::fill(counts_.begin() + static_cast<std::ptrdiff_t>(half), counts_.end(), 0);
        width_ *= 2.0;
    }

    std::vector<std::int64_t> counts_;
    double width_ = 0.0;  // 0 until something other than 0 was seen
    std::int64_t total_ = 0;
};

}  // namespace tare
