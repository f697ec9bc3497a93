#pragma once
// SPDX-License-Identifier: MIT
// What a quantizer is: it fits parameters to a tensor, turns values into codes of a numeric format
// and back, and says to the bit what the result occupies.

#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>

#include <tare/formats/concept.hpp>
#include <tare/quantize/storage.hpp>

namespace tare {

/// The object itself holds the options (bits, block size, ...); it is cheap to copy.
/// `fit` computes the parameters that are stored beside the codes; `fake_quantize` writes the
/// values that survive encode and decode; `storage(elements, nonzeros)` is exact.
template <class Q>
concept quantizer = std::regular<typename Q::params_type> &&
    requires(const Q q, std::span<const float> x, std::span<float> y,
             const typename Q::params_type p, std::int64_t n) {
    { Q::name } -> std::convertible_to<std::string_view>;
    { q.fit(x) } -> std::same_as<typename Q::params_type>;
    { q.fake_quantize(x, p, y) } -> std::same_as<void>;
    { q.storage(n, n) } -> std::same_as<storage_cost>;
};

}  // namespace tare
