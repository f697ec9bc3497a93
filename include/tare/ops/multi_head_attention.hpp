#pragma once
// SPDX-License-Identifier: MIT
// Ordinary multi-head attention, self or cross, over projected queries, keys and values:
//     p[i,j] = softmax_j (scale q_i . k_j) over the keys that i may see,   o_i = sum_j p[i,j] v_j
// head by head, the heads side by side in a row. Keys are forbidden for a whole stream (padding) or
// by order (causal). Source: Vaswani et al. 2017, section 3.2.

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tare/kernels/attention.hpp>
#include <tare/kernels/attention_backward.hpp>
#include <tare/ops/concept.hpp>
#include <tare/ops/softmax_price.hpp>
#include <tare/readings/apply.hpp>

namespace tare {

/// Which keys a query may see.
struct attention_mask {
    bool causal = false;                ///< only keys at or before its own position
    std::vector<std::uint8_t> padding;  ///< (B, Tk), non-zero forbids the key; empty for none
};

namespace op {

/// Inputs queries (Tq, B, H nk), keys (Tk, B, H nk), values (Tk, B, H nv). Result (Tq, B, H nv).
/// `Points` is applied to the probabilities of every row (kernels/attention_points.hpp), as in
/// segment_attention. A query that may see no key has result and gradient zero.
template <class Points = kernels::no_attention_points>
struct multi_head_attention {
    static constexpr std::string_view name = "multi_head_attention";
    static constexpr bool starts_gradients = true;
    extent heads = 1;
    double scale = 1.0;  ///< of the scores; 1 where the queries carry it, 0 for nk^(-1/2)
    attention_mask mask{};
    Points points{};

    constexpr shape result_shape(std::span<const shape> in) const {
        require(in.size() == 3 && in[0].rank() == 3 && in[1].rank() == 3 && in[2].rank() == 3, name,
                ": expected queries (Tq,B,d), keys (Tk,B,d) and values (Tk,B,dv)");
        const shape &q = in[0], &k = in[1], &v = in[2];
        require(k[1] == q[1] && v[1] == q[1] && v[0] == k[0], name, ": queries are ", q, ", keys ",
                k, ", values ", v, "; batches must agree, and keys and values in length");
        require(heads >= 1 && q[2] == k[2] && q[2] % heads == 0 && v[2] % heads == 0, name,
                ": queries are ", q, ", keys ", k, ", values ", v, " for ", heads,
                " heads; queries and keys need one width, and heads must divide both widths");
        require(!mask.causal || k[0] >= q[0], name, ": causal with ", q[0], " queries and ", k[0],
                " keys; each query needs its own key");
        require(mask.padding.empty() || static_cast<extent>(mask.padding.size()) == q[1] * k[0],
                name, ": the padding mask has ", mask.padding.size(), " entries, expected (", q[1],
                ',', k[0], ") for batch and keys");
        return shape{q[0], q[1], v[2]};
    }
    template <class Scalar>
    void forward(input_views<Scalar> in, array_view<Scalar> out, saved<Scalar>& keep) const {
        const shape all{in[0].extents.rows() * heads, in[1].extents[0]};
        matrix_view<Scalar> probabilities;
        if (keep.wanted) probabilities = keep.keep(all).mutable_view().matrix();
        if constexpr (requires(std::span<const Scalar> p) { points.observe(p); }) {
            basic_tensor<Scalar> seen(all);
            run_forward(in, out.matrix(), seen.mutable_view().matrix(),
                        kernels::no_attention_points{});
            points.observe(std::as_const(seen).values());
        }
        run_forward(in, out.matrix(), probabilities, points);
    }
    template <class Scalar>
    void backward(input_views<Scalar> in, array_view<const Scalar>,
                  array_view<const Scalar> grad_out, const saved<Scalar>& kept,
                  gradient_views<Scalar> grad_in) const {
        // The kernel writes all three; what holds a gradient already, or wants none, is set aside.
        basic_tensor<Scalar> fresh[3];
        matrix_view<Scalar> to[3];
        for (std::size_t i = 0; i < 3; ++i) {
            const bool in_place = grad_in[i] && grad_in[i].empty;
            if (!in_place) fresh[i] = basic_tensor<Scalar>(in[i].extents);
            to[i] = in_place ? grad_in[i].matrix() : fresh[i].mutable_view().matrix();
        }
        const kernels::attention_gradients<Scalar> gradients{to[0], to[1], to[2]};
        const matrix_view<const Scalar> probabilities = kept.tensors[0].view().matrix();
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::attention_backward(layout_of(in), views(in), probabilities, grad_out.matrix(),
                                        gradients, points);
        } else {
            kernels::attention_backward_plain(layout_of(in), views(in), probabilities,
                                              grad_out.matrix(), gradients, points);
        }
        for (std::size_t i = 0; i < 3; ++i)
            if (grad_in[i] && !grad_in[i].empty)
                add_to(grad_in[i], std::as_const(fresh[i]).values());
    }
    /// For each head and each pair of a query and a key that it may see: q . k, the scale unless it
    /// is one, the softmax, and p v. Forbidden pairs are not executed and not counted.
    constexpr price cost(std::span<const operand> in, const operand&) const {
        const pair_count seen = pairs(in[0].extents[0], in[1].extents[0], in[0].extents[1]);
        const extent all = heads * seen.pairs;
        const extent rows = heads * seen.queries;
        const extent key_width = in[0].extents[2] / heads;
        const extent value_width = in[2].extents[2] / heads;
        const int qk_bits = std::max(in[0].bits, in[1].bits);
        price p;
        p.contraction(key_width, in[1].extents[0], heads * in[0].extents[1])
            .multiplications("content", all * key_width, qk_bits)
            .additions("content", all * (key_width - 1));
        if (scale != 1.0) p.multiplications("scale", all);
        p.others(softmax_maximum, all - rows)
            .additions(softmax_shift, all)
            .others(softmax_exponential, all)
            .additions(softmax_sum, all - rows)
            .others(softmax_division, all);
        if constexpr (requires { points.charge(p, all); }) points.charge(p, all);
        return p
            .multiplications("values", all * value_width, std::max(probability_bits(), in[2].bits))
            .additions("values", (all - rows) * value_width);
    }
    /// The mean of the probabilities over the heads, before any point: what fairseq calls the
    /// attention. **Shapes** queries (Tq, B, H nk), keys (Tk, B, H nk); result (Tq, B, Tk).
    /// **Throws** tare::error on shapes that do not fit.
    [[nodiscard]] tensor mean_weights(const tensor& queries, const tensor& keys) const {
        const shape shapes[] = {queries.shape(), keys.shape(), keys.shape()};
        const array_view<const float> in[] = {queries.view(), keys.view(), keys.view()};
        tensor unused(result_shape(shapes));
        tensor mean(shape{queries.shape()[0], queries.shape()[1], keys.shape()[0]});
        kernels::attention_forward(layout_of<float>(in), views<float>(in),
                                   unused.mutable_view().matrix(), {},
                                   mean.mutable_view().matrix());
        return mean;
    }

