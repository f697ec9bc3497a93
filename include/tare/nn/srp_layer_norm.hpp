#pragma once
// SPDX-License-Identifier: MIT
// The layer normalisation of networks under selectively regularised pruning, in place of
// layer_norm_layer in every layer of a translation Transformer. c is the connectivity of the
// residual stream, where the source has one; it multiplies the result too.
//     weighted      y = c * norm(x; mean and deviation weighted by c)
//     unweighted    y = c * norm(c * x; over the columns that the layer was created with)
// For c of 0 and 1 both agree with a network whose masked columns were removed.
// Source: selectively regularised pruning of Transformers (SRP, 2022).

#include <string_view>

#include <tare/core/short_text.hpp>
#include <tare/nn/column_gate.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/ops/weighted_layer_norm.hpp>

namespace tare {

/// Gain, bias and the gate `side`.embedding_c, side being the label's first part. A source with a
/// member created_columns(label) tells the width that a narrowed layer was created with.
template <class T, bool Weighted>
struct srp_layer_norm {
    short_text label;
    T gamma;
    T beta;
    column_gate<T> gate;
    extent created_columns = 0;

    template <class Source>
    constexpr srp_layer_norm(Source& source, std::string_view label_, extent width)
        : label(label_),
          gamma(source.parameter(join(label, ".weight"), shape{width}, initial::value(1.0))),
          beta(source.parameter(join(label, ".bias"), shape{width}, initial::zeros())),
          gate(gate_from<T>(source, join(label_.substr(0, label_.find('.')), ".embedding_c"),
                            width)) {
        if constexpr (requires { source.created_columns(label_); })
            created_columns = source.created_columns(label_);
    }

    [[nodiscard]] constexpr T operator()(const T& x) const {
        [[maybe_unused]] const auto here = scope(x, label);
        if constexpr (Weighted) {
            return gate.factors.exists() ? gate(weighted_layer_norm(x, gamma, beta, gate.factors))
                                         : layer_norm_of_created(x, gamma, beta, extent{0});
        } else {
            return gate(layer_norm_of_created(gate(x), gamma, beta, created_columns));
        }
    }
    template <class Visitor>
    constexpr void visit(Visitor&& visitor) {
        visitor(join(label, ".weight"), gamma);
        visitor(join(label, ".bias"), beta);
    }
};

}  // namespace tare
