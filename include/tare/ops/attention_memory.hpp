#pragma once
// SPDX-License-Identifier: MIT
// What the next chunk remembers of this one: keys and values of the last S positions, behind what
// is left of the memory so far. Moving data costs no operations.

#include <algorithm>
#include <span>

#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs qkv (T, B, H (2 nk + nv)) and, optionally, memory (M, B, H (nk + nv)).
/// Result (min(S, M + T), B, H (nk + nv)), oldest first.
struct attention_memory {
    static constexpr std::string_view name = "attention_memory";
    extent heads = 1;
    extent key_width = 1;
    extent value_width = 1;
    extent window = 1;

    constexpr shape result_shape(std::span<const shape> in) const {
        const extent known = in.size() == 2 ? in[1][0] : 0;
        return shape{std::min(window, known + in[0][0]), in[0][1],
                     heads * (key_width + value_width)};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        const extent kept = out.extents[0];
        const extent batch = out.extents[1];
        const extent width = key_width + value_width;
        const extent fresh = std::min(kept, in[0].extents[0]);
        const extent old = kept - fresh;
        if (old > 0) {
            const extent row = batch * heads * width;
            std::copy_n(in[1].data + (in[1].extents[0] - old) * row, old * row, out.data);
        }
        const extent head_width = key_width + width;
        const extent rows = fresh * batch * heads;
        const Scalar* from =
            in[0].data + (in[0].extents[0] - fresh) * batch * heads * head_width + key_width;
        Scalar* to = out.data + old * batch * heads * width;
        for (extent r = 0; r < rows; ++r)
            std::copy_n(from + r * head_width, width, to + r * width);
    }
    constexpr price cost(std::span<const operand>, const operand&) const {
        return free_of_charge();
    }
    constexpr int result_bits(std::span<const operand> in) const { return in[0].bits; }
};

}  // namespace op

}  // namespace tare
