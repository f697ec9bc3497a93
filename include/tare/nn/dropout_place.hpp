#pragma once
// SPDX-License-Identifier: MIT
// Where training drops activations. A model's activation points are its places; all places of a
// model share a clock, and a mask is a function of seed, step, place and position alone: a training
// that is resumed at step s draws what an uninterrupted one draws, and no generator state exists.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <tare/core/random.hpp>
#include <tare/kernels/attention_points.hpp>
#include <tare/nn/parameters.hpp>
#include <tare/ops/dropout.hpp>

namespace tare {

/// What all places share. The trainer sets `step` before each forward pass.
struct dropout_clock {
    float probability = 0.0F;  ///< 0 <= p < 1
    std::uint64_t seed = 0;
    std::uint64_t step = 0;
};

/// Dropout of attention probabilities, row by row: each row has a stream of its own, so what is
/// dropped depends on its number and the columns alone.
struct dropout_rows : kernels::no_attention_points {
    static constexpr bool changes_probabilities = true;
    op::dropout drop{};

    template <class Scalar>
    void probabilities(std::span<Scalar> row, extent index) const {
        const random_stream& all = drop.stream;
        const random_stream own(all.seed(), all.stream() + static_cast<std::uint64_t>(index));
        if constexpr (std::is_same_v<Scalar, float>) {
            kernels::dropout(row, drop.probability, own, row);
        } else {
            kernels::plain::dropout<Scalar>(row, drop.probability, own, row);
        }
    }
    template <class Scalar>
    void d_probabilities(std::span<const Scalar>, std::span<Scalar> gradient, extent index) const {
        probabilities(gradient, index);
    }
};

/// One place, by the name of its activation point.
class dropout_place {
  public:
    dropout_place(std::shared_ptr<const dropout_clock> clock, std::string_view label)
        : clock_(std::move(clock)), stream_(stream_of_name(label)) {}
    /// A place with a probability of its own.
    dropout_place(std::shared_ptr<const dropout_clock> clock, std::string_view label,
                  float probability)
        : clock_(std::move(clock)), stream_(stream_of_name(label)), own_(probability) {}

    /// Whether a Transformer-XL drops at this activation point: after the activation function and
    /// after the second layer of the feed-forward network, on what attention hands on, and on the
    /// final state. (On the embeddings, which have no such point, the model asks for itself.)
    [[nodiscard]] static bool is_one(std::string_view label) noexcept {
        return label.ends_with(".relu") || label.ends_with(".fc.3") ||
               label.ends_with(".attn_out") || label == "final";
    }
    /// Whether a translation Transformer does: after the last layer of each sublayer. (On the
    /// embeddings too; they have a point of their own kind.)
    [[nodiscard]] static bool ends_sublayer(std::string_view label) noexcept {
        return label.ends_with(".out_proj") || label.ends_with(".fc2");
    }
    /// The operation of the clock's current step.
    [[nodiscard]] op::dropout now() const {
        return {own_.value_or(clock_->probability),
                random_stream(seed_of_call(clock_->seed, clock_->step), stream_)};
    }
    /// The same inside attention.
    [[nodiscard]] dropout_rows rows_now() const { return {{}, now()}; }

  private:
    std::shared_ptr<const dropout_clock> clock_;
    std::uint64_t stream_;
    std::optional<float> own_;
};

}  // namespace tare
