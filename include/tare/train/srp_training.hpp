#pragma once
// SPDX-License-Identifier: MIT
// Selectively regularised pruning of a translation Transformer in training, phase by phase:
//     train      srp_plain: a Transformer with the norms of nn/srp_layer_norm.hpp
//     score      score_units: the gradient of every unit's connectivity at one
//     fade       srp_fading: selected units fade, what belongs to them is kept from learning, the
//                others learn from labels and from the network as it was before
//     remove     srp_pruning::removed: the narrower network, with its moments
//     fine-tune  srp_plain again
// A network is pruned at once or in two stages (columns, then the insides of layers), the second
// from the first's removed network. Weighted: which of the two norms.
// Source: selectively regularised pruning of Transformers (SRP, 2022).

#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/nn/srp_layer_norm.hpp>
#include <tare/prune/srp_connectivity.hpp>
#include <tare/prune/srp_removal.hpp>
#include <tare/train/translation_distillation.hpp>
#include <tare/train/translation_trainer.hpp>

namespace tare::train {

/// The sizes that the counts of units start from. **Throws** tare::error where the sides have
/// different widths, or attentions widths or heads of their own: SRP's formula knows one.
[[nodiscard]] inline prune::srp_sizes srp_sizes_of(const translation_transformer_config& c) {
    prune::srp_sizes out{.width = c.encoder.width,
                         .heads = c.encoder_layers[0].self.heads,
                         .encoder_layers = static_cast<extent>(c.encoder_layers.size()),
                         .decoder_layers = static_cast<extent>(c.decoder_layers.size()),
                         .inner_units = 0,
                         .source_words = c.encoder.vocabulary,
                         .target_words = c.decoder.vocabulary};
    const auto alike = [&](const attention_sizes& a) {
        return a.key_width == out.width && a.value_width == out.width && a.heads == out.heads;
    };
    bool all_alike = c.decoder.width == out.width;
    for (const encoder_layer_sizes& layer : c.encoder_layers) {
        all_alike = all_alike && alike(layer.self);
        out.inner_units += layer.inner;
    }
    for (const decoder_layer_sizes& layer : c.decoder_layers) {
        all_alike = all_alike && alike(layer.self) && alike(layer.cross);
        out.inner_units += layer.inner;
    }
    require(all_alike, "srp_sizes_of: widths or heads differ from the encoder's ", out.width,
            " and ", out.heads, "; give the counts of units yourself");
    return out;
}

/// A source that knows the widths that a network's norms were created with.
template <class Source>
struct created_widths : Source {
    extent encoder;
    extent decoder;

    created_widths(Source source, const translation_transformer_config& config)
        : Source(std::move(source)),
          encoder(config.encoder.table_of_positions()),
          decoder(config.decoder.table_of_positions()) {}
    [[nodiscard]] extent created_columns(std::string_view label) const {
        return label.starts_with("encoder.") ? encoder : decoder;
    }
};

template <class T, bool Weighted>
using srp_model = translation_transformer<T, T, srp_layer_norm<T, Weighted>>;

/// Training before pruning and after removal.
template <bool Weighted>
struct srp_plain : plain_translation {
    template <class T, class Source>
    [[nodiscard]] auto model(Source& source, const translation_transformer_config& config) const {
        created_widths<Source> wide(source, config);
        return srp_model<T, Weighted>(wide, config);
    }
};

template <bool Weighted>
using srp_trainer = method_trainer<srp_plain<Weighted>>;

/// How one stage prunes.
struct srp_stage {
    prune::srp_counts counts;  ///< units to take: counts_for(), or a part of it
    extent slices = 4;         ///< heads
    prune::srp_shrinking shrinking = prune::srp_shrinking::arithmetic_steps(1, 2);
    extent epoch = 1;          ///< updates of an epoch, where units fade at epochs
    double share = srp_share;  ///< of the teacher in the loss
    double temperature = translation_temperature;
};

/// The masks of a network's units by their importance for the batches, whose losses are summed;
/// nothing drops. `weights` is a source of tensors.
/// **Throws** as prune::select_units(), and on words outside the vocabularies.
template <bool Weighted, class Weights>
[[nodiscard]] prune::unit_masks
score_units(const Weights& weights, const translation_transformer_config& config,
            std::span<const text::translation_batch> batches, const label_smoothing& label,
            const prune::srp_counts& counts, extent slices) {
    // Weights are constants here: only connectivity has gradients.
    struct constants {
        tape* record;
        const Weights* values;
        [[nodiscard]] variable parameter(std::string_view name, const shape& extents,
                                         const initial& start) const {
            return record->constant(values->parameter(name, extents, start));
        }
    };
    tape record;
    prune::connected_parameters source(created_widths<constants>({&record, &weights}, config),
                                       [&record](std::string_view, extent width) {
                                           return record.parameter(tensor(shape{width}, 1.0F));
                                       });
    const srp_model<variable, Weighted> model(source, config);
    prune::srp_pruner<variable> pruner(source.connections());
    for (const text::translation_batch& batch : batches) {
        const translation_pass<variable> pass = run_pass(model, batch);
        record.backward(smoothed_loss(log_softmax_sums(pass.logits, pass.words), label));
    }
    pruner.select(counts, slices);
    return pruner.masks();
}

/// The pruning phase. The published code lets selected units learn in the very first update, when
/// it has no moments to clear yet; here they never do.
template <bool Weighted>
class srp_fading : public plain_translation {
  public:
    srp_fading(prune::unit_masks masks, const srp_stage& stage, srp_model<tensor, Weighted> teacher)
        : stage_(stage), pruner_({}), teacher_(std::move(teacher)), masks_(std::move(masks)) {}

