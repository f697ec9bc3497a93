#pragma once
// SPDX-License-Identifier: MIT
// What the tests of kernels share: values, guarded buffers at any alignment, comparisons.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/parallel.hpp>
#include <tare/core/random.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/view.hpp>

namespace tare::testing {

/// Sizes around the sixteen lanes, the unrolled loops and the blocks, and some primes.
inline const std::vector<extent> awkward_sizes = {0,  1,  2,  7,   15,  16,   17,   31,   32,  33,
                                                  63, 64, 65, 127, 129, 1000, 2047, 2049, 4099};

/// Uniform values in [low, high), the same for the same seed.
inline std::vector<float> uniform_values(extent count, std::uint64_t seed, float low = -3.0F,
                                         float high = 3.0F) {
    const random_stream stream(seed, 0);
    std::vector<float> out(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = low + (high - low) * stream.uniform(i);
    return out;
}

/// Zeros, ones, subnormals, the least and largest normal numbers, infinities and NaN, both signs of
/// each, over and over; `first` says where in the list it begins.
inline std::vector<float> special_values(extent count, std::size_t first = 0) {
    using limits = std::numeric_limits<float>;
    constexpr float kinds[] = {0.0F,
                               1.0F,
                               0x1p-149F,
                               0x1.8p-130F,
                               limits::min(),
                               limits::max(),
                               limits::infinity(),
                               3.5F,
                               limits::quiet_NaN()};
    std::vector<float> out;
    for (std::size_t i = first; i < first + static_cast<std::size_t>(count); ++i)
        out.push_back(std::copysign(kinds[i % 9], i % 2 == 0 ? 1.0F : -1.0F));
    return out;
}

inline std::vector<double> widen(std::span<const float> x) {
    return {x.begin(), x.end()};
}

/// A matrix of floats inside memory that must not change around it, at an odd address, with rows
/// further apart than their length.
class guarded_matrix {
  public:
    guarded_matrix(extent rows, extent columns, extent gap = 3)
        : rows_(rows),
          columns_(columns),
          stride_(columns + gap),
          memory_(static_cast<std::size_t>(rows * stride_ + 2 * margin), guard) {}

    [[nodiscard]] matrix_view<float> view() {
        return {memory_.data() + margin, rows_, columns_, stride_};
    }
    /// Copies dense values in.
    void fill(std::span<const float> dense) {
        for (extent r = 0; r < rows_; ++r)
            std::copy_n(dense.data() + r * columns_, columns_, view().row(r).data());
    }
    /// Copies the matrix out.
    [[nodiscard]] std::vector<float> dense() {
        std::vector<float> out;
        for (extent r = 0; r < rows_; ++r)
            out.insert(out.end(), view().row(r).begin(), view().row(r).end());
        return out;
    }
    /// Whether everything outside the matrix still holds the guard value.
    [[nodiscard]] bool intact() {
        for (std::size_t i = 0; i < memory_.size(); ++i) {
            const extent at = static_cast<extent>(i) - margin;
            const bool inside = at >= 0 && at < rows_ * stride_ && at % stride_ < columns_;
            if (!inside && memory_[i] != guard) return false;
        }
        return true;
    }

  private:
    static constexpr extent margin = 17;
    static constexpr float guard = 123456.0F;
    extent rows_;
    extent columns_;
    extent stride_;
    std::vector<float> memory_;
};

/// The values as bits, so that NaN and signed zeros compare too.
inline bool same_bits(std::span<const float> a, std::span<const float> b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

/// Whether `compute()` (which returns floats) gives the same bits with 1, 2, 3 and 4 threads.
template <class Compute>
bool same_for_any_threads(Compute compute) {
    set_threads(1);
    const std::vector<float> one = compute();
    bool same = true;
    for (const int count : {2, 3, 4}) {
        set_threads(count);
        same = same && same_bits(one, compute());
    }
    set_threads(1);
    return same;
}

/// Distance of a float from the true value in units in the last place of the true value.
inline double ulp_error(float got, double want) {
    int exponent = 0;
    std::frexp(want, &exponent);
    return std::abs(static_cast<double>(got) - want) /
           std::ldexp(1.0, std::max(exponent - 24, -149));
}

}  // namespace tare::testing
