#pragma once
// SPDX-License-Identifier: MIT
// k-means as product quantization runs it: a fixed number of steps, each
//     codes = nearest entry of every column;  empty entries are filled;  entry = mean of its
//     columns
// An empty entry is filled by splitting the most populated one m (of several, the one that the
// first column meets): with e = split * rms of the data * N(0, 1) per value, the empty entry
// becomes c_m + e and c_m becomes c_m - e. When too many splits in one step leave an entry empty,
// all ends with the entries and codes of that moment.
//
// The start, unless given, is distinct columns at random. Draws are those of a counter, sums have a
// fixed order: the result does not depend on the number of threads.
// Source: Stock, Joulin, Gribonval, Graham, Jegou 2020, "And the bit goes down", section 3; fairseq
// (quantization/pq/em.py) for empty entries.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <tare/core/aligned.hpp>
#include <tare/core/error.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/core/view.hpp>
#include <tare/quantize/codebook.hpp>

namespace tare {

struct k_means_options {
    extent entries = 256;    ///< of the codebook; at most 2^24
    int iterations = 20;     ///< every one is run: there is no test of convergence
    int splits = 31;         ///< most splits in one step
    float split = 1e-6F;     ///< distance of the halves, in root mean squares of the data
    std::uint64_t seed = 0;  ///< of the start and of the splits
    friend bool operator==(const k_means_options&, const k_means_options&) = default;
};

/// What k-means found. `codes` are those of the last step, before its means: those that the entries
/// were made from.
struct k_means_result {
    aligned_vector<float> entries;      ///< (k, b)
    std::vector<codebook_entry> codes;  ///< one for each column
    std::vector<double> distances;  ///< |entry[code] - column| over all columns, after each step
    std::vector<int> splits;        ///< of each step
    bool gave_up = false;           ///< splits did not fill every entry
};

namespace detail {

/// One run, step by step.
template <class Noise>
class k_means_run {
  public:
    k_means_run(matrix_view<const float> columns, std::span<const float> start,
                const k_means_options& options, const Noise& noise)
        : columns_(columns), options_(options), noise_(noise) {
        out_.entries.assign(start.begin(), start.end());
        out_.codes.resize(static_cast<std::size_t>(columns.rows));
    }

    k_means_result run() {
        nearest_entries(columns_, entries(), out_.codes);
        for (int step = 0; step < options_.iterations; ++step) {
            if (step > 0) nearest_entries(columns_, entries(), out_.codes);
            count();
            if (!fill_empty()) {
                out_.gave_up = true;
                break;
            }
            take_means();
        }
        return std::move(out_);
    }

  private:
    [[nodiscard]] extent width() const noexcept { return columns_.columns; }
    [[nodiscard]] matrix_view<const float> entries() const {
        return {out_.entries.data(), options_.entries, width()};
    }
    [[nodiscard]] float* entry(extent k) { return out_.entries.data() + k * width(); }
    [[nodiscard]] const float* column(extent i) const {
        return columns_.data + i * columns_.stride;
    }
    [[nodiscard]] double distance(extent i, extent k) {
        return squared_distance(column(i), entry(k), width());
    }

    void count() {
        counts_.assign(static_cast<std::size_t>(options_.entries), 0);
        for (const codebook_entry code : out_.codes)
            ++counts_[code];
    }

    /// False when the splits of a step are used up.
    bool fill_empty() {
        out_.splits.push_back(0);
        for (;;) {
            const auto empty = std::ranges::find(counts_, extent{0});
            if (empty == counts_.end()) return true;
            if (out_.splits.back() == options_.splits) return false;
            ++out_.splits.back();
            split(most_populated(), empty - counts_.begin());
        }
    }

    [[nodiscard]] extent most_populated() const {
        const extent most = *std::ranges::max_element(counts_);
        for (const codebook_entry code : out_.codes)
            if (counts_[code] == most) return code;
        return 0;
    }

