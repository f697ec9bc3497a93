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

#include <tare/core/prefetch.hpp>
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
        run(
            0, [&](std::size_t first, std::span<float>) { return x.data() + first; },
            [](std::size_t, std::size_t) {});
    }
    /// The same for logits that are made a piece at a time: `logits(first, to)` writes those from
    /// column `first` on, a multiple of `piece`, and is called once for each piece. `work` is what
    /// one logit costs, in units of parallel_for. The bits are those of logits made beforehand.
    /// `logits.ahead(first, done)`, if there is one, is called while exponentials are taken, with
    /// the first column of the next piece and the columns that are done: it asks for the memory
    /// that the next piece is made of, which would otherwise be idle meanwhile.
    template <class Logits>
    piecewise_softmax(std::span<float> y, extent work, const Logits& logits) : y_(y) {
        run(
            work,
            [&](std::size_t first, std::span<float> to) {
                logits(static_cast<extent>(first), to);
                return static_cast<const float*>(to.data());
            },
            [&](std::size_t first, std::size_t done) __attribute__((always_inline)) {
                // The next logits are written here: their lines would be waited for one by one.
                for (std::size_t l = 0; l < simd::wide_lanes; l += 16)
                    simd::prefetch_for_write(y.data(),
                                             static_cast<std::ptrdiff_t>(first + done + l));
                if constexpr (requires { logits.ahead(extent{}, extent{}); })
                    if (first < y.size())
                        logits.ahead(static_cast<extent>(first), static_cast<extent>(done));
            });
    }

    /// Maximum and sum of the whole row.
    [[nodiscard]] const softmax_part& whole() const noexcept { return whole_; }

    /// y = factor e^(x - maximum): with factor = 1 / sum the probabilities.
    void finish(float maximum, float factor) const {
        // The last pieces first: they are still in the near caches.
        parallel_for(static_cast<extent>(parts_.size()), 1, piece, [&](extent begin, extent end) {
            for (auto p = static_cast<std::size_t>(end); p-- > static_cast<std::size_t>(begin);) {
                const std::size_t first = p * piece;
                const std::size_t count = std::min<std::size_t>(piece, y_.size() - first);
                const float share = factor * std::exp(parts_[p].maximum - maximum);
                float* const y = y_.data() + first;
                detail::row_map([share](auto e) { return e * like(e, share); }, y, count, y);
            }
        });
    }

    /// Logits of a piece: with what is made of them, and what the next piece is made of, they stay
    /// in the first cache.
    static constexpr std::size_t piece = 2048;

  private:
    /// `x(first, to)` says where the logits of the piece that belongs at `to` are.
    template <class Source, class Ahead>
    void run(extent work, const Source& x, const Ahead& ahead) {
        const std::size_t pieces = (y_.size() + piece - 1) / piece;
        parts_.resize(pieces);
        const extent each = (6 + work) * static_cast<extent>(piece);
        parallel_for(static_cast<extent>(pieces), 1, each, [&](extent begin, extent end) {
            for (auto p = static_cast<std::size_t>(begin); p < static_cast<std::size_t>(end); ++p) {
                const std::size_t first = p * piece;
                const std::size_t count = std::min<std::size_t>(piece, y_.size() - first);
                const std::span<float> to = y_.subspan(first, count);
                const float* const from = x(first, to);
                const float top = detail::row_max(from, count);
                const auto next = [&](std::size_t done) __attribute__((always_inline)) {
                    ahead(first + piece, done);
                };
                parts_[p] = {top, detail::row_exp_sum<true>(from, count, top, to.data(), next)};
            }
        });
        for (const softmax_part& part : parts_)
            whole_ = join(whole_, part);
    }

    std::span<float> y_;
    std::vector<softmax_part> parts_;
    softmax_part whole_;
};

}  // namespace tare::kernels