  private:
    struct pair_count {
        extent pairs = 0;    ///< of a query and a key that it may see
        extent queries = 0;  ///< that see any key
    };
    constexpr pair_count pairs(extent queries, extent keys, extent batch) const {
        pair_count all;
        for (extent b = 0; b < batch; ++b) {
            extent seen = 0;
            extent key = 0;
            for (extent i = 0; i < queries; ++i) {
                const extent visible = mask.causal ? i + 1 + keys - queries : keys;
                for (; key < visible; ++key)
                    if (mask.padding.empty() ||
                        mask.padding[static_cast<std::size_t>(b * keys + key)] == 0)
                        ++seen;
                all.pairs += seen;
                all.queries += seen > 0 ? 1 : 0;
            }
        }
        return all;
    }
    constexpr int probability_bits() const {
        if constexpr (requires { points.bits(); }) {
            return points.bits();
        } else {
            return 32;
        }
    }
    template <class Scalar, class Policy>
    void run_forward(input_views<Scalar> in, matrix_view<Scalar> out,
                     matrix_view<Scalar> probabilities, const Policy& policy) const {
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::attention_forward(layout_of(in), views(in), out, probabilities, {}, policy);
        } else {
            kernels::attention_forward_plain(layout_of(in), views(in), out, probabilities, {},
                                             policy);
        }
    }
    template <class Scalar>
    kernels::attention_layout layout_of(input_views<Scalar> in) const {
        return {.queries = in[0].extents[0],
                .keys = in[1].extents[0],
                .batch = in[0].extents[1],
                .heads = heads,
                .key_width = in[0].extents[2] / heads,
                .value_width = in[2].extents[2] / heads,
                .scale = scale,
                .causal = mask.causal};
    }
    template <class Scalar>
    kernels::attention_inputs<Scalar> views(input_views<Scalar> in) const {
        kernels::attention_inputs<Scalar> out{in[0].matrix(), in[1].matrix(), in[2].matrix(), {}};
        if (!mask.padding.empty())
            out.padding = {mask.padding.data(), in[0].extents[1], in[1].extents[0]};
        return out;
    }
};

}  // namespace op

/// Multi-head attention with `scale` as op::multi_head_attention has it.
/// **Shapes** queries (Tq, B, H nk), keys (Tk, B, H nk), values (Tk, B, H nv); result (Tq, B, H
/// nv).
/// **Cost** for each head and visible pair nk + nv multiplications, nk + nv - 1 additions and a
/// softmax; nv additions fewer for each query.
/// **Throws** tare::error on shapes that do not fit.
template <class T>
[[nodiscard]] constexpr T multi_head_attention(const T& queries, const T& keys, const T& values,
                                               extent heads, attention_mask mask = {},
                                               double scale = 1.0) {
    return apply(op::multi_head_attention<>{heads, scale, std::move(mask), {}}, queries, keys,
                 values);
}

}  // namespace tare
