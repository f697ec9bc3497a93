#pragma once
// SPDX-License-Identifier: MIT
// What a way of training a translation model adds to plain training: which model the leaves make,
// what it is to lose, which parameters stay as they are, and what happens around an update. A
// method derives from plain_translation and hides what it does in another way; a trainer calls, in
// each update,
//     before_step    model    loss    before_update    frozen    after_step
// Systems of this house: prune/srp_method.hpp, train/pet_method.hpp.

#include <span>
#include <string_view>

#include <tare/models/translation_transformer.hpp>
#include <tare/train/label_smoothing.hpp>
#include <tare/train/translation_loss.hpp>

namespace tare::train {

/// Plain training, and what every method starts from. `Parameter` is trained_parameter<...>.
struct plain_translation {
    /// Once, before anything else: the tape on which the model will be run. A method that has
    /// vectors of its own there makes them here.
    template <class Tape>
    void attach(Tape&) {}

    /// The model of T (a variable in training, a tensor for evaluation) that the leaves of `source`
    /// make. It is made anew for every update, so it may differ from one to the next. Only leaves
    /// that the first model asks for are trained.
    template <class T, class Source>
    [[nodiscard]] auto model(Source& source, const translation_transformer_config& config) const {
        return translation_transformer<T>(source, config);
    }

    /// Before the forward pass of update `step`, from 0.
    void before_step(extent) {}

    /// What is minimised, in nats per target token: a single number.
    /// **Shapes** sums (2) of log_softmax_sums() over the pass.
    template <class T>
    [[nodiscard]] T loss(const translation_pass<T>& pass, const T& sums,
                         const label_smoothing& label) const {
        return smoothed_loss(sums, label, pass.count());
    }

    /// Between the backward pass and the update: gradients and moments may be changed.
    template <class Parameter>
    void before_update(extent, std::span<Parameter>) const {}

    /// Whether the update leaves this parameter and its moments alone.
    [[nodiscard]] bool frozen(std::string_view) const { return false; }

    /// After the update: weights may be changed.
    template <class Parameter>
    void after_step(extent, std::span<Parameter>) const {}

    /// Calls visit(name, values), values a std::span<float>, for what a checkpoint must hold of the
    /// method beside weights, moments and the number of updates done.
    template <class Visit>
    void visit_state(Visit&&) {}
};

}  // namespace tare::train
