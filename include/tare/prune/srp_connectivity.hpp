#pragma once
// SPDX-License-Identifier: MIT
// The connectivity parameters of selectively regularised pruning: vectors of ones that multiply
// units of a translation Transformer (its column gates) and that no optimizer updates. Their
// gradient at one says what a unit is worth; a zero takes it out.
//     <side>.embedding_c               columns of the side's residual stream
//     <side>.layers.<l>.fc_c           inner units of a feed-forward network
//     ....<attention>_qk_c, _vo_c      columns of scaled queries, and of what the heads return
// Source: selectively regularised pruning of Transformers (SRP, 2022).

#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tare/core/short_text.hpp>
#include <tare/core/tensor.hpp>
#include <tare/prune/mask.hpp>
#include <tare/prune/srp_selection.hpp>
#include <tare/prune/srp_shrinking.hpp>
#include <tare/prune/unit_masks.hpp>

namespace tare::prune {

/// One vector, by its label.
template <class T>
struct connection {
    short_text label;
    T factors;
};

/// The parameters of `Source` and, for every place that a model asks about, a connectivity vector
/// that `make(label, width)` makes once: places of one label share it. One that does not exist
/// leaves its places open.
template <class Source, class Make>
class connected_parameters : public Source {
  public:
    using value_type = std::invoke_result_t<Make&, std::string_view, extent>;

    connected_parameters(Source source, Make make)
        : Source(std::move(source)), make_(std::move(make)) {}

    /// **Throws** tare::error where a label is asked for with two widths.
    [[nodiscard]] value_type gate(std::string_view label, extent width) {
        for (const connection<value_type>& c : connections_)
            if (c.label == short_text(label)) {
                // The message reads the shape: only of one that exists.
                if (c.factors.exists())
                    require(c.factors.shape() == shape{width}, "connected_parameters: ", label,
                            " is ", c.factors.shape(), ", and a place of ", width,
                            " columns asks for it");
                return c.factors;
            }
        connections_.push_back({label, make_(label, width)});
        return connections_.back().factors;
    }
    /// All vectors, in the order in which the model asked.
    [[nodiscard]] std::span<connection<value_type>> connections() noexcept { return connections_; }

  private:
    Make make_;
    std::vector<connection<value_type>> connections_;
};

/// A network in the pruning phase: what is selected, how it fades, what is kept from training.
/// `Variable` is that of the model's tape.
template <class Variable>
class srp_pruner {
  public:
    /// The vectors of the model, which it goes on to share.
    explicit srp_pruner(std::span<const connection<Variable>> connections)
        : connections_(connections.begin(), connections.end()) {}

    /// Selects by the gradients that backward() has left in the vectors (all at one; several
    /// batches add up), and forgets them. **Throws** as select_units().
    void select(const srp_counts& counts, extent slices) {
        std::vector<connectivity_gradient> gradients;
        for (const connection<Variable>& c : connections_)
            gradients.push_back({c.label, c.factors.gradient().values()});
        const std::vector<mask> keep = select_units(gradients, counts, slices);
        masks_ = {};
        for (std::size_t i = 0; i < keep.size(); ++i)
            masks_.set(connections_[i].label, keep[i]);
        forget_gradients();
    }
    /// Takes masks made elsewhere.
    void select(unit_masks masks) { masks_ = std::move(masks); }
    [[nodiscard]] const unit_masks& masks() const noexcept { return masks_; }

    /// Before the forward pass of a step, counted from 0 in its epoch: selected units fade.
    void before_step(extent step_of_epoch, const srp_shrinking& shrinking) {
        if (!shrinking.due(step_of_epoch)) return;
        for (connection<Variable>& c : connections_)
            if (const mask* keep = masks_.find(c.label))
                shrinking.apply(c.factors.mutable_value().mutable_values(), *keep);
    }
    /// Takes the selected units out at once.
    void mask_selected() {
        for (connection<Variable>& c : connections_)
            if (const mask* keep = masks_.find(c.label))
                apply_mask(*keep, c.factors.mutable_value().mutable_values());
    }
    /// Before an update: clears in each of `arrays` (a parameter's gradient and its moments) what
    /// belongs to selected units, so that only the others learn. Decay still acts on them. The
    /// published code begins with the second update: before the first it finds no moments yet.
    /// **Throws** tare::error on a label of no known kind and on arrays of another size.
    void freeze(std::string_view label, const shape& extents,
                std::span<const std::span<float>> arrays) const {
        for (const std::span<float> values : arrays)
            clear_pruned(label, extents, values, masks_);
    }
    /// Gradients of the vectors are those of importance alone: drop what training leaves.
    void forget_gradients() {
        for (connection<Variable>& c : connections_)
            c.factors.clear_gradient();
    }

  private:
    std::vector<connection<Variable>> connections_;
    unit_masks masks_;
};

}  // namespace tare::prune
