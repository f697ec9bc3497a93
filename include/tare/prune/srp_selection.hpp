#pragma once
// SPDX-License-Identifier: MIT
// Which units selectively regularised pruning takes out: those whose connectivity parameter has the
// LARGEST gradient, for the importance of a unit is minus that gradient. Three rules:
//     columns of a residual stream    the top `count` of their vector
//     inner units                     all vectors of both sides sorted together; those above the
//                                     value with number `count`, so layers lose different numbers
//     query/key and value dimensions  the top `count` inside each slice of equal length (a head),
//                                     so that all heads keep one width
// The published code does not order equal gradients; here the earlier unit goes first.
// Source: selectively regularised pruning of Transformers (SRP, 2022).

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/prune/mask.hpp>
#include <tare/prune/srp_counts.hpp>

namespace tare::prune {

/// Slices of a query/key or value vector in the published code, whatever the number of heads.
inline constexpr extent published_srp_slices = 4;

namespace detail {

inline void require_ordered(std::string_view function, std::span<const float> gradient) {
    for (std::size_t i = 0; i < gradient.size(); ++i)
        require(std::isfinite(gradient[i]), function, ": gradient ", i, " is ", gradient[i],
                "; values that are not finite have no order");
}

/// Clears `keep` at the `count` largest gradients; equal ones in rising order of their place.
inline void prune_top(std::span<const float> gradient, std::span<std::uint8_t> keep, extent count) {
    std::vector<std::size_t> order(gradient.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return gradient[a] > gradient[b]; });
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
        keep[order[i]] = 0;
}

}  // namespace detail

/// Prunes the `count` largest gradients inside each of `slices` parts of equal length.
/// **Throws** tare::error on parts that do not divide the vector, on a count outside [0, length of
/// a part) (a part would be left empty) and on gradients that are not finite.
[[nodiscard]] inline mask mask_of_largest(std::span<const float> gradient, extent count,
                                          extent slices = 1) {
    const auto size = static_cast<extent>(gradient.size());
    require(slices >= 1 && size % slices == 0, "mask_of_largest: ", size, " gradients in ", slices,
            " slices; the slices must be of one length");
    const extent length = size / slices;
    require(count >= 0 && (count < length || count == 0), "mask_of_largest: ", count,
            " units to prune of ", length, "; at least one must be left");
    detail::require_ordered("mask_of_largest", gradient);
    mask keep(gradient.size(), 1);
    for (extent s = 0; s < slices; ++s) {
        const auto begin = static_cast<std::size_t>(s * length);
        const auto n = static_cast<std::size_t>(length);
        detail::prune_top(gradient.subspan(begin, n), std::span(keep).subspan(begin, n), count);
    }
    return keep;
}

/// Prunes what lies above the value with number `count` (from 0) of all gradients in falling order:
/// `count` units where no two are equal, fewer where that value occurs before.
/// **Throws** tare::error on a count outside [0, number of gradients) and on gradients that are not
/// finite.
[[nodiscard]] inline std::vector<mask>
masks_above_common_threshold(std::span<const std::span<const float>> gradients, extent count) {
    std::vector<float> all;
    for (const std::span<const float> g : gradients) {
        detail::require_ordered("masks_above_common_threshold", g);
        all.insert(all.end(), g.begin(), g.end());
    }
    std::vector<mask> keep;
    for (const std::span<const float> g : gradients)
        keep.emplace_back(g.size(), std::uint8_t{1});
    if (count == 0) return keep;
    require(count > 0 && count < static_cast<extent>(all.size()),
            "masks_above_common_threshold: ", count, " units to prune of ", all.size(),
            "; at least one must be left");
    const auto at = all.begin() + static_cast<std::ptrdiff_t>(count);
    std::nth_element(all.begin(), at, all.end(), std::greater<>());
    const float threshold = *at;
    for (std::size_t l = 0; l < gradients.size(); ++l)
        for (std::size_t i = 0; i < gradients[l].size(); ++i)
            keep[l][i] = gradients[l][i] > threshold ? 0 : 1;
    return keep;
}

/// The gradient of one vector of connectivity parameters, by the vector's name: "<side>.
/// embedding_c", "<side>.layers.<l>.fc_c", or "<side>.layers.<l>.<attention>_qk_c" and "..._vo_c".
struct connectivity_gradient {
    std::string_view label;
    std::span<const float> values;
};

/// The masks of all vectors of a network, in their order; 1 where a unit is kept.
/// `slices`: heads, or published_srp_slices.
/// **Throws** tare::error on a name of no kind, and as the rules above.
[[nodiscard]] inline std::vector<mask> select_units(std::span<const connectivity_gradient> vectors,
                                                    const srp_counts& counts, extent slices) {
    std::vector<std::span<const float>> inner;
    for (const connectivity_gradient& v : vectors)
        if (v.label.ends_with(".fc_c")) inner.push_back(v.values);
    std::vector<mask> of_inner = masks_above_common_threshold(inner, counts.inner_units);
    std::size_t next_inner = 0;
    std::vector<mask> keep;
    for (const connectivity_gradient& v : vectors) {
        if (v.label.ends_with(".fc_c"))
            keep.push_back(std::move(of_inner[next_inner++]));
        else if (v.label == "encoder.embedding_c")
            keep.push_back(mask_of_largest(v.values, counts.encoder_columns));
        else if (v.label == "decoder.embedding_c")
            keep.push_back(mask_of_largest(v.values, counts.decoder_columns));
        else if (v.label.ends_with("_qk_c"))
            keep.push_back(mask_of_largest(v.values, counts.query_key_per_head, slices));
        else if (v.label.ends_with("_vo_c"))
            keep.push_back(mask_of_largest(v.values, counts.value_per_head, slices));
        else
            fail("select_units: ", v.label,
                 " is no vector of connectivity parameters; expected a "
                 "name that ends in embedding_c, _qk_c, _vo_c or fc_c");
    }
    return keep;
}

}  // namespace tare::prune
