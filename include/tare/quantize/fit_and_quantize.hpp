#pragma once
// SPDX-License-Identifier: MIT
// Statistics and values of a tensor together: y = fake_quantize(x, fit(x)), what training does with
// every tensor that it compresses. A quantizer that can do both while the elements are in the cache
// has a member of this name; for all others the two steps follow each other. The bits are the same.

#include <span>

#include <tare/quantize/concept.hpp>

namespace tare {

/// A quantizer with a pass of its own for both steps.
template <class Q>
concept fusing_quantizer = quantizer<Q> &&
    requires(const Q q, std::span<const float> x, std::span<float> y) {
    { q.fit_and_quantize(x, y) } -> std::same_as<void>;
};

/// y = what survives of `x` under the parameters that `q` finds in it. `y` may be `x`.
/// **Throws** what `fit` and `fake_quantize` of the quantizer throw.
template <quantizer Q>
void fit_and_quantize(const Q& q, std::span<const float> x, std::span<float> y) {
    if constexpr (fusing_quantizer<Q>) {
        q.fit_and_quantize(x, y);
    } else {
        q.fake_quantize(x, q.fit(x), y);
    }
}

}  // namespace tare
