#pragma once
// SPDX-License-Identifier: MIT
// Training with compressed tensors: a compile-time policy that names a compressor for weights,
// weight gradients, activations, activation gradients and optimizer state, and a schedule that says
// when they act.
//
//   forward   each layer's result a <- C(a);     backward  the gradient of each result, before it
//                                                          is used, d <- C(d)
//   step      g <- C(g); the optimizer's update; [g <- C(g) again]; w <- C(w); states <- C(state)
//
// The default schedule compresses gradients once and lets the optimizer update a float32 master
// copy, of which the weights are the compressed image: small updates are not lost in rounding
// (Micikevicius et al. 2018, section 3.1). `reference_schedule` is the published simulator's: it
// compresses gradients twice, and the compressed weights are the only ones. Source: the reference
// implementation of Shoghi, Bersatti, Qureshi and Kim 2021, "SmaQ".

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <tare/core/error.hpp>
#include <tare/core/tensor.hpp>
#include <tare/train/compressor.hpp>
#include <tare/train/optimizer.hpp>

namespace tare::train {

/// Gradients once, weights from a master copy.
struct master_schedule {
    static constexpr int gradient_passes = 1;
    static constexpr bool master_copy = true;
};
/// As the published simulator does it.
struct reference_schedule {
    static constexpr int gradient_passes = 2;
    static constexpr bool master_copy = false;
};

/// Whether results of an operation are compressed: those of layers (products, convolutions,
/// normalisation, pooling, activation functions), not those of embeddings, losses and bookkeeping.
/// An operation decides for itself with `static constexpr bool compressed_result`.
template <class Op>
[[nodiscard]] constexpr bool compresses_result() noexcept {
    if constexpr (requires {
                      { Op::compressed_result } -> std::convertible_to<bool>;
                  }) {
        return Op::compressed_result;
    } else {
        constexpr std::array<std::string_view, 10> layers{"linear",
                                                          "convolution",
                                                          "depthwise_convolution",
                                                          "layer_norm",
                                                          "weighted_layer_norm",
                                                          "global_average",
                                                          "relu",
                                                          "sigmoid",
                                                          "softplus",
                                                          "swish"};
        return std::ranges::find(layers, std::string_view(Op::name)) != layers.end();
    }
}

/// A parameter in an update. All spans have the parameter's size.
struct updated_parameter {
    std::span<float> weight;    ///< what the forward pass reads
    std::span<float> gradient;  ///< raw; compressed when the update is over
    std::span<const std::span<float>> moments;
    /// Float32 weights of a schedule with a master copy; may be empty where compresses_weight is
    /// false.
    std::span<float> master{};
    bool compresses_weight = true;  ///< false spares a weight (batch normalisation)
};

/// The policy. It counts its calls, so use one object for one training; the tape owns it.
/// The tape calls activation() and activation_gradient(); update_parameters() calls the rest.
template <compressor Weight = uncompressed, compressor WeightGradient = Weight,
          compressor Activation = Weight, compressor ActivationGradient = Activation,
          compressor State = Weight, class Schedule = master_schedule>
class precision {
  public:
    using schedule = Schedule;
    /// See tare::keeps_results.
    static constexpr bool keeps_results = std::is_same_v<Activation, uncompressed> &&
                                          std::is_same_v<ActivationGradient, uncompressed>;

    /// One object of each compressor.
    struct compressors {
        Weight weight{};
        WeightGradient weight_gradient{};
        Activation activation{};
        ActivationGradient activation_gradient{};
        State state{};
    };

    precision() = default;
    explicit precision(compressors with) : with_(std::move(with)) {}

    template <class Op>
    void activation(const Op&, tensor& result) {
        if constexpr (compresses_result<Op>())
            run(with_.activation, "activation", result.mutable_values());
    }
    template <class Op>
    void activation_gradient(const Op&, tensor& gradient) {
        if constexpr (compresses_result<Op>())
            run(with_.activation_gradient, "activation_gradient", gradient.mutable_values());
    }

