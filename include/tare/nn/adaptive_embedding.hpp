#pragma once
// SPDX-License-Identifier: MIT
// Adaptive input embedding: frequent words have wide vectors, rarer bins narrower ones that a
// projection widens.  embedding(x) = sqrt(d) A_i E_i[x - e_i], A_0 the identity.
// Source: Baevski and Auli 2019, section 3.

#include <span>
#include <vector>

#include <tare/core/root.hpp>
#include <tare/core/short_text.hpp>
#include <tare/models/transformer_xl_config.hpp>
#include <tare/nn/linear_layer.hpp>
#include <tare/ops/gather.hpp>
#include <tare/ops/scale.hpp>

namespace tare {

/// The table of a bin as the output layer holds it. It is the embedding's own, unless the source
/// quantizes the two uses of the one stored table differently.
template <class Source, class Weight>
[[nodiscard]] constexpr Weight tied_table(Source& source, std::size_t bin, const Weight& table) {
    if constexpr (requires { source.tied_table(bin); }) {
        return source.tied_table(bin);
    } else {
        return table;
    }
}

/// The tables E_i, one for each bin; the adaptive softmax shares them as its output weights.
template <class T, class Weight = T>
class adaptive_embedding {
  public:
    template <class Source>
    constexpr adaptive_embedding(Source& source, const transformer_xl_config& config)
        : config_(config) {
        for (std::size_t bin = 0; bin < config.bins(); ++bin) {
            labels_.push_back(join("embed.layers.", bin));
            tables_.push_back(weight_from<Weight>(source, join(labels_.back(), ".weight"),
                                                  shape{config.bin_size(bin), config.widths[bin]},
                                                  initial::normal(0.02)));
        }
        for (std::size_t bin = 1; bin < config.bins(); ++bin)
            projections_.emplace_back(source, join("embed.projections.", bin - 1),
                                      config.widths[bin], config.width, false);
    }

    /// **Shapes** words: N word numbers; result (N, d). **Throws** on a word outside the
    /// vocabulary. Words are treated bin by bin, so each projection sees one matrix.
    [[nodiscard]] constexpr T operator()(std::span<const token> words) const {
        std::vector<std::vector<token>> index(tables_.size());
        std::vector<std::vector<token>> place(tables_.size());
        for (std::size_t r = 0; r < words.size(); ++r) {
            const std::size_t bin = config_.bin_of(words[r]);
            index[bin].push_back(static_cast<token>(words[r] - config_.bin_begin(bin)));
            place[bin].push_back(static_cast<token>(r));
        }
        std::vector<T> parts;
        std::vector<std::vector<token>> places;
        for (std::size_t bin = 0; bin < tables_.size(); ++bin) {
            if (index[bin].empty()) continue;
            parts.push_back(part(bin, index[bin]));
            places.push_back(std::move(place[bin]));
        }
        require(!parts.empty(), "adaptive_embedding: no words were given");
        // A single bin holds its words in order already.
        const T rows =
            parts.size() == 1 ? parts[0] : merge_rows(std::span<const T>(parts), std::move(places));
        [[maybe_unused]] const auto here = scope(rows, "embed");
        return scale_by(rows, square_root(static_cast<double>(config_.width)));
    }

    [[nodiscard]] constexpr const Weight& table(std::size_t bin) const { return tables_[bin]; }

    template <class Visitor>
    constexpr void visit(Visitor&& visitor) {
        for (std::size_t bin = 0; bin < tables_.size(); ++bin)
            visitor(join(labels_[bin], ".weight"), tables_[bin]);
        for (linear_layer<T, Weight>& projection : projections_)
            projection.visit(visitor);
    }

  private:
    [[nodiscard]] constexpr T part(std::size_t bin, std::span<const token> index) const {
        const auto looked_up = [&] {
            [[maybe_unused]] const auto here = scope(tables_[bin], labels_[bin]);
            return gather(tables_[bin], index);
        };
        return bin == 0 ? looked_up() : projections_[bin - 1](looked_up());
    }
    transformer_xl_config config_;
    std::vector<short_text> labels_;
    std::vector<Weight> tables_;
    std::vector<linear_layer<T, Weight>> projections_;
};

}  // namespace tare
