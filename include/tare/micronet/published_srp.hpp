#pragma once
// SPDX-License-Identifier: MIT
// The floating-point operations that the code of selectively regularised pruning (SRP, 2022) counts
// for translating one sentence, after the counter of ELECTRA (Clark et al. 2020): no MicroNet
// count. A multiplication and an addition are 2, dropout 4, a layer norm 5, an activation 8 and a
// softmax 8 operations an element. For a length S, widths e (residual stream), q (query and key),
// v (value), f (inner) and H heads:
//     attention = S [2 e q + q + 2 q S + 8 S H + 4 S H + S H + 2 e S + 2 e^2 + e + 4 e + e + 5
//                    + (2 e q + q + 2 e v + v)]
//     feed forward = S [2 e f + 8 f + f + 2 f e + e + 4 e + e + 5 e]
// It departs from what is executed in ways that are kept, since they are in every printed figure:
// each is said where it enters below.

#include <span>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare::micronet {

/// Widths of one layer, all heads together.
struct srp_layer_widths {
    extent query_key = 512;
    extent value = 512;
    extent inner = 1024;
};

/// A translation Transformer as this counter sees it: one width for both sides.
struct srp_network {
    extent length = 50;  ///< S, of the source and of the translation
    extent width = 512;
    extent heads = 4;
    extent target_words = 6632;
    std::span<const srp_layer_widths> encoder;
    std::span<const srp_layer_widths> decoder;
};

/// Operations by part.
struct published_srp_operations {
    extent encoder = 0;
    extent decoder = 0;
    extent output = 0;

    [[nodiscard]] constexpr extent all() const { return encoder + decoder + output; }
    friend constexpr bool operator==(const published_srp_operations&,
                                     const published_srp_operations&) = default;
};

namespace detail {

inline constexpr extent srp_dropout = 4;
inline constexpr extent srp_layer_norm = 5;
inline constexpr extent srp_activation = 8;
inline constexpr extent srp_softmax = 8;

/// One attention over a whole sentence.
constexpr extent published_srp_attention(const srp_network& n, const srp_layer_widths& w) {
    const extent s = n.length;
    const extent e = n.width;
    const extent query = 2 * e * w.query_key + w.query_key;
    const extent scores = 2 * w.query_key * s;
    const extent weights = (srp_softmax + srp_dropout + 1) * s * n.heads;
    // The weighted sum and the output projection use the residual width where v is meant.
    const extent sum = 2 * e * s;
    const extent output = 2 * e * e + e;
    // The layer norm is charged 5 operations for a row, not for each of its elements.
    const extent rest = srp_dropout * e + e + srp_layer_norm;
    const extent key_value = 2 * e * w.query_key + w.query_key + 2 * e * w.value + w.value;
    return s * (query + scores + weights + sum + output + rest + key_value);
}

/// One feed-forward network over a whole sentence.
constexpr extent published_srp_feed_forward(const srp_network& n, const srp_layer_widths& w) {
    const extent e = n.width;
    const extent f = w.inner;
    return n.length * (2 * e * f + srp_activation * f + f + 2 * f * e + e + srp_dropout * e + e +
                       srp_layer_norm * e);
}

}  // namespace detail

/// The published count. **Units** operations a sentence of S tokens.
/// **Throws** tare::error on a length, width or number of heads below 1.
[[nodiscard]] constexpr published_srp_operations published_srp_count(const srp_network& network) {
    require(network.length >= 1 && network.width >= 1 && network.heads >= 1,
            "published_srp_count: a length of ", network.length, ", a width of ", network.width,
            " and ", network.heads, " heads; each must be at least 1");
    published_srp_operations out;
    for (const srp_layer_widths& w : network.encoder)
        out.encoder += detail::published_srp_attention(network, w) +
                       detail::published_srp_feed_forward(network, w);
    // Cross-attention is charged with the widths of self-attention, and each of the S decoding
    // steps with all S positions, as if no key or value were kept from the step before.
    for (const srp_layer_widths& w : network.decoder)
        out.decoder += network.length * (2 * detail::published_srp_attention(network, w) +
                                         detail::published_srp_feed_forward(network, w));
    // Embeddings cost nothing here; the output layer has a bias that the model does not have.
    out.output = network.length * (2 * network.width * network.target_words + network.target_words);
    return out;
}

}  // namespace tare::micronet
