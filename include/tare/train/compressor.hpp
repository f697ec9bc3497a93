#pragma once
// SPDX-License-Identifier: MIT
// What compresses one tensor of a training step in place: the values are replaced by those that
// would survive storage. Adapters make one of any quantizer or element format; a user's own is any
// type with a name and a call.

#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include <tare/core/random.hpp>
#include <tare/formats/convert.hpp>
#include <tare/quantize/concept.hpp>
#include <tare/quantize/fit_and_quantize.hpp>

namespace tare::train {

/// Which of a step's tensors is being compressed.
struct compressor_call {
    std::string_view tag;       ///< activation, activation_gradient, gradient, weight, state
    std::uint64_t number = 0;   ///< calls before this one since training began
    bool non_negative = false;  ///< second moments: the result is brought back to >= 0 afterwards
};

/// `c(values, call)` replaces values by what survives. Draws should depend on `call.number`, so
/// that two calls do not round alike.
template <class C>
concept compressor = std::copyable<C> &&
    requires(C& c, std::span<float> values, const compressor_call& call) {
    { C::name } -> std::convertible_to<std::string_view>;
    { c(values, call) } -> std::same_as<void>;
};

/// Leaves every value as it is.
struct uncompressed {
    static constexpr std::string_view name = "uncompressed";
    constexpr void operator()(std::span<float>, const compressor_call&) const noexcept {}
};
static_assert(compressor<uncompressed>);

/// A quantizer fitted to each tensor anew. A quantizer that draws at random may have a member
/// `reseeded(call)`; it then rounds each call by other draws.
/// **Throws** what the quantizer throws, for example on tensors without whole rows.
template <quantizer Q>
class quantized {
  public:
    static constexpr std::string_view name = Q::name;

    quantized() = default;
    explicit quantized(Q quantizer) : quantizer_(std::move(quantizer)) {}

    void operator()(std::span<float> values, const compressor_call& call) const {
        if constexpr (requires {
                          { quantizer_.reseeded(call.number) } -> std::same_as<Q>;
                      }) {
            fit_and_quantize(quantizer_.reseeded(call.number), values, values);
        } else {
            fit_and_quantize(quantizer_, values, values);
        }
    }

  private:
    Q quantizer_{};
};

/// Every value rounded to an element format; a stochastic format by draws of (seed, call).
template <numeric_format F>
class rounded {
  public:
    static constexpr std::string_view name = F::name;

    rounded() = default;
    explicit rounded(std::uint64_t seed) : seed_(seed) {}

    void operator()(std::span<float> values, const compressor_call& call) const {
        if constexpr (stochastic_format<F>) {
            round_trip<F>(values, values, random_stream(seed_, call.number));
        } else {
            round_trip<F>(values, values);
        }
    }

  private:
    std::uint64_t seed_ = 0;
};

}  // namespace tare::train
