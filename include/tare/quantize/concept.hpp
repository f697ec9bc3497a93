#pragma once
// SPDX-License-Identifier: MIT
// What a quantizer is: it fits parameters to a tensor, turns values into codes of a numeric format
// and back, and says to the bit what the result occupies.

#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>

#include <tare/formats/concept.hpp>
#include <tare/quantize/packed.hpp>
#include <tare/quantize/storage.hpp>

namespace tare {

/// The object itself holds the options (bits, block size, ...); it is cheap to copy.
/// `fit` computes the parameters that are stored beside the codes; `fake_quantize` writes the
/// values that survive encode and decode; `storage(elements, nonzeros)` is exact: fewer nonzeros
/// than elements means a pruned tensor, which stores the codes of its nonzeros and a mask of one
/// bit per element.
template <class Q>
concept quantizer = std::regular<typename Q::params_type> &&
    requires(const Q q, std::span<const float> x, std::span<float> y,
             const typename Q::params_type p, std::int64_t n) {
    { Q::name } -> std::convertible_to<std::string_view>;
    { q.fit(x) } -> std::same_as<typename Q::params_type>;
    { q.fake_quantize(x, p, y) } -> std::same_as<void>;
    { q.storage(n, n) } -> std::same_as<storage_cost>;
};

/// A quantizer with a real bit stream: decode(encode(x, p), y) writes what fake_quantize(x, p, y)
/// writes, bit for bit, and the stream has exactly the declared bits. `decode` takes the element
/// count from `y` and throws on a stream of another size.
template <class Q>
concept packing_quantizer = quantizer<Q> &&
    requires(const Q q, std::span<const float> x, std::span<float> y,
             const typename Q::params_type p, const packed_tensor& packed) {
    { q.encode(x, p) } -> std::same_as<packed_tensor>;
    { q.decode(packed, y) } -> std::same_as<void>;
};

/// A quantizer with a straight-through gradient: `backward(x, p, dy, dx)` writes dx = dy where the
/// quantizer passes gradients and 0 where it clamps.
template <class Q>
concept differentiable_quantizer = quantizer<Q> &&
    requires(const Q q, std::span<const float> x, const typename Q::params_type p,
             std::span<const float> dy, std::span<float> dx) {
    { q.backward(x, p, dy, dx) } -> std::same_as<void>;
};

/// A quantizer whose size depends on the values, not only on their number: `storage(n, nonzeros)`
/// is the largest possible size and `storage(x, params)` the exact one.
template <class Q>
concept adaptive_storage = quantizer<Q> &&
    requires(const Q q, std::span<const float> x, const typename Q::params_type p) {
    { q.storage(x, p) } -> std::same_as<storage_cost>;
};

/// Exact bits of these values coded with `p`.
template <quantizer Q>
[[nodiscard]] constexpr storage_cost storage_of(const Q& q, std::span<const float> x,
                                                const typename Q::params_type& p) {
    if constexpr (adaptive_storage<Q>) {
        return q.storage(x, p);
    } else {
        (void)p;
        const auto n = static_cast<std::int64_t>(x.size());
        return q.storage(n, n);
    }
}

}  // namespace tare
