#pragma once
// SPDX-License-Identifier: MIT
// The last `capacity` rows of what was there, followed by what came. Moving data costs nothing.

#include <algorithm>
#include <span>

#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs: fresh rows (N, d) or earlier rows (n, d) and fresh rows (N, d).
/// Result (min(capacity, n + N), d).
struct roll {
    static constexpr std::string_view name = "roll";
    extent capacity = 0;

    constexpr shape result_shape(std::span<const shape> in) const {
        extent rows = 0;
        for (const shape& part : in) {
            require(part.rank() == 2 && part[1] == in[0][1], name, ": rows are ", part, " and ",
                    in[0], "; they must be equally long");
            rows += part[0];
        }
        return shape{std::min(capacity, rows), in[0][1]};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        const extent width = out.extents[1];
        const extent fresh = std::min(out.extents[0], in.back().extents[0]);
        const extent old = out.extents[0] - fresh;
        if (old > 0) std::copy_n(in[0].data + in[0].size() - old * width, old * width, out.data);
        std::copy_n(in.back().data + in.back().size() - fresh * width, fresh * width,
                    out.data + old * width);
    }
    constexpr price cost(std::span<const operand>, const operand&) const {
        return free_of_charge();
    }
    constexpr int result_bits(std::span<const operand> in) const { return in.back().bits; }
};

}  // namespace op

}  // namespace tare
