#pragma once
// SPDX-License-Identifier: MIT
// How many units selectively regularised pruning (SRP) takes out of a translation Transformer. Of a
// network in which the share k of every width is kept, n1 k^2 + n2 k parameters are left: n1 those
// of matrices between two widths that shrink, n2 those of tables, gains and biases. The kept
// fraction k for a rate r solves
//     n1 k^2 + n2 k = r (n1 + n2)        k = (sqrt(A^2 + 4 r (n1 + n2) / n1) - A) / 2,  A = n2 / n1
// and a share p = 1 - k^(1/iterations) of each kind of unit goes in every iteration, rounded up.
// Source: selectively regularised pruning of Transformers (SRP, 2022), the counts of its code.

#include <cmath>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare::prune {

/// Widths of the network before anything is pruned; they give the counts of both stages.
struct srp_sizes {
    extent width = 512;  ///< d, of both sides
    extent heads = 4;
    extent encoder_layers = 6;
    extent decoder_layers = 6;
    extent inner_units = 12288;  ///< of all feed-forward layers of both sides together
    extent source_words = 0;
    extent target_words = 0;

    /// Attentions of the network: one in an encoder layer, two in a decoder layer.
    [[nodiscard]] constexpr extent attentions() const {
        return encoder_layers + 2 * decoder_layers;
    }
    [[nodiscard]] constexpr extent head_width() const { return width / heads; }
    /// **Throws** tare::error on sizes that no such network has.
    constexpr void check() const {
        require(width >= 1 && heads >= 1 && width % heads == 0, "srp_sizes: a width of ", width,
                " for ", heads, " heads; the width must be a multiple of the heads");
        require(encoder_layers >= 0 && decoder_layers >= 0 && attentions() >= 1,
                "srp_sizes: ", encoder_layers, " and ", decoder_layers, " layers");
        require(inner_units >= 1 && source_words >= 0 && target_words >= 0,
                "srp_sizes: ", inner_units, " inner units, ", source_words, " and ", target_words,
                " words");
    }
};

/// Parameters by how they follow the kept fraction.
struct srp_parameters {
    extent square = 0;  ///< n1: between two widths that both shrink
    extent linear = 0;  ///< n2: with one such width

    [[nodiscard]] constexpr extent all() const { return square + linear; }
};

namespace detail {

/// `biased`: attentions whose query, key and value biases are counted.
constexpr srp_parameters srp_parameters_with(const srp_sizes& s, extent biased) {
    s.check();
    const extent d = s.width;
    const extent layers = s.encoder_layers + s.decoder_layers;
    const extent norms = 2 * s.encoder_layers + 3 * s.decoder_layers;
    return {.square = d * (2 * s.inner_units + 4 * d * s.attentions()),
            .linear = (s.source_words + s.target_words) * d + 2 * d * norms + 3 * d * biased +
                      d * s.attentions() + s.inner_units + d * layers};
}

}  // namespace detail

/// Every parameter of the network, a tied output table once.
[[nodiscard]] constexpr srp_parameters srp_parameters_of(const srp_sizes& s) {
    return detail::srp_parameters_with(s, s.attentions());
}

/// The same as the published code counts: query, key and value biases of ONE attention only, so
/// that n2 is 3 d (attentions - 1) too small (26,112 of 39,469,056 at 512 and 6 + 6 layers). The
/// kept fraction comes out larger by less than 0.001.
[[nodiscard]] constexpr srp_parameters published_srp_parameters(const srp_sizes& s) {
    return detail::srp_parameters_with(s, 1);
}

/// Share of every width that is kept so that `rate` of all parameters remains.
/// **Throws** tare::error unless 0 < rate <= 1.
[[nodiscard]] inline double kept_fraction(const srp_parameters& n, double rate) {
    require(rate > 0.0 && rate <= 1.0, "kept_fraction: ", rate,
            " of the parameters is to remain; expected more than 0 and at most 1");
    require(n.square > 0 && n.linear >= 0, "kept_fraction: ", n.square, " and ", n.linear,
            " parameters; a network has matrices");
    const double square = static_cast<double>(n.square);
    const double a = static_cast<double>(n.linear) / square;
    const double b = rate * static_cast<double>(n.all()) / square;
    return (std::sqrt(a * a + 4.0 * b) - a) / 2.0;
}

/// Units to prune.
struct srp_counts {
    extent encoder_columns = 0;
    extent decoder_columns = 0;
    extent inner_units = 0;         ///< of all layers of both sides together
    extent query_key_per_head = 0;  ///< in every head of every attention
    extent value_per_head = 0;

    /// The first of two stages: nothing but columns of the residual streams.
    [[nodiscard]] constexpr srp_counts columns_only() const {
        return {encoder_columns, decoder_columns, 0, 0, 0};
    }
    /// The second of two stages: nothing but the insides of layers.
    [[nodiscard]] constexpr srp_counts insides_only() const {
        return {0, 0, inner_units, query_key_per_head, value_per_head};
    }
    friend constexpr bool operator==(const srp_counts&, const srp_counts&) = default;
};

/// What one of `iterations` equal prunings takes so that the share `kept` is left after the last.
/// **Throws** tare::error on a share outside (0, 1] and no iteration.
[[nodiscard]] inline srp_counts counts_for(const srp_sizes& s, double kept, extent iterations = 1) {
    s.check();
    require(kept > 0.0 && kept <= 1.0, "counts_for: a share of ", kept,
            " is to be kept; expected more than 0 and at most 1");
    require(iterations >= 1, "counts_for: ", iterations, " iterations; expected at least 1");
    // In the order of the published code: a rounding error may lie next to a whole number.
    const double pruned = 1.0 - kept;
    const double p = 1.0 - std::pow(1.0 - pruned, 1.0 / static_cast<double>(iterations));
    const auto part = [p](extent n) {
        return static_cast<extent>(std::ceil(static_cast<double>(n) * p));
    };
    return {part(s.width), part(s.width), part(s.inner_units), part(s.head_width()),
            part(s.head_width())};
}

}  // namespace tare::prune
