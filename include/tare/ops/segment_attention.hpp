#pragma once
// SPDX-License-Identifier: MIT
// Attention of a Transformer-XL layer: each position attends to itself and to the S positions
// before it, which may lie in the memory that the previous chunk left; trained position vectors,
// one for each distance, are added to the keys' scores. Formulas: kernels/segment_layout.hpp.
// Source: Dai et al. 2019, section 3, with the position term reduced to q . P.

#include <algorithm>
#include <span>
#include <type_traits>
#include <utility>

#include <tare/kernels/segment_attention.hpp>
#include <tare/kernels/segment_attention_backward.hpp>
#include <tare/ops/concept.hpp>
#include <tare/ops/softmax_price.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

namespace op {

/// Inputs qkv (T, B, H (2 nk + nv)), positions (nk, S + 1) and, optionally, the memory
/// (M, B, H (nk + nv)), M <= S. Result (T, B, H nv).
/// `Points` is applied to the probabilities of every row (kernels/attention_points.hpp); it says
/// how wide they are afterwards. One with a member observe(all probabilities) is shown them before
/// the first row is changed.
template <class Points = kernels::no_attention_points>
struct segment_attention {
    static constexpr std::string_view name = "segment_attention";
    static constexpr bool starts_gradients = true;
    extent heads = 1;
    extent key_width = 1;
    extent value_width = 1;
    Points points{};

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 2 || in.size() == 3, name,
                ": expected qkv, positions and perhaps memory");
        require(in[0].rank() == 3 && in[0][2] == heads * (2 * key_width + value_width), name,
                ": qkv is ", in[0], ", expected (T,B,", heads * (2 * key_width + value_width), ")");
        require(in[1].rank() == 2 && in[1][0] == key_width && in[1][1] >= 2, name,
                ": positions are ", in[1], ", expected (", key_width, ",S+1)");
        if (in.size() == 3)
            require(in[2].rank() == 3 && in[2][0] < in[1][1] && in[2][1] == in[0][1] &&
                        in[2][2] == heads * (key_width + value_width),
                    name, ": memory is ", in[2], ", expected (at most ", in[1][1] - 1, ',',
                    in[0][1], ',', heads * (key_width + value_width), ")");
        return shape{in[0][0], in[0][1], heads * value_width};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>& keep) const {
        const kernels::segment_layout layout = layout_of(in);
        matrix_view<Scalar> probabilities;
        const shape all{layout.tokens * layout.rows(), layout.entries()};
        if (keep.wanted) probabilities = keep.keep(all).mutable_view().matrix();
        if constexpr (requires(std::span<const Scalar> p) { points.observe(p); }) {
            basic_tensor<Scalar> seen(all);
            run_forward(layout, in, {}, seen.mutable_view().matrix(),
                        kernels::no_attention_points{});
            points.observe(std::as_const(seen).values());
        }
        run_forward(layout, in, out.matrix(), probabilities, points);
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>& kept,
                  gradient_views<Scalar> grad_in) const {
        basic_tensor<Scalar> d_positions(in[1].extents);
        const matrix_view<const Scalar> probabilities = kept.tensors[0].view().matrix();
        add_written(grad_in[0], in[0].extents, [&](array_view<Scalar> d_qkv) {
            const kernels::segment_gradients<Scalar> gradients{
                d_qkv.matrix(), d_positions.mutable_view().matrix(), {}};
            if constexpr (std::is_same_v<Scalar, float>) {
                kernels::segment_attention_backward(layout_of(in), views(in), probabilities,
                                                    grad_out.matrix(), gradients, points);
            } else {
                kernels::segment_attention_backward_plain(layout_of(in), views(in), probabilities,
                                                          grad_out.matrix(), gradients, points);
            }
        });
        add_to(grad_in[1], std::as_const(d_positions).values());
        require(grad_in.size() < 3 || !grad_in[2], name,
                ": no gradient reaches the memory of another chunk; pass it detached");
    }
    /// For each head and each pair of a position and a key it may see: q . k, q . P, their sum,
    /// the scale, the softmax, and p v. Pairs are counted as executed: windows at the start of a
    /// stream are short.
    constexpr price cost(std::span<const operand> in, const operand&) const {
        const extent tokens = in[0].extents[0];
        const extent window = in[1].extents[1] - 1;
        const extent memory = in.size() == 3 ? in[2].extents[0] : 0;
        const extent rows = in[0].extents[1] * heads;
        // Row t of a stream sees min(window, t + memory) + 1 keys; the first rows see fewer.
        const extent growing = std::clamp<extent>(window - memory, 0, tokens);
        const extent pairs = growing * (memory + 1) + growing * (growing - 1) / 2 +
                             (tokens - growing) * (window + 1);
        const extent all = rows * pairs;
        const extent queries = rows * tokens;
        const int qk_bits = in[0].bits;
        const int p_bits = probability_bits();
        price p;
        p.contraction(key_width, std::min(window, tokens - 1 + memory) + 1, rows)
            .multiplications("content", all * key_width, qk_bits)
            .additions("content", all * (key_width - 1))
            .multiplications("position", all * key_width, std::max(qk_bits, in[1].bits))
            .additions("position", all * (key_width - 1))
            .additions("position sum", all)
            .multiplications("scale", all);
        p.others(softmax_maximum, all - queries)
            .additions(softmax_shift, all)
            .others(softmax_exponential, all)
            .additions(softmax_sum, all - queries)
            .others(softmax_division, all);
        if constexpr (requires { points.charge(p, all); }) points.charge(p, all);
        return p.multiplications("values", all * value_width, std::max(p_bits, in[0].bits))
            .additions("values", (all - queries) * value_width);
    }

  private:
    template <class Scalar, class Policy>
    static void run_forward(const kernels::segment_layout& layout, input_views<Scalar> in,
                            matrix_view<Scalar> out, matrix_view<Scalar> probabilities,
                            const Policy& policy) {
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::segment_attention_forward(layout, views(in), out, probabilities, policy);
        } else {
            kernels::segment_attention_forward_plain(layout, views(in), out, probabilities, policy);
        }
    }
    constexpr int probability_bits() const {
        if constexpr (requires { points.bits(); }) {
            return points.bits();
        } else {
            return 32;
        }
    }
    template <class Scalar>
    kernels::segment_layout layout_of(input_views<Scalar> in) const {
        return {.tokens = in[0].extents[0],
                .batch = in[0].extents[1],
                .heads = heads,
                .key_width = key_width,
                .value_width = value_width,
                .window = in[1].extents[1] - 1};
    }
    template <class Scalar>
    static kernels::segment_inputs<Scalar> views(input_views<Scalar> in) {
        return {in[0].matrix(), in.size() == 3 ? in[2].matrix() : matrix_view<const Scalar>{},
                in[1].matrix()};
    }
};

}  // namespace op

}  // namespace tare
