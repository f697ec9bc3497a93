#pragma once
// SPDX-License-Identifier: MIT
// Two-dimensional convolution of one image, dense and depthwise, as the vision entries of the
// MicroNet Challenge need them for counting. Plain loops: vision models are weighed here, not run
// fast.
//     y[i,j,o] = sum_{u,v,c} x[s i + u - pad, s j + v - pad, c] K[u,v,c,o] (+ b[o])
// Padding multiplies zeros like any other value, as the challenge's counter assumes.

#include <array>
#include <span>
#include <string_view>

#include <tare/ops/concept.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

/// How a window moves over an image.
struct window_options {
    extent stride = 1;
    bool same = true;  ///< pad with k / 2 zeros on every side; otherwise not at all

    /// Positions along one axis: ceil((size - k + 1 + 2 pad) / stride). (Even kernels with padding
    /// give one more than usual, as in the challenge's counter.)
    [[nodiscard]] constexpr extent positions(extent size, extent k) const {
        const extent reach = size - k + 1 + 2 * padding(k);
        return reach <= 0 ? 0 : (reach + stride - 1) / stride;
    }
    [[nodiscard]] constexpr extent padding(extent k) const { return same ? k / 2 : 0; }
};

namespace op {

/// Inputs x (H, W, C), K (k, k, C, O), perhaps b (O). Result (H', W', O).
struct convolution {
    static constexpr std::string_view name = "convolution";
    window_options window{};

    constexpr shape result_shape(std::span<const shape> in) const {
        require((in.size() == 2 || in.size() == 3) && in[0].rank() == 3 && in[1].rank() == 4 &&
                    in[1][2] == in[0][2],
                name, ": x is ", in[0], ", the kernel ", in[1 % in.size()],
                "; expected (H,W,C) and (k,k,C,O)");
        require(in.size() == 2 || in[2].size() == in[1][3], name, ": the bias is ", in.back(),
                "; it needs one value for each output channel");
        require(window.stride >= 1, name, ": stride ", window.stride, "; it must be at least 1");
        return shape{window.positions(in[0][0], in[1][0]), window.positions(in[0][1], in[1][1]),
                     in[1][3]};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>&) const {
        const shape& k = in[1].extents;
        for_each_window(in[0].extents, k, out.extents, [&](extent i, extent j, auto&& pixel) {
            for (extent o = 0; o < k[3]; ++o) {
                Scalar sum{};
                for (extent tap = 0; tap < k[0] * k[1]; ++tap) {
                    const Scalar* x = pixel(in[0].data, tap);
                    for (extent c = 0; c < k[2]; ++c) {
                        const Scalar term =
                            (x == nullptr ? Scalar(0) : x[c]) * in[1][(tap * k[2] + c) * k[3] + o];
                        sum = tap == 0 && c == 0 ? term : sum + term;
                    }
                }
                out[(i * out.extents[1] + j) * k[3] + o] = in.size() == 3 ? sum + in[2][o] : sum;
            }
        });
    }
    constexpr price cost(std::span<const operand> in, const operand& out) const {
        const extent positions = out.extents[0] * out.extents[1];
        const operand& kernel = in[1];
        price p;
        p.contraction(kernel.extents[0] * kernel.extents[1] * kernel.extents[2], kernel.extents[3],
                      positions)
            .multiplications("product", positions * kernel.nonzeros,
                             kernel.bits > in[0].bits ? kernel.bits : in[0].bits)
            .additions("sum", positions * (kernel.nonzeros - filled(kernel)));
        if (in.size() == 3) p.additions("bias", positions * in[2].nonzeros);
        return p;
    }

  private:
    /// Output channels with any weight: all that can have one.
    static constexpr extent filled(const operand& kernel) {
        return kernel.nonzeros < kernel.extents[3] ? kernel.nonzeros : kernel.extents[3];
    }
    template <class Visit>
    void for_each_window(const shape& x, const shape& k, const shape& out, Visit&& visit) const {
        for (extent i = 0; i < out[0]; ++i)
            for (extent j = 0; j < out[1]; ++j)
                visit(i, j, [&, i, j](auto* data, extent tap) {
                    const extent r = i * window.stride + tap / k[1] - window.padding(k[0]);
                    const extent c = j * window.stride + tap % k[1] - window.padding(k[1]);
                    const bool inside = r >= 0 && r < x[0] && c >= 0 && c < x[1];
                    return inside ? data + (r * x[1] + c) * x[2] : nullptr;
                });
    }
};

/// Inputs x (H, W, C), K (k, k, C, 1), perhaps b (C). Result (H', W', C): each channel by itself.
struct depthwise_convolution {
    static constexpr std::string_view name = "depthwise_convolution";
    window_options window{};

    constexpr shape result_shape(std::span<const shape> in) const {
        require((in.size() == 2 || in.size() == 3) && in[0].rank() == 3 && in[1].rank() == 4 &&
                    in[1][2] == in[0][2] && in[1][3] == 1,
                name, ": x is ", in[0], ", the kernel ", in[1 % in.size()],
                "; expected (H,W,C) and (k,k,C,1)");
        return shape{window.positions(in[0][0], in[1][0]), window.positions(in[0][1], in[1][1]),
                     in[0][2]};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>& keep) const {
        // One dense convolution for each channel.
        const shape& k = in[1].extents;
        const shape& x = in[0].extents;
        for (extent c = 0; c < x[2]; ++c) {
            basic_tensor<Scalar> plane(shape{x[0], x[1], 1});
            basic_tensor<Scalar> kernel(shape{k[0], k[1], 1, 1});
            basic_tensor<Scalar> result(shape{out.extents[0], out.extents[1], 1});
            for (extent i = 0; i < x[0] * x[1]; ++i)
                plane.mutable_view()[i] = in[0][i * x[2] + c];
            for (extent i = 0; i < k[0] * k[1]; ++i)
                kernel.mutable_view()[i] = in[1][i * k[2] + c];
            std::array<array_view<const Scalar>, 3> views{plane.view(), kernel.view()};
            if (in.size() == 3) views[2] = {&in[2][c], shape{1}};
            convolution{window}.forward(input_views<Scalar>(views).first(in.size()),
                                        result.mutable_view(), keep);
            for (extent i = 0; i < result.size(); ++i)
                out[i * x[2] + c] = result.view()[i];
        }
    }
    constexpr price cost(std::span<const operand> in, const operand& out) const {
        const extent positions = out.extents[0] * out.extents[1];
        const operand& kernel = in[1];
        const extent channels = kernel.extents[2];
        price p;
        p.contraction(kernel.extents[0] * kernel.extents[1], channels, positions)
            .multiplications("product", positions * kernel.nonzeros,
                             kernel.bits > in[0].bits ? kernel.bits : in[0].bits)
            .additions("sum",
                       positions * (kernel.nonzeros -
                                    (kernel.nonzeros < channels ? kernel.nonzeros : channels)));
        if (in.size() == 3) p.additions("bias", positions * in[2].nonzeros);
        return p;
    }
};

}  // namespace op

}  // namespace tare
