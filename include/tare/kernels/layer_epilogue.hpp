#pragma once
// SPDX-License-Identifier: MIT
// What a layer does to the outputs of a product, chosen at run time, in one pass while they are in
// registers:  y = round(relu(v + bias)) + residual,  each part of it where it is wanted. One type
// for all layers: each epilogue type costs a set of tiles.

#include <optional>
#include <span>
#include <string_view>

#include <tare/kernels/epilogue.hpp>
#include <tare/kernels/round_to_steps.hpp>

namespace tare::kernels {

/// Parts are taken in the order in which they stand here; empty ones are left out.
struct layer_epilogue {
    std::span<const float> bias{};
    bool relu = false;
    std::optional<round_to_steps> rounding{};
    matrix_view<const float> residual{};

    /// The bits of the parts done one after another.
    [[gnu::always_inline]] simd::floats operator()(simd::floats v, extent row, extent column,
                                                   std::size_t count) const {
        if (bias.data() != nullptr) v = v + detail::load_lanes(bias.data() + column, count);
        if (relu) v = simd::max(simd::broadcast(0.0F), v);
        if (rounding) v = (*rounding)(v);
        if (residual.data != nullptr) v = v + detail::load_lanes(&residual(row, column), count);
        return v;
    }
    /// **Throws** tare::error on a bias or a residual of another shape than c, and on overlap.
    void check(std::string_view function, matrix_view<const float> c) const {
        if (bias.data() != nullptr) add_bias(bias).check(function, c);
        if (residual.data != nullptr) add_residual(residual).check(function, c);
    }
};

}  // namespace tare::kernels
