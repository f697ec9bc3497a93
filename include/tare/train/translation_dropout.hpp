#pragma once
// SPDX-License-Identifier: MIT
// Where a translation Transformer drops, and how much: after the embedding and after each sublayer
// (residual), inside attention, after the activation function. A sub network of HAT drops less, in
// proportion to its width; attention is not scaled.
// Sources: Vaswani et al. 2017, section 5.4; fairseq's three probabilities; HAT's training.

#include <memory>
#include <string_view>
#include <utility>

#include <tare/models/hat_network.hpp>
#include <tare/nn/activation_point.hpp>
#include <tare/nn/dropout_place.hpp>

namespace tare::train {

/// Probabilities of being set to zero, each below 1.
struct translation_dropout {
    double residual = 0.3;
    double attention = 0.0;
    double activation = 0.0;
    double encoder_share = 1.0;  ///< of residual and activation, on the encoder's side
    double decoder_share = 1.0;
    /// As HAT's released code: what follows the encoder's self-attention is not scaled.
    bool published_encoder_attention = false;

    /// The same for a sub network. **Throws** nothing; shares are widths over widths.
    [[nodiscard]] constexpr translation_dropout of_sub_network(const hat_super_network& all,
                                                               const hat_network& sub) const {
        const auto share = [](extent width, extent whole) {
            return static_cast<double>(width) / static_cast<double>(whole);
        };
        translation_dropout out = *this;
        out.encoder_share = share(sub.encoder_width, all.encoder_width);
        out.decoder_share = share(sub.decoder_width, all.decoder_width);
        return out;
    }
    /// At an activation point of the model, by its name; 0 where nothing drops.
    [[nodiscard]] constexpr double probability_at(std::string_view label) const {
        if (label.ends_with(".probabilities")) return attention;
        const bool encoder = label.starts_with("encoder.");
        const double share = encoder ? encoder_share : decoder_share;
        if (label.ends_with(".relu")) return activation * share;
        if (encoder && published_encoder_attention && label.ends_with(".self_attn.out_proj"))
            return residual;
        if (dropout_place::ends_sublayer(label) || label.ends_with(".embed"))
            return residual * share;
        return 0.0;
    }
};

/// A parameter source for training: the parameters of another source (leaves of a tape, or
/// hat_weights), and points that drop. `source` must outlive the object.
template <class T, class Source>
class dropping_source {
  public:
    /// The clock gives seed and step; its own probability plays no part.
    /// **Throws** tare::error on a probability outside [0, 1).
    dropping_source(Source& source, std::shared_ptr<const dropout_clock> clock,
                    const translation_dropout& how)
        : source_(&source), clock_(std::move(clock)), how_(how) {
        for (const double p : {how.residual, how.attention, how.activation})
            require(p >= 0.0 && p < 1.0, "dropping_source: a dropout of ", p,
                    "; it is a probability below 1");
    }

    [[nodiscard]] T parameter(std::string_view label, const shape& extents,
                              const initial& start) const {
        return source_->parameter(label, extents, start);
    }
    [[nodiscard]] activation_point<T> point(std::string_view label) const {
        const double probability = how_.probability_at(label);
        if (probability == 0.0) return {};
        return activation_point<T>(
            std::make_shared<const dropout_place>(clock_, label, static_cast<float>(probability)));
    }
    [[nodiscard]] activation_point<T> dropout_point(std::string_view label) const {
        return point(label);
    }

  private:
    Source* source_;
    std::shared_ptr<const dropout_clock> clock_;
    translation_dropout how_;
};

}  // namespace tare::train