    /// Before the optimizer: the gradients. Norms and clipping come after it.
    void before_update(std::span<const updated_parameter> parameters) {
        for (const updated_parameter& p : parameters)
            run(with_.weight_gradient, "gradient", p.gradient);
    }
    /// After the optimizer: gradients again (the reference's schedule), weights, states. A moment
    /// that the optimizer calls "square" stays non-negative.
    template <optimizer Optimizer>
    void after_update(const Optimizer&, std::span<const updated_parameter> parameters) {
        for (int pass = 1; pass < Schedule::gradient_passes; ++pass)
            before_update(parameters);
        for (const updated_parameter& p : parameters) {
            if (!p.master.empty()) std::ranges::copy(p.master, p.weight.begin());
            if (p.compresses_weight) run(with_.weight, "weight", p.weight);
        }
        for (const updated_parameter& p : parameters)
            for (std::size_t i = 0; i < p.moments.size(); ++i)
                run(with_.state, "state", p.moments[i], Optimizer::moments[i] == "square");
    }

    /// Tensors compressed so far. A continued training sets it, so that draws go on.
    [[nodiscard]] std::uint64_t calls() const noexcept { return calls_; }
    void set_calls(std::uint64_t calls) noexcept { calls_ = calls; }
    [[nodiscard]] const compressors& with() const noexcept { return with_; }

  private:
    template <class C>
    void run(C& c, std::string_view tag, std::span<float> values, bool non_negative = false) {
        c(values, compressor_call{tag, calls_++, non_negative});
        if (!non_negative) return;
        for (float& v : values)
            v = v < 0.0F ? 0.0F : v;  // a NaN stays
    }

    compressors with_{};
    std::uint64_t calls_ = 0;
};

/// One compressor everywhere.
template <compressor C, class Schedule = master_schedule>
using uniform_precision = precision<C, C, C, C, C, Schedule>;

/// A policy that also compresses what an update touches. Of a user's own, beside what the tape
/// calls (readings/gradient.hpp): `schedule`, with a constant master_copy,
/// before_update(parameters) and after_update(optimizer, parameters) as above; for checkpoints
/// calls() and set_calls(). One without a schedule needs none of these, and no master copies.
template <class Precision>
concept compresses_updates = requires {
    { Precision::schedule::master_copy } -> std::convertible_to<bool>;
};

/// Whether a policy keeps float32 weights beside those that the model reads.
template <class Precision>
inline constexpr bool keeps_master = false;
template <compresses_updates Precision>
inline constexpr bool keeps_master<Precision> = Precision::schedule::master_copy;

/// One update of all parameters, compressed at the schedule's moments. `at` is an update_step, or
/// is called for one once the gradients are compressed: norms and clipping see those.
/// **Throws** tare::error when a schedule with a master copy is given a compressed weight without
/// one, a schedule without is given one, or sizes differ; and what `at` throws, the weights then
/// being as before.
template <optimizer Optimizer, class Precision, class Step = update_step>
void update_parameters(const Optimizer& optimizer, Precision& precision,
                       std::span<const updated_parameter> parameters, const Step& at) {
    constexpr bool compresses = compresses_updates<Precision>;
    if constexpr (compresses) {
        constexpr bool master = Precision::schedule::master_copy;
        for (const updated_parameter& p : parameters) {
            require(master || p.master.empty(), "update_parameters: a master copy of ",
                    p.master.size(), " weights, but the schedule keeps none; leave it empty");
            require(p.master.size() == p.weight.size() ||
                        (p.master.empty() && !(master && p.compresses_weight)),
                    "update_parameters: a master copy of ", p.master.size(), " weights for ",
                    p.weight.size(), "; this schedule updates float32 weights of the same size");
        }
        precision.before_update(parameters);
    }
    const auto update_all = [&](const update_step& step) {
        for (const updated_parameter& p : parameters)
            optimizer.update(p.master.empty() ? p.weight : p.master, p.gradient, p.moments, step);
    };
    if constexpr (std::is_same_v<Step, update_step>)
        update_all(at);
    else
        update_all(at());
    if constexpr (compresses) precision.after_update(optimizer, parameters);
}

}  // namespace tare::train