    void attach(tape& record) {
        for (const auto& [label, keep] : masks_.all())
            connections_.push_back(
                {std::string_view(label),
                 record.constant(tensor(shape{static_cast<extent>(keep.size())}, 1.0F))});
        pruner_ = prune::srp_pruner<variable>(connections_);
        pruner_.select(masks_);
    }
    template <class T, class Source>
    [[nodiscard]] auto model(Source& source, const translation_transformer_config& config) const {
        prune::connected_parameters gated(
            created_widths<Source>(source, config),
            [this](std::string_view label, extent width) { return gate<T>(label, width); });
        return srp_model<T, Weighted>(gated, config);
    }
    void before_step(extent step) { pruner_.before_step(step % stage_.epoch, stage_.shrinking); }
    [[nodiscard]] variable loss(const translation_pass<variable>& pass, const variable& sums,
                                const label_smoothing& label) const {
        const double part = 1.0 / pass.count();
        const variable hard = smoothed_loss(sums, label, pass.count());
        if (stage_.share == 0.0) return hard;
        const variable teacher =
            pass.logits.tape().constant(run_pass(teacher_, *pass.batch).logits);
        return srp_loss(hard, pass.logits, teacher, stage_.share * part, stage_.temperature);
    }
    template <class Parameter>
    void before_update(extent, std::span<Parameter> parameters) const {
        for (Parameter& p : parameters) {
            std::vector<std::span<float>> arrays{p.value.mutable_gradient().mutable_values()};
            for (tensor& moment : p.moments)
                arrays.push_back(moment.mutable_values());
            pruner_.freeze(p.label, p.value.shape(), arrays);
        }
    }
    template <class Visit>
    void visit_state(Visit&& visit) {
        for (prune::connection<variable>& c : connections_)
            visit(c.label.view(), c.factors.mutable_value().mutable_values());
    }

    [[nodiscard]] const prune::unit_masks& masks() const noexcept { return masks_; }
    /// Connectivity of every unit as it is now.
    [[nodiscard]] std::span<const prune::connection<variable>> connections() const noexcept {
        return connections_;
    }

  private:
    template <class T>
    [[nodiscard]] T gate(std::string_view label, extent width) const {
        for (const prune::connection<variable>& c : connections_) {
            if (c.label.view() != label) continue;
            require(c.factors.shape() == shape{width}, "srp_fading: ", label, " is ",
                    c.factors.shape(), ", the model has ", width, " columns there");
            if constexpr (std::same_as<T, variable>) {
                return c.factors;
            } else {
                return c.factors.value();
            }
        }
        return {};
    }

    srp_stage stage_;
    std::vector<prune::connection<variable>> connections_;
    prune::srp_pruner<variable> pruner_;
    srp_model<tensor, Weighted> teacher_;
    prune::unit_masks masks_;
};

/// One stage: scores a trained network, is its training while units fade, and removes them.
template <bool Weighted>
class srp_pruning {
  public:
    using fading_trainer = method_trainer<srp_fading<Weighted>>;

    /// `before` is the teacher: it must not be trained on meanwhile. **Throws** as score_units().
    srp_pruning(const srp_trainer<Weighted>& before, const srp_stage& stage,
                std::span<const text::translation_batch> batches,
                const translation_options& options, const adamw& how)
        : options_(options),
          how_(how),
          fading_(
              before.config(), before.weights(), options, how, {},
              srp_fading<Weighted>(
                  score_units<Weighted>(before.weights(), before.config(), batches,
                                        label_smoothing::over_others(
                                            options.smoothing, before.config().decoder.vocabulary),
                                        stage.counts, stage.slices),
                  stage, before.plain_model())) {}

    /// The trainer of the pruning phase.
    [[nodiscard]] fading_trainer& fading() noexcept { return fading_; }

    /// The network without the selected units, whatever is left of them, ready to be tuned: moments
    /// without what belonged to them, updates counted on. **Throws** as prune::remove_units().
    [[nodiscard]] std::unique_ptr<srp_trainer<Weighted>> removed() {
        const prune::unit_masks& masks = fading_.method().masks();
        auto model = fading_.plain_model();
        const prune::removed_network left = prune::remove_units(model, masks);
        auto out =
            std::make_unique<srp_trainer<Weighted>>(left.config, left.parameters, options_, how_);
        const auto from = fading_.parameters();
        const auto to = out->parameters();
        for (std::size_t i = 0; i < to.size(); ++i)
            for (std::size_t m = 0; m < to[i].moments.size(); ++m)
                to[i].moments[m] = prune::without_pruned(from[i].label, from[i].moments[m], masks);
        out->set_steps(fading_.steps());
        return out;
    }

  private:
    translation_options options_;
    adamw how_;
    fading_trainer fading_;
};

}  // namespace tare::train
