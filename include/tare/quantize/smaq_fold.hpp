#pragma once
// SPDX-License-Identifier: MIT
// Batch-norm folding of SmaQ: elements are coded as (x - beta_c) / gamma_c and come back as
// v gamma_c + beta_c, while mean and deviation are those of x itself.
// Source: Shoghi, Bersatti, Qureshi, Kim 2021, IEEE Computer Architecture Letters 20(2).

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare {

/// Channel c of element i is (i / inner) modulo the number of channels; one channel folds the whole
/// tensor. Without gamma nothing is folded.
struct smaq_fold {
    std::span<const float> gamma;
    std::span<const float> beta;
    extent inner = 1;  ///< elements of one channel of one sample (H W)
};

namespace detail {

/// Throws unless gamma and beta have one size and a tensor of n elements consists of whole
/// channels.
inline void require_fold(std::string_view who, const smaq_fold& fold, std::size_t n) {
    require(fold.gamma.size() == fold.beta.size() && !fold.gamma.empty() && fold.inner > 0 &&
                (fold.gamma.size() == 1 || static_cast<extent>(n) % fold.inner == 0),
            who, ": folding ", n, " elements as channels of ", fold.inner, " with ",
            fold.gamma.size(), " gammas and ", fold.beta.size(), " betas");
}

/// Calls body(from, to, gamma, beta) on the pieces of [begin, end) that lie in one channel; gamma 1
/// and beta 0 where nothing is folded.
template <class Body>
void for_each_channel(extent begin, extent end, const smaq_fold& fold, const Body& body) {
    const auto channels = static_cast<extent>(fold.gamma.size());
    if (channels == 0) return body(begin, end, 1.0F, 0.0F);
    for (extent from = begin; from < end;) {
        const extent run = channels == 1 ? 0 : from / fold.inner;
        const extent stop = channels == 1 ? end : std::min(end, (run + 1) * fold.inner);
        const auto c = static_cast<std::size_t>(run % channels);
        body(from, stop, fold.gamma[c], fold.beta[c]);
        from = stop;
    }
}

}  // namespace detail

}  // namespace tare
