#pragma once
// SPDX-License-Identifier: MIT
// What vision networks do between convolutions: global average pooling, scaling of channels
// (squeeze and excite), and the swish function.

#include <cmath>
#include <span>
#include <string_view>

#include <tare/core/scalar.hpp>
#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare::op {

/// Input x (H, W, C). Result (1, 1, C): the mean of each channel.
struct global_average {
    static constexpr std::string_view name = "global_average";

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in[0].rank() == 3 && in[0].size() > 0, name, ": x is ", in[0],
                "; expected (H,W,C) with something in it");
        return shape{1, 1, in[0][2]};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        const extent channels = in[0].extents[2];
        const extent pixels = in[0].size() / channels;
        const auto share = constant<Scalar>(1.0 / static_cast<double>(pixels));
        for (extent c = 0; c < channels; ++c) {
            Scalar sum = in[0][c];
            for (extent i = 1; i < pixels; ++i)
                sum = sum + in[0][i * channels + c];
            out[c] = sum * share;
        }
    }
    constexpr price cost(std::span<const operand> in, const operand&) const {
        const extent channels = in[0].extents[2];
        return price{}
            .contraction(in[0].extents.rows(), channels)
            .additions("sum", in[0].extents.size() - channels)
            .multiplications("mean", channels);
    }
};

/// Inputs x (H, W, C) and factors (1, 1, C). Result (H, W, C).
struct channel_scale {
    static constexpr std::string_view name = "channel_scale";

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 2 && in[1].size() == in[0].columns(), name, ": x is ", in[0],
                ", the factors are ", in.back(), "; one for each channel is needed");
        return in[0];
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        const extent channels = in[0].extents.columns();
        for (extent i = 0; i < out.size(); ++i)
            out[i] = in[0][i] * in[1][i % channels];
    }
    constexpr price cost(std::span<const operand> in, const operand& out) const {
        return price{}.multiplications("scale", out.extents.size(),
                                       in[0].bits > in[1].bits ? in[0].bits : in[1].bits);
    }
};

/// x / (1 + exp(-x)), element by element.
struct swish {
    static constexpr std::string_view name = "swish";

    constexpr shape result_shape(std::span<const shape> in) const { return in[0]; }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        using std::exp;
        for (extent i = 0; i < out.size(); ++i)
            out[i] = in[0][i] / (Scalar(1) + exp(Scalar(0) - in[0][i]));
    }
    constexpr price cost(std::span<const operand>, const operand& out) const {
        const extent n = out.extents.size();
        return price{}.others("function", 2 * n).additions("function", 2 * n);
    }
};

}  // namespace tare::op
