#pragma once
// SPDX-License-Identifier: MIT
// A histogram of signed values over many tensors, and the clipping range that loses least when the
// values inside it are cut into equal steps. Where a tensor is wider than the ones before, old
// counts are spread over cells 128 times finer and gathered again in the new, wider bins; a tensor
// a million times as wide, or near the ends of float32, takes each old bin as a whole.
//     error(i, j) = sum_k c_k / w [ N(a - center(A), d/2) + (B - A - 1) N(-d/2, d/2)
//                                   + N(-d/2, b - center(B)) ],   N(x, y) = (y^3 - x^3) / 3
// for the bins k, [a, b] = [(k - i) w, (k - i + 1) w], A and B the steps of width
// d = w (j - i + 1) / levels that hold a and b. The range narrows from both ends by quantiles as
// long as the error does not grow.
// Source: PyTorch 1.13, torch.ao.quantization.observer.HistogramObserver, after the L2 search of
// Caffe2's quantization tools.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

class histogram_observer {
  public:
    static constexpr int bins = 2048;

    /// `published_truncation`: count between the ends cut to integers, as version 1.13 does; where
    /// both are cut to the same one, between those of the tensor, or 1 to either side of the only
    /// value that it has. Counts and range then disagree.
    explicit histogram_observer(bool published_truncation = false)
        : truncates_(published_truncation), counts_(bins, 0.0F) {}

    /// A histogram made elsewhere, to search in. **Throws** unless it has 2048 bins.
    histogram_observer(std::span<const float> counts, extremes range)
        : counts_(counts.begin(), counts.end()), range_(range), started_(true) {
        require(counts.size() == bins, "histogram_observer: ", counts.size(), " counts; there are ",
                bins, " bins");
    }

    /// Counts a tensor. NaN and infinities are left out.
    void update(std::span<const float> x) {
        const extremes here = range_of(x);
        if (!started_) {
            started_ = true;
            range_ = here;
            counts_ = count(x, here);
            return;
        }
        extremes wide{std::min(range_.low, here.low), std::max(range_.high, here.high)};
        if (!(range_.low < range_.high)) {  // one value so far: it has no bins to spread
            const float seen = sum();
            const float at = range_.low;
            range_ = wide;
            counts_ = count(x, here);
            if (const int bin = bin_of(at, wide); bin >= 0)
                counts_[static_cast<std::size_t>(bin)] += seen;
            return;
        }
        const float fine = (range_.high - range_.low) / static_cast<float>(bins * finer);
        const float old_width = static_cast<float>(bins) * fine;
        const float times = (wide.high - wide.low) / old_width;
        if (!(times < most_times && wide.high - wide.low < widest)) return place_again(x, wide);
        const auto gather = static_cast<int>(std::ceil(times));
        wide.high += static_cast<float>(gather) * old_width - (wide.high - wide.low);
        const auto start =
            static_cast<std::int64_t>(std::nearbyint((range_.low - wide.low) / fine));
        const bool same = wide == range_;
        const std::vector<float> old = std::exchange(counts_, {});
        range_ = wide;
        counts_ = count(x, here);
        for (int bin = 0; bin < bins; ++bin)
            counts_[static_cast<std::size_t>(bin)] +=
                same ? old[static_cast<std::size_t>(bin)]
                     : static_cast<float>(gathered(old, bin, gather, start));
    }

    /// The range that loses least in `levels` equal steps, at most that of all values.
    /// (The published observer asks for 256 steps whatever the number of codes.)
    /// **Complexity** 2048 for each of at most 10^5 narrowings.
    [[nodiscard]] extremes best_range(int levels = 256) const {
        const auto [first, last] = best_bins(levels);
        const double width = bin_width();
        const auto low = static_cast<double>(range_.low);
        const auto high = static_cast<double>(range_.high);  // what rounding must not pass
        return {static_cast<float>(low + width * first),
                static_cast<float>(std::min(high, low + width * (last + 1)))};
    }

    /// The first and the last bin of that range.
    [[nodiscard]] std::pair<int, int> best_bins(int levels = 256) const {
        constexpr double step = 1e-5;
        std::vector<float> cumulated(bins);
        double total = 0.0;
        for (std::size_t i = 0; i < bins; ++i)
            cumulated[i] = static_cast<float>(total += static_cast<double>(counts_[i]));
        const auto share = [&](double part) { return static_cast<float>(part * total); };
        double alpha = 0.0;
        double beta = 1.0;
        int first = 0;
        int last = bins - 1;
        float least = std::numeric_limits<float>::infinity();
        while (alpha < beta) {
            int l = first;
            int r = last;
            while (l < last && cumulated[static_cast<std::size_t>(l)] < share(alpha + step))
                ++l;
            while (r > first && cumulated[static_cast<std::size_t>(r)] > share(beta - step))
                --r;
            int next_first = first;
            int next_last = last;
            if (l - first > last - r) {
                next_first = l;
                alpha += step;
            } else {
                next_last = r;
                beta -= step;
            }
            if (next_first == first && next_last == last) continue;
            const float error = error_of(next_first, next_last, levels);
            if (error > least) break;
            least = error;
            first = next_first;
            last = next_last;
        }
        return {first, last};
    }

