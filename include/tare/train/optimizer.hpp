#pragma once
// SPDX-License-Identifier: MIT
// What an optimizer is: a small type of constants that names the moments it keeps for each
// parameter and knows one update. The trainer owns the moments, so checkpoints need no knowledge of
// the optimizer, and a new one is one file.

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include <tare/core/error.hpp>
#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/shape.hpp>

namespace tare::train {

/// One update of all parameters.
struct update_step {
    extent number = 1;             ///< from 1: bias corrections depend on it
    double rate = 1e-3;            ///< learning rate
    float gradient_factor = 1.0F;  ///< every gradient is multiplied by this first (clipping)
};

/// `O::moments` names the arrays of the parameter's size that update() is given, zeros at first.
template <class O>
concept optimizer = requires(const O& o, std::span<float> weight, std::span<const float> gradient,
                             std::span<const std::span<float>> moments, const update_step& at) {
    { O::name } -> std::convertible_to<std::string_view>;
    { O::moments.size() } -> std::convertible_to<std::size_t>;
    { O::moments[0] } -> std::convertible_to<std::string_view>;
    { o.update(weight, gradient, moments, at) } -> std::same_as<void>;
};

namespace detail {

template <class F, std::size_t... I>
void update_range(F f, float* weight, const float* gradient,
                  const std::array<float*, sizeof...(I)>& moments, extent begin, extent end,
                  std::index_sequence<I...>) {
    constexpr auto lanes = static_cast<extent>(simd::pack_lanes);
    extent i = begin;
    for (; i + lanes <= end; i += lanes) {
        simd::pack w = simd::load_pack(weight + i);
        std::array<simd::pack, sizeof...(I)> m{simd::load_pack(moments[I] + i)...};
        f(w, simd::load_pack(gradient + i), m[I]...);
        store(weight + i, w);
        (store(moments[I] + i, m[I]), ...);
    }
    if (i == end) return;
    const auto rest = static_cast<std::size_t>(end - i);
    simd::pack w = simd::load_pack(weight + i, rest);
    std::array<simd::pack, sizeof...(I)> m{simd::load_pack(moments[I] + i, rest)...};
    f(w, simd::load_pack(gradient + i, rest), m[I]...);
    store(weight + i, w, rest);
    (store(moments[I] + i, m[I], rest), ...);
}

}  // namespace detail

/// f(weight, gradient, moments...) on sixteen values at a time; f changes weight and moments. Lanes
/// must not mix: the result then depends on neither register width nor threads.
/// **Throws** tare::error on arrays of different sizes or another number of moments.
template <std::size_t Moments, class F>
void update_values(std::string_view name, std::span<float> weight, std::span<const float> gradient,
                   std::span<const std::span<float>> moments, F f) {
    require(gradient.size() == weight.size(), name, ": ", gradient.size(), " gradients for ",
            weight.size(), " weights");
    require(moments.size() == Moments, name, ": ", moments.size(), " moments, expected ", Moments);
    std::array<float*, Moments> at{};
    for (std::size_t i = 0; i < Moments; ++i) {
        require(moments[i].size() == weight.size(), name, ": moment ", i, " has ",
                moments[i].size(), " values for ", weight.size(), " weights");
        at[i] = moments[i].data();
    }
    parallel_for(static_cast<extent>(weight.size()), 64, 16, [&](extent begin, extent end) {
        detail::update_range(f, weight.data(), gradient.data(), at, begin, end,
                             std::make_index_sequence<Moments>{});
    });
}

}  // namespace tare::train