    /// Splits entry `from` into itself and the empty entry `to`, and finds the nearest entries
    /// again: only these two have moved, so that columns of other entries ask no more than them.
    void split(extent from, extent to) {
        if (unit_ == 0.0F) unit_ = options_.split * root_mean_square();
        for (extent d = 0; d < width(); ++d) {
            const float e = unit_ * noise_(total_splits_, d);
            entry(to)[d] = entry(from)[d] + e;
            entry(from)[d] -= e;
        }
        ++total_splits_;
        parallel_for(columns_.rows, 64, 4 * width(), [&](extent begin, extent end) {
            for (extent i = begin; i < end; ++i) {
                codebook_entry& code = out_.codes[static_cast<std::size_t>(i)];
                const bool member = code == static_cast<codebook_entry>(from);
                double best = member ? std::numeric_limits<double>::infinity() : distance(i, code);
                const auto compare = [&](extent k) {
                    const double there = distance(i, k);
                    const auto candidate = static_cast<codebook_entry>(k);
                    if (there < best || (there == best && candidate < code)) {
                        best = there;
                        code = candidate;
                    }
                };
                if (member) {
                    for (extent k = 0; k < options_.entries; ++k)
                        compare(k);
                } else {
                    compare(from);
                    compare(to);
                }
            }
        });
        count();
    }

    [[nodiscard]] float root_mean_square() const {
        double sum = 0.0;
        for (extent i = 0; i < columns_.rows; ++i)
            for (extent d = 0; d < width(); ++d)
                sum += static_cast<double>(column(i)[d]) * static_cast<double>(column(i)[d]);
        return static_cast<float>(std::sqrt(sum / static_cast<double>(columns_.rows * width())));
    }

    /// Means in double, of columns in their order within pieces of fixed length.
    void take_means() {
        const extent piece = std::max(extent{4096}, 4 * options_.entries);
        const extent pieces = (columns_.rows + piece - 1) / piece;
        const std::size_t size = out_.entries.size();
        std::vector<double> sums(size * static_cast<std::size_t>(pieces), 0.0);
        parallel_for(pieces, 1, 4 * piece * width(), [&](extent begin, extent end) {
            for (extent p = begin; p < end; ++p) {
                double* const to = sums.data() + static_cast<std::size_t>(p) * size;
                for (extent i = p * piece; i < std::min((p + 1) * piece, columns_.rows); ++i) {
                    double* const sum =
                        to + static_cast<extent>(out_.codes[static_cast<std::size_t>(i)]) * width();
                    for (extent d = 0; d < width(); ++d)
                        sum[d] += static_cast<double>(column(i)[d]);
                }
            }
        });
        for (std::size_t j = 0; j < size; ++j) {
            double sum = 0.0;
            for (std::size_t p = 0; p < static_cast<std::size_t>(pieces); ++p)
                sum += sums[p * size + j];
            const extent members = counts_[j / static_cast<std::size_t>(width())];
            out_.entries[j] = static_cast<float>(sum / static_cast<double>(members));
        }
        note_distance();
    }

    void note_distance() {
        constexpr extent piece = 4096;
        const extent pieces = (columns_.rows + piece - 1) / piece;
        std::vector<double> sums(static_cast<std::size_t>(pieces), 0.0);
        parallel_for(pieces, 1, 4 * piece * width(), [&](extent begin, extent end) {
            for (extent p = begin; p < end; ++p)
                for (extent i = p * piece; i < std::min((p + 1) * piece, columns_.rows); ++i)
                    sums[static_cast<std::size_t>(p)] +=
                        distance(i, static_cast<extent>(out_.codes[static_cast<std::size_t>(i)]));
        });
        double sum = 0.0;
        for (const double part : sums)
            sum += part;
        out_.distances.push_back(std::sqrt(sum));
    }

