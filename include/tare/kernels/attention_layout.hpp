#pragma once
// SPDX-License-Identifier: MIT
// Sizes and operands of ordinary multi-head attention, self or cross:
//     score[i,j] = (q_i . k_j) * scale,   p = softmax_j over the keys allowed,   o_i = sum_j p_j
//     v_j
// A key may be forbidden for a whole batch entry (padding) or by order (causal). A query that may
// see no key at all gets probabilities, output and gradient zero.
// Source: Vaswani et al. 2017, "Attention is all you need", section 3.2.

#include <cmath>
#include <cstdint>

#include <tare/kernels/segment_layout.hpp>

namespace tare::kernels {

/// The sizes of one call; all are at least 1.
struct attention_layout {
    extent queries = 0;      ///< positions of the queries
    extent keys = 0;         ///< positions of keys and values
    extent batch = 1;        ///< B
    extent heads = 0;        ///< H
    extent key_width = 0;    ///< nk, per head
    extent value_width = 0;  ///< nv, per head
    double scale = 0.0;      ///< factor of the scores; 0 stands for key_width^(-1/2)
    /// Query i sees key j only if j <= i + (keys - queries): the last query sees all keys, so that
    /// a decoder may ask for its newest positions alone. Needs keys >= queries.
    bool causal = false;

    [[nodiscard]] double factor() const {
        return scale != 0.0 ? scale : 1.0 / std::sqrt(static_cast<double>(key_width));
    }
};

/// What attention reads.
/// **Shapes** queries (Tq*B, H*nk), keys (Tk*B, H*nk), values (Tk*B, H*nv), row t*B+b; padding
/// (B, Tk), non-zero forbids the key, or no data for none.
template <class Scalar>
struct attention_inputs {
    matrix_view<const Scalar> queries;
    matrix_view<const Scalar> keys;
    matrix_view<const Scalar> values;
    matrix_view<const std::uint8_t> padding;
};

/// Where the gradients go; each is overwritten. **Shapes** as in attention_inputs.
template <class Scalar>
struct attention_gradients {
    matrix_view<Scalar> queries;
    matrix_view<Scalar> keys;
    matrix_view<Scalar> values;
};

namespace detail {

/// Number of leading keys that order lets query i see.
constexpr extent visible_keys(const attention_layout& layout, extent i) {
    return layout.causal ? i + 1 + layout.keys - layout.queries : layout.keys;
}

/// Throws unless sizes and inputs fit together.
template <class Scalar>
void require_attention(const char* function, const attention_layout& layout,
                       const attention_inputs<Scalar>& in) {
    // The bound keeps every product of two sizes below 2^63.
    constexpr extent limit = extent{1} << 30;
    const auto positive = [&](const char* name, extent value) {
        require(value >= 1 && value < limit, function, ": ", name, " is ", value,
                "; it must be at least 1 and below 2^30");
    };
    positive("queries", layout.queries);
    positive("keys", layout.keys);
    positive("batch", layout.batch);
    positive("heads", layout.heads);
    positive("key_width", layout.key_width);
    positive("value_width", layout.value_width);
    require(std::isfinite(layout.scale), function, ": scale is ", layout.scale,
            "; it must be finite");
    require(!layout.causal || layout.keys >= layout.queries, function, ": causal with ",
            layout.queries, " queries and ", layout.keys,
            " keys; each query needs its own key, so there must be at least as many keys");
    require_matrix(function, "queries", in.queries, layout.queries * layout.batch,
                   layout.heads * layout.key_width);
    require_matrix(function, "keys", in.keys, layout.keys * layout.batch,
                   layout.heads * layout.key_width);
    require_matrix(function, "values", in.values, layout.keys * layout.batch,
                   layout.heads * layout.value_width);
    if (in.padding.data != nullptr)
        require_matrix(function, "padding", in.padding, layout.batch, layout.keys);
}

/// Throws unless the results of a forward call have their shapes and memory of their own.
template <class Scalar>
void require_attention_results(const char* function, const attention_layout& layout,
                               const attention_inputs<Scalar>& in, matrix_view<Scalar> out,
                               matrix_view<Scalar> probabilities,
                               matrix_view<Scalar> mean_weights) {
    const extent queries = layout.queries * layout.batch;
    require_matrix(function, "out", out, queries, layout.heads * layout.value_width);
    if (probabilities.data != nullptr)
        require_matrix(function, "probabilities", probabilities, queries * layout.heads,
                       layout.keys);
    if (mean_weights.data != nullptr)
        require_matrix(function, "mean_weights", mean_weights, queries, layout.keys);
    require_all_apart(
        function, {{"out", out}, {"probabilities", probabilities}, {"mean_weights", mean_weights}},
        {{"queries", in.queries},
         {"keys", in.keys},
         {"values", in.values},
         {"padding", in.padding}});
}

/// Throws unless what a backward call reads and writes has its shapes and memory of its own.
template <class Scalar>
void require_attention_gradients(const char* function, const attention_layout& layout,
                                 const attention_inputs<Scalar>& in,
                                 matrix_view<const Scalar> probabilities,
                                 matrix_view<const Scalar> d_out,
                                 const attention_gradients<Scalar>& gradients) {
    const extent queries = layout.queries * layout.batch;
    require_matrix(function, "probabilities", probabilities, queries * layout.heads, layout.keys);
    require_matrix(function, "d_out", d_out, queries, layout.heads * layout.value_width);
    const auto same = [&](const char* name, matrix_view<Scalar> to, matrix_view<const Scalar> of) {
        require_matrix(function, name, to, of.rows, of.columns);
    };
    same("gradients.queries", gradients.queries, in.queries);
    same("gradients.keys", gradients.keys, in.keys);
    same("gradients.values", gradients.values, in.values);
    require_all_apart(function,
                      {{"gradients.queries", gradients.queries},
                       {"gradients.keys", gradients.keys},
                       {"gradients.values", gradients.values}},
                      {{"queries", in.queries},
                       {"keys", in.keys},
                       {"values", in.values},
                       {"padding", in.padding},
                       {"probabilities", probabilities},
                       {"d_out", d_out}});
}

}  // namespace detail

}  // namespace tare::kernels
