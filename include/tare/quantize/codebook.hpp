#pragma once
// SPDX-License-Identifier: MIT
// The nearest entry of a codebook for every column of a few values: what product quantization
// writes down. Distances are Euclidean, the lowest entry wins ties.
//
// The search is kernels/k_means_assign.hpp, whose scores x . c - |c|^2 / 2 lose what two entries
// differ by where they are close to each other and far from zero. Entries that close are found
// beforehand, and between them the differences x - c decide: a column that is an entry finds it.
// Values whose squares float32 would lose are scaled by a power of two for the search.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <tare/core/aligned.hpp>
#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/k_means_assign.hpp>
#include <tare/quantize/statistics.hpp>

namespace tare {

/// Index of an entry of a codebook.
using codebook_entry = std::uint32_t;

/// |x - c|^2, every difference and square exact: a float's fits a double.
[[nodiscard, gnu::always_inline]] inline double squared_distance(const float* x, const float* c,
                                                                 extent width) {
    double sum = 0.0;
    for (extent d = 0; d < width; ++d) {
        const double difference = static_cast<double>(x[d]) - static_cast<double>(c[d]);
        sum += difference * difference;
    }
    return sum;
}

namespace plain {

/// The reference of tare::nearest_entries: every distance from its definition.
inline void nearest_entries(matrix_view<const float> columns, matrix_view<const float> codebook,
                            std::span<codebook_entry> codes) {
    for (extent i = 0; i < columns.rows; ++i) {
        double best = 0.0;
        for (extent k = 0; k < codebook.rows; ++k) {
            const double distance =
                squared_distance(columns.data + i * columns.stride,
                                 codebook.data + k * codebook.stride, columns.columns);
            if (k > 0 && !(distance < best)) continue;
            best = distance;
            codes[static_cast<std::size_t>(i)] = static_cast<codebook_entry>(k);
        }
    }
}

}  // namespace plain

namespace detail {

/// Which entries are so close to each other that scores may confuse them.
class close_entries {
  public:
    /// Complexity: entries sorted by one value and compared within a window of it.
    explicit close_entries(matrix_view<const float> codebook)
        : first_(static_cast<std::size_t>(codebook.rows + 1), 0) {
        const extent width = codebook.columns;
        double largest = 0.0;
        for (extent k = 0; k < codebook.rows; ++k)
            largest = std::max(largest, squared_norm(codebook.row(k)));
        // Both scores of a column that lies on an entry err by (D + 3) 2^-24 2 |c|^2 at most
        // (kernels/k_means_assign.hpp), and a squared distance is two scores apart.
        const double close = 8.0 * static_cast<double>(width + 3) * 0x1p-24 * largest;
        const double window = std::sqrt(close);
        std::vector<extent> order(static_cast<std::size_t>(codebook.rows));
        std::iota(order.begin(), order.end(), extent{0});
        const auto at = [&](extent k) { return static_cast<double>(codebook(k, 0)); };
        std::ranges::sort(order, [&](extent a, extent b) { return at(a) < at(b); });
        std::vector<std::pair<extent, extent>> pairs;
        for (std::size_t i = 0; i < order.size(); ++i)
            for (std::size_t j = i + 1; j < order.size() && at(order[j]) - at(order[i]) <= window;
                 ++j) {
                const float* const a = codebook.data + order[i] * codebook.stride;
                const float* const b = codebook.data + order[j] * codebook.stride;
                const double apart = squared_distance(a, b, width);
                if (apart == 0.0 || apart > close) continue;  // equal ones are the same choice
                pairs.emplace_back(order[i], order[j]);
                pairs.emplace_back(order[j], order[i]);
            }
        std::ranges::sort(pairs);
        for (const auto& [k, other] : pairs) {
            ++first_[static_cast<std::size_t>(k) + 1];
            others_.push_back(static_cast<codebook_entry>(other));
        }
        std::partial_sum(first_.begin(), first_.end(), first_.begin());
    }

