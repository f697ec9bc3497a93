#pragma once
// SPDX-License-Identifier: MIT
// How words enter one side of a translation Transformer: s * table[word] + t[position], then
// dropout. The table may be wider than the stream, which then takes its leading columns.

#include <concepts>
#include <span>
#include <string_view>
#include <utility>

#include <tare/core/short_text.hpp>
#include <tare/models/translation_transformer_config.hpp>
#include <tare/nn/activation_point.hpp>
#include <tare/nn/column_gate.hpp>
#include <tare/nn/sinusoidal_positions.hpp>
#include <tare/ops/block.hpp>
#include <tare/ops/reshape.hpp>
#include <tare/ops/scale.hpp>

namespace tare {

/// The gate is `label`.embedding_c, the place of dropout `label`.embed.
template <class T, class Weight = T>
class token_embedding {
  public:
    template <class Source>
    constexpr token_embedding(Source& source, std::string_view label, const translation_side& side,
                              token padding, Weight table)
        : label_(join(label, ".embed_tokens")),
          width_(side.width),
          scale_(side.scale()),
          columns_{side.table_of_positions(), side.position_columns, padding},
          table_(std::move(table)),
          point_(dropout_from<T>(source, join(label, ".embed"))),
          gate_(gate_from<T>(source, join(label, ".embedding_c"), side.width)) {}

    /// **Shapes** words and position T x batch, time outermost; result (T, batch, width). Padding
    /// rows of the table get no gradient from here.
    /// **Throws** tare::error on a word outside the vocabulary.
    [[nodiscard]] constexpr T operator()(std::span<const token> words, std::vector<token> position,
                                         extent batch) const {
        const T rows = looked_up(words);
        [[maybe_unused]] const auto here = scope(rows, label_);
        const T scaled = reshape(scale_by(rows, scale_),
                                 shape{static_cast<extent>(words.size()) / batch, batch, width_});
        return gate_(point_(add_sinusoids(scaled, std::move(position), columns_)));
    }
    [[nodiscard]] constexpr const Weight& table() const { return table_; }
    [[nodiscard]] constexpr Weight& mutable_table() { return table_; }

  private:
    [[nodiscard]] constexpr T looked_up(std::span<const token> words) const {
        [[maybe_unused]] const auto here = scope(table_, label_);
        if constexpr (std::same_as<T, Weight>) {
            return leading_columns(gather(table_, words, columns_.padding), width_);
        } else {
            return gather(table_, words);
        }
    }

    short_text label_;
    extent width_;
    double scale_;
    sinusoid_columns columns_;
    Weight table_;
    activation_point<T> point_;
    column_gate<T> gate_;
};

}  // namespace tare
