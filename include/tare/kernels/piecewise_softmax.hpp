#pragma once
// SPDX-License-Identifier: MIT
// The softmax of one long row, a vocabulary's: cut into pieces that threads share, each with its
// own maximum, so that a piece is still in the near cache when its exponentials are taken.
//     m_p = max over piece p,  y_c = e^(x_c - m_p),  s_p = sum of these
//     m = max_p m_p,  s = sum_p s_p e^(m_p - m),  softmax(x)_c = y_c e^(m_p - m) / s
// The pieces depend on the length alone: any number of threads gives the same bits.

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <tare/kernels/row.hpp>
#include <tare/kernels/softmax.hpp>

namespace tare::kernels {

/// Maximum of some logits and the sum of their exponentials relative to it.
struct softmax_part {
    float maximum = -std::numeric_limits<float>::infinity();
    float sum = 0.0F;
};

/// The two parts as one; NaN sums stay NaN.
[[nodiscard]] inline softmax_part join(const softmax_part& a, const softmax_part& b) {
    if (!(a.maximum < b.maximum)) {
        // Nothing at all on one side must not become 0 * e^(-inf + inf).
        const bool empty = b.sum == 0.0F;
        return {a.maximum, empty ? a.sum : a.sum + b.sum * std::exp(b.maximum - a.maximum)};
    }
    return join(b, a);
}

/// Exponentials of a row and what is needed to make them probabilities.
class piecewise_softmax {
  public:
    /// Writes y = e^(x - maximum of the piece). Sizes equal; `y` may be `x`.
    /// **Accuracy** as softmax(), and one rounding for the factor of a piece.
    /// **Throws** tare::error on unequal sizes and half overlapping memory.
    piecewise_softmax(std::span<const float> x, std::span<float> y) : y_(y) {
        detail::require_size("piecewise_softmax", "y", y, static_cast<extent>(x.size()),
                             "one for each of x");
        detail::require_same_or_apart("piecewise_softmax", "x", x, "y", y);
        const std::size_t pieces = (x.size() + piece - 1) / piece;
        parts_.resize(pieces);
        parallel_for(static_cast<extent>(pieces), 1, 6 * piece, [&](extent begin, extent end) {
            for (auto p = static_cast<std::size_t>(begin); p < static_cast<std::size_t>(end); ++p) {
                const std::size_t first = p * piece;
                const std::size_t count = std::min<std::size_t>(piece, x.size() - first);
                const float top = detail::row_max(x.data() + first, count);
                parts_[p] = {
                    top, detail::row_exp_sum<true>(x.data() + first, count, top, y.data() + first)};
            }
        });
        for (const softmax_part& part : parts_)
            whole_ = join(whole_, part);
    }

    /// Maximum and sum of the whole row.
    [[nodiscard]] const softmax_part& whole() const noexcept { return whole_; }

    /// y = factor e^(x - maximum): with factor = 1 / sum the probabilities.
    void finish(float maximum, float factor) const {
        parallel_for(static_cast<extent>(parts_.size()), 1, piece, [&](extent begin, extent end) {
            for (auto p = static_cast<std::size_t>(begin); p < static_cast<std::size_t>(end); ++p) {
                const std::size_t first = p * piece;
                const std::size_t count = std::min<std::size_t>(piece, y_.size() - first);
                const float share = factor * std::exp(parts_[p].maximum - maximum);
                float* const y = y_.data() + first;
                detail::row_map([share](auto e) { return e * like(e, share); }, y, count, y);
            }
        });
    }

  private:
    static constexpr std::size_t piece = 8192;

    std::span<float> y_;
    std::vector<softmax_part> parts_;
    softmax_part whole_;
};

}  // namespace tare::kernels