    matrix_view<const float> columns_;
    const k_means_options& options_;
    const Noise& noise_;
    k_means_result out_;
    std::vector<extent> counts_;
    extent total_splits_ = 0;
    float unit_ = 0.0F;
};

inline void require_k_means(matrix_view<const float> columns, const k_means_options& options) {
    require(columns.rows >= 1 && columns.columns >= 1, "k_means: the columns are ", columns.shape(),
            "; there must be one of at least one value");
    require(options.entries >= 1 && options.entries <= extent{1} << 24,
            "k_means: ", options.entries, " entries; choose 1 to 2^24");
    require(options.iterations >= 0 && options.splits >= 0 && options.split >= 0.0F,
            "k_means: ", options.iterations, " iterations, ", options.splits, " splits by ",
            options.split, "; none may be negative");
}

}  // namespace detail

/// Indices of columns to start from: drawn without replacement, none equal to one before it; fewer
/// than the entries where there are not so many different columns.
/// **Shapes** columns (n, b); result at most (entries).
[[nodiscard]] inline std::vector<extent> k_means_start(matrix_view<const float> columns,
                                                       const k_means_options& options) {
    detail::require_k_means(columns, options);
    const extent n = columns.rows;
    require(n < extent{1} << 32, "k_means: ", n, " columns; fewer than 2^32 can be drawn from");
    const random_stream draws(options.seed, 0);
    std::vector<std::uint32_t> left(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < left.size(); ++i)
        left[i] = static_cast<std::uint32_t>(i);
    const auto same = [&](extent a, extent b) {
        return std::ranges::equal(columns.row(a), columns.row(b));
    };
    std::vector<extent> start;
    std::uint64_t draw = 0;
    for (auto size = static_cast<std::uint32_t>(n);
         size > 0 && static_cast<extent>(start.size()) < options.entries; --size, ++draw) {
        std::swap(left[draws.below(draw, size)], left[size - 1]);
        const auto candidate = static_cast<extent>(left[size - 1]);
        if (std::ranges::none_of(start, [&](extent one) { return same(one, candidate); }))
            start.push_back(candidate);
    }
    return start;
}

/// k-means from given entries, with given noise: noise(s, d) is the d-th value of the s-th split's
/// standard normal vector.
/// **Shapes** columns (n, b), start (k, b). Values are finite.
/// **Accuracy** means are those of double sums, rounded once; codes as nearest_entries.
/// **Throws** tare::error on shapes that do not fit.
/// **Complexity/threads** iterations n k b for the search and n b for the means; a split costs n b
/// and k b for each column that it divides.
template <class Noise>
[[nodiscard]] k_means_result k_means_from(matrix_view<const float> columns,
                                          std::span<const float> start,
                                          const k_means_options& options, const Noise& noise) {
    detail::require_k_means(columns, options);
    require(static_cast<extent>(start.size()) == options.entries * columns.columns,
            "k_means: ", options.entries, " entries of ", columns.columns,
            " values need a start of ", options.entries * columns.columns, " values, got ",
            start.size());
    return detail::k_means_run(columns, start, options, noise).run();
}

/// k-means from different columns at random, a function of the seed. Where there are fewer of them
/// than entries, they are the entries, in some order and with repetitions: nothing is left to
/// learn.
[[nodiscard]] inline k_means_result k_means(matrix_view<const float> columns,
                                            const k_means_options& options) {
    const std::vector<extent> different = k_means_start(columns, options);
    aligned_vector<float> start;
    for (std::size_t k = 0; k < static_cast<std::size_t>(options.entries); ++k) {
        const std::span<const float> one = columns.row(different[k % different.size()]);
        start.insert(start.end(), one.begin(), one.end());
    }
    k_means_options how = options;
    if (static_cast<extent>(different.size()) < options.entries) how.iterations = 0;
    const random_stream normals(options.seed, 1);
    return k_means_from(columns, start, how, [&](extent s, extent d) {
        return normals.normal(static_cast<std::uint64_t>(s * columns.columns + d));
    });
}

}  // namespace tare