    [[nodiscard]] bool any() const noexcept { return !others_.empty(); }
    /// The entries close to `k`, ascending.
    [[nodiscard]] std::span<const codebook_entry> of(codebook_entry k) const {
        return std::span(others_).subspan(first_[k], first_[k + std::size_t{1}] - first_[k]);
    }

  private:
    static double squared_norm(std::span<const float> values) {
        double sum = 0.0;
        for (const float v : values)
            sum += static_cast<double>(v) * static_cast<double>(v);
        return sum;
    }

    std::vector<std::size_t> first_;
    std::vector<codebook_entry> others_;
};

inline float largest_magnitude_of(matrix_view<const float> m) {
    if (m.stride == m.columns)
        return largest_magnitude({m.data, static_cast<std::size_t>(m.rows * m.columns)});
    float most = 0.0F;
    for (extent r = 0; r < m.rows; ++r)
        most = std::max(most, largest_magnitude(m.row(r)));
    return most;
}

/// A copy of a matrix times a power of two.
inline aligned_vector<float> scaled_copy(matrix_view<const float> from, int exponent) {
    aligned_vector<float> out(static_cast<std::size_t>(from.rows * from.columns));
    for (extent r = 0; r < from.rows; ++r)
        for (extent c = 0; c < from.columns; ++c)
            out[static_cast<std::size_t>(r * from.columns + c)] = std::ldexp(from(r, c), exponent);
    return out;
}

}  // namespace detail

/// Codes of all columns: the nearest entry of the codebook, the lowest on ties.
/// **Shapes** columns (n, b), codebook (k, b), codes (n); 1 <= k <= 2^24. Values are finite.
/// **Accuracy** the chosen squared distance is within 2 (b + 3) 2^-24 (|x| |c| + |c|^2) of the
/// least; 0 where that is 0.
/// **Throws** tare::error on shapes that do not fit.
/// **Complexity/threads** n k b fused multiply-adds, or half as many steps where 16-bit dot
/// products are fast; columns are shared out, the codes do not depend on the number of threads.
inline void nearest_entries(matrix_view<const float> columns, matrix_view<const float> codebook,
                            std::span<codebook_entry> codes) {
    require(columns.columns == codebook.columns && codebook.rows >= 1, "nearest_entries: columns ",
            columns.shape(), " and a codebook ", codebook.shape(),
            "; entries need as many values as columns, and there must be one");
    const float most =
        std::max(detail::largest_magnitude_of(codebook), detail::largest_magnitude_of(columns));
    int exponent = 0;
    if (most > 0.0F && (most < 0x1p-30F || most > 0x1p30F)) exponent = -std::ilogb(most);
    if (exponent != 0) {
        const aligned_vector<float> x = detail::scaled_copy(columns, exponent);
        const aligned_vector<float> c = detail::scaled_copy(codebook, exponent);
        return nearest_entries({x.data(), columns.rows, columns.columns},
                               {c.data(), codebook.rows, codebook.columns}, codes);
    }
    kernels::k_means_assign(columns, codebook, codes);
    const detail::close_entries close(codebook);
    if (!close.any()) return;
    parallel_for(columns.rows, 64, 16, [&](extent begin, extent end) {
        for (extent i = begin; i < end; ++i) {
            codebook_entry& code = codes[static_cast<std::size_t>(i)];
            const std::span<const codebook_entry> others = close.of(code);
            if (others.empty()) continue;
            const float* const x = columns.data + i * columns.stride;
            const auto distance = [&](codebook_entry k) {
                return squared_distance(x, codebook.data + k * codebook.stride, columns.columns);
            };
            double best = distance(code);
            for (const codebook_entry other : others) {
                const double there = distance(other);
                if (there < best || (there == best && other < code)) {
                    best = there;
                    code = other;
                }
            }
        }
    });
}

}  // namespace tare
