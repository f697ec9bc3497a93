#pragma once
// SPDX-License-Identifier: MIT
// Matrices and the double reference that the tests of all matrix products share.

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/kernels/matmul_reference.hpp>

namespace tare::testing {

/// A matrix with a stride and a start of its own, filled with reproducible values in [-1, 1). What
/// lies between its rows and around it is a NaN of known bits, which a product must neither read
/// into a result nor write.
class framed_matrix {
  public:
    framed_matrix(extent rows, extent columns, extent gap, extent offset, std::uint64_t seed)
        : rows_(rows),
          columns_(columns),
          stride_(columns + gap),
          offset_(offset),
          memory_(static_cast<std::size_t>(offset + rows * (columns + gap) + 1),
                  std::numeric_limits<float>::quiet_NaN()) {
        const random_stream values(seed, 0);
        std::uint64_t n = 0;
        for (extent r = 0; r < rows; ++r)
            for (extent c = 0; c < columns; ++c)
                view()(r, c) = 2.0F * values.uniform(n++) - 1.0F;
    }

    [[nodiscard]] matrix_view<float> view() {
        return {memory_.data() + offset_, rows_, columns_, stride_};
    }
    [[nodiscard]] matrix_view<const float> view() const {
        return {memory_.data() + offset_, rows_, columns_, stride_};
    }
    /// True while everything around the elements is untouched.
    [[nodiscard]] bool frame_is_whole() const {
        for (extent i = 0; i < static_cast<extent>(memory_.size()); ++i) {
            const extent in_matrix = i - offset_;
            const bool element =
                in_matrix >= 0 && in_matrix < rows_ * stride_ && in_matrix % stride_ < columns_;
            if (!element && !std::isnan(memory_[static_cast<std::size_t>(i)])) return false;
        }
        return true;
    }

  private:
    extent rows_;
    extent columns_;
    extent stride_;
    extent offset_;
    std::vector<float> memory_;
};

/// op(A) op(B), and the same with absolute values, in double.
struct exact_product {
    std::vector<double> value;
    std::vector<double> magnitude;
};

inline exact_product exact(matrix_view<const float> a, matrix_view<const float> b, extent m,
                           extent n, kernels::matmul_options how) {
    const auto copy = [](matrix_view<const float> v, bool absolute) {
        std::vector<double> out;
        for (extent r = 0; r < v.rows; ++r)
            for (extent c = 0; c < v.columns; ++c)
                out.push_back(absolute ? std::fabs(v(r, c)) : v(r, c));
        return out;
    };
    exact_product out{std::vector<double>(static_cast<std::size_t>(m * n)), {}};
    out.magnitude = out.value;
    how.accumulate = false;
    for (const bool absolute : {false, true}) {
        const std::vector<double> left = copy(a, absolute);
        const std::vector<double> right = copy(b, absolute);
        kernels::matmul_reference<double>(
            matrix_view<const double>(left.data(), a.rows, a.columns),
            matrix_view<const double>(right.data(), b.rows, b.columns),
            matrix_view<double>((absolute ? out.magnitude : out.value).data(), m, n), how);
    }
    return out;
}

/// Unit roundoff of float.
inline constexpr double float_roundoff = 0x1p-24;

/// A float sum of K products in any order, each product and each addition rounded once, is off by
/// at most gamma(K) sum |a b| with gamma(n) = n u / (1 - n u) (Higham 2002, "Accuracy and stability
/// of numerical algorithms", section 3.1); one more addition for what C held, one for an epilogue.
inline double sum_bound(extent depth, double magnitude, extent additions = 2) {
    const double n = static_cast<double>(depth + additions) * float_roundoff;
    return n / (1.0 - n) * magnitude + std::numeric_limits<float>::denorm_min();
}

}  // namespace tare::testing
