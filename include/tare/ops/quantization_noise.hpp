#pragma once
// SPDX-License-Identifier: MIT
// Quantization noise: while a network trains, a random part of a weight is what quantization would
// make of it, and the rest stays exact, so that most gradients see true weights. Applied to what
// the forward pass uses, never to the parameter itself, whose gradient is that of the noised
// weight.
//     block_noise     w_used = s w (1 - m), s = 1 / (1 - p), m ~ Bernoulli(p) for each block: what
//                     product quantization does to a block, as far as training can know
//     scalar_noise    w_used = q(w) where m = 1, clamp(w, lo, hi) where m = 0, on an integer_grid;
//                     gradient 1 in [lo, hi] and 0 outside
// Blocks lie in the order of memory: along a row of (in), or one kernel of (out, in, kh, kw).
// Source: Fan, Stock, Graham, Grave, Gribonval, Jegou, Joulin 2020, "Training with quantization
// noise for extreme model compression", section 4.

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/core/random.hpp>
#include <tare/ops/concept.hpp>
#include <tare/ops/conversion_price.hpp>
#include <tare/quantize/integer_grid.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

/// Which blocks or elements are noised: 1 for each that is.
using noise_mask = std::shared_ptr<const std::vector<std::uint8_t>>;

/// `count` draws, each 1 with probability p. **Throws** tare::error unless 0 <= p <= 1.
[[nodiscard]] inline noise_mask draw_noise(extent count, float p, const random_stream& draws) {
    require(p >= 0.0F && p <= 1.0F && count >= 0, "draw_noise: ", count, " draws with probability ",
            p, "; a probability is in [0, 1]");
    auto mask = std::make_shared<std::vector<std::uint8_t>>(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < mask->size(); ++i)
        (*mask)[i] = draws.uniform(i) < p ? 1 : 0;
    return mask;
}

namespace op {

struct block_noise {
    static constexpr std::string_view name = "block_noise";
    extent block = 8;
    float probability = 0.0F;  ///< that the mask was drawn with, below 1
    noise_mask mask;           ///< one for each block

    shape result_shape(std::span<const shape> in) const {
        require(block >= 1 && probability >= 0.0F && probability < 1.0F, name, ": blocks of ",
                block, " dropped with probability ", probability, "; it must be in [0, 1)");
        // Blocks may not run over the end of a row, or of a kernel: of the last axes together.
        require(in[0].rank() >= 2 && in[0].size() / in[0][0] % block == 0, name, ": rows of ",
                in[0], " are no whole number of blocks of ", block);
        require(mask != nullptr && static_cast<extent>(mask->size()) * block == in[0].size(), name,
                ": the mask has ", mask == nullptr ? 0 : mask->size(), " entries for ",
                in[0].size() / block, " blocks");
        return in[0];
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        const Scalar scale = Scalar(1.0F / (1.0F - probability));
        for (extent b = 0; b * block < out.size(); ++b)
            for (extent i = b * block; i < (b + 1) * block; ++i)
                out[i] =
                    (*mask)[static_cast<std::size_t>(b)] != 0 ? Scalar(0.0F) : scale * in[0][i];
    }
    /// Straight through: neither the mask nor the scale is seen.
    template <class Scalar>
    void backward(input_views<Scalar>, array_view<const Scalar>, array_view<const Scalar> grad_out,
                  const saved<Scalar>&, gradient_views<Scalar> grad_in) const {
        accumulate<Scalar>(grad_in[0].span(), grad_out.span());
    }
    /// Never executed by a finished model; a ledger that meets it charges the product.
    constexpr price cost(std::span<const operand>, const operand& out) const {
        return price{}.multiplications("block_noise", out.extents.size());
    }
};

struct scalar_noise {
    static constexpr std::string_view name = "scalar_noise";
    std::vector<integer_grid> grids;  ///< one, or one for each element of a row (last axis)
    noise_mask mask;                  ///< one for each element; none: everything is quantized
    /// Where an element outside the range is quantized, the published code gives 2 lo - w or
    /// 2 hi - w instead of the end of the range.
    bool published_reflection = false;

    shape result_shape(std::span<const shape> in) const {
        const auto count = static_cast<extent>(grids.size());
        require(count == 1 || (in[0].rank() >= 1 && count == in[0].columns()), name, ": ", count,
                " scales for ", in[0], "; one is needed, or one for each element of a row");
        require(mask == nullptr || static_cast<extent>(mask->size()) == in[0].size(), name,
                ": the mask has ", mask == nullptr ? 0 : mask->size(), " entries for ", in[0]);
        return in[0];
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        for (extent i = 0; i < out.size(); ++i) {
            const integer_grid& grid = grid_of(i);
            const Scalar& w = in[0][i];
            out[i] = w < Scalar(grid.lowest()) ? Scalar(grid.lowest()) : w;
            if (Scalar(grid.highest()) < w) out[i] = Scalar(grid.highest());
            if (mask != nullptr && (*mask)[static_cast<std::size_t>(i)] == 0) continue;
            if (published_reflection)
                out[i] = out[i] + (grid.round_trip(w) - w);
            else
                out[i] = grid.round_trip(w);
        }
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>&,
                  gradient_views<Scalar> grad_in) const {
        for (extent i = 0; i < grad_out.size(); ++i)
            if (!(in[0][i] < Scalar(grid_of(i).lowest())) &&
                !(Scalar(grid_of(i).highest()) < in[0][i]))
                grad_in[0][i] = grad_in[0][i] + grad_out[i];
    }
    constexpr price cost(std::span<const operand>, const operand& out) const {
        price p;
        return charge_conversion(p, out.extents.size());
    }
    int result_bits(std::span<const operand> in) const {
        return mask == nullptr ? grids.front().bits() : in[0].bits;
    }

  private:
    [[nodiscard]] const integer_grid& grid_of(extent i) const {
        return grids[static_cast<std::size_t>(i) % grids.size()];
    }
};

}  // namespace op

/// A weight with some of its blocks dropped, as the forward pass of training uses it.
/// **Shapes** w (out, ...), mask one for each block of memory. **Gradient** that of the result.
/// **Throws** tare::error on a probability outside [0, 1) or a mask of another size.
template <class T>
[[nodiscard]] T block_noise(const T& w, extent block, float probability, noise_mask mask) {
    return apply(op::block_noise{block, probability, std::move(mask)}, w);
}
/// The same with drawn masks: a function of the stream.
template <class T>
[[nodiscard]] T block_noise(const T& w, extent block, float probability,
                            const random_stream& draws) {
    require(block >= 1, "block_noise: blocks of ", block);
    return block_noise(w, block, probability,
                       draw_noise(w.shape().size() / block, probability, draws));
}

/// A weight or an activation with some of its elements on integer grids (training), or all of them
/// (no mask: evaluation). **Gradient** 1 inside the range, 0 outside.
/// **Throws** tare::error on grids or a mask of another number than above.
template <class T>
[[nodiscard]] T scalar_noise(const T& x, std::vector<integer_grid> grids, noise_mask mask = {}) {
    return apply(op::scalar_noise{std::move(grids), std::move(mask)}, x);
}

}  // namespace tare