    /// The squared error, up to a factor, of `levels` steps from bin `first` to bin `last`.
    /// **Rounding** every term in float32, because the search stops where errors are equal to their
    /// last digits; the sum in double.
    [[nodiscard]] float error_of(int first, int last, int levels = 256) const {
        // A power of two apart, errors compare alike, and third powers stay within float32.
        constexpr double most_width = 0x1p20;
        double exact = bin_width();
        if (exact > 0.0 && !(exact < most_width && exact > 1.0 / most_width))
            exact = std::ldexp(exact, -std::ilogb(exact));
        const auto width = static_cast<float>(exact);
        const auto step = static_cast<float>(exact * (last - first + 1) / levels);
        if (step == 0.0F) return 0.0F;
        const float half = step / 2.0F;
        const auto norm = [](float from, float to) {
            return (to * to * to - from * from * from) / 3.0F;
        };
        const float whole = norm(-half, half);
        double sum = 0.0;
        for (int k = 0; k < bins; ++k) {
            const float begin = static_cast<float>(k - first) * width;
            const float end = begin + width;
            const auto inside = [&](float at) {
                return std::clamp(std::floor(at / step), 0.0F, static_cast<float>(levels - 1));
            };
            const float a = inside(begin);
            const float b = inside(end);
            const float density = counts_[static_cast<std::size_t>(k)] / width;
            float term = density * norm(begin - (a + 0.5F) * step, half);
            term += (b - a - 1.0F) * (density * whole);
            term += density * norm(-half, end - (b * step + half));
            sum += static_cast<double>(term);
        }
        return static_cast<float>(sum);
    }

    [[nodiscard]] std::span<const float> counts() const noexcept { return counts_; }
    /// Ends of all values, {0, 0} before the first; the upper one may lie above the largest value.
    [[nodiscard]] extremes range() const noexcept { return range_; }

  private:
    static constexpr int finer = 128;
    /// Beyond these all of the old range falls into one new bin, or a width is no float32.
    static constexpr float most_times = 0x1p20F;
    static constexpr float widest = 0x1p124F;

    /// Counts x in bins over `wide`, the old counts going where the middles of their bins lie.
    void place_again(std::span<const float> x, extremes wide) {
        const double width = bin_width();
        const double from = static_cast<double>(range_.low);
        const std::vector<float> old = std::exchange(counts_, {});
        range_ = wide;
        counts_ = count(x, wide);
        for (int bin = 0; bin < bins; ++bin)
            if (const float c = old[static_cast<std::size_t>(bin)]; c > 0.0F)
                counts_[static_cast<std::size_t>(std::max(
                    0, bin_of(static_cast<float>(from + (bin + 0.5) * width), wide)))] += c;
    }

    [[nodiscard]] double bin_width() const noexcept {
        return (static_cast<double>(range_.high) - static_cast<double>(range_.low)) / bins;
    }
    [[nodiscard]] float sum() const {
        float total = 0.0F;
        for (const float c : counts_)
            total += c;
        return total;
    }
    /// -1 outside the range.
    [[nodiscard]] static int bin_of(float x, extremes range) {
        if (!(x >= range.low && x <= range.high)) return -1;
        if (!(range.low < range.high)) return 0;
        const float width = range.high - range.low;
        if (!is_finite(width)) {  // halves of both are never too large
            const float half = x / 2.0F - range.low / 2.0F;
            const float share = half / (range.high / 2.0F - range.low / 2.0F);
            return std::min(static_cast<int>(share * static_cast<float>(bins)), bins - 1);
        }
        const float place = (x - range.low) / width * static_cast<float>(bins);
        return std::min(static_cast<int>(place), bins - 1);
    }
    [[nodiscard]] std::vector<float> count(std::span<const float> x, extremes here) const {
        extremes ends = range_;
        if (truncates_) {
            ends = {std::trunc(range_.low), std::trunc(range_.high)};
            if (ends.low == ends.high) ends = here;
            if (ends.low == ends.high) ends = {here.low - 1.0F, here.high + 1.0F};
        }
        std::vector<float> out(bins, 0.0F);
        for (const float v : x)
            if (const int bin = is_finite(v) ? bin_of(v, ends) : -1; bin >= 0)
                out[static_cast<std::size_t>(bin)] += 1.0F;
        return out;
    }
    /// Old counts, spread evenly over cells from `start` on, that fall into a new bin of `gather`
    /// cells.
    [[nodiscard]] static double gathered(const std::vector<float>& old, int bin, int gather,
                                         std::int64_t start) {
        const std::int64_t from = std::int64_t{bin} * gather - start;
        double cells = 0.0;
        for (std::int64_t cell = std::max<std::int64_t>(from, 0);
             cell < std::min<std::int64_t>(from + gather, std::int64_t{bins} * finer);) {
            const std::int64_t source = cell / finer;
            const std::int64_t stop =
                std::min({(source + 1) * finer, from + gather, std::int64_t{bins} * finer});
            cells += static_cast<double>(old[static_cast<std::size_t>(source)]) *
                     static_cast<double>(stop - cell);
            cell = stop;
        }
        return cells / finer;
    }

    bool truncates_ = false;
    std::vector<float> counts_;
    extremes range_;
    bool started_ = false;
};

}  // namespace tare
