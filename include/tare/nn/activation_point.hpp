#pragma once
// SPDX-License-Identifier: MIT
// A place in a model where activations may be quantized. Inactive, it hands its input on; active,
// it holds the width and range of its place. Each reading has its own: values are rounded, a ledger
// learns the width, training tracks the range (nn/tracked_point.hpp).

#include <optional>
#include <span>
#include <type_traits>

#include <tare/kernels/attention_points.hpp>
#include <tare/nn/tracked_point.hpp>
#include <tare/ops/fake_quantize.hpp>
#include <tare/readings/cost.hpp>
#include <tare/readings/value.hpp>

namespace tare {

/// The general case: a reading without quantization points hands everything on.
template <class T>
class activation_point {
  public:
    [[nodiscard]] constexpr const T& operator()(const T& x) const { return x; }
    /// Calls f with what attention does to its probabilities here.
    template <class F>
    [[nodiscard]] constexpr T with_rows(F&& f) const {
        return f(kernels::no_attention_points{});
    }
};

/// Values: the explicit form of a stored, quantized model.
template <class Scalar>
class activation_point<basic_tensor<Scalar>> {
  public:
    activation_point() = default;
    /// Active from now on: `bits` wide, clamped to +-max_abs, steps of inverse_scale.
    activation_point(int bits, float max_abs, float inverse_scale)
        : quantize_{bits, max_abs, inverse_scale}, active_(true) {}

    [[nodiscard]] basic_tensor<Scalar> operator()(const basic_tensor<Scalar>& x) const {
        return active_ ? apply(quantize_, x) : x;
    }

    /// What its values are multiples of; 0 where it is inactive.
    [[nodiscard]] float step() const { return active_ ? quantize_.inverse_scale : 0.0F; }
    /// What it does to values, for an epilogue; nothing where it is inactive.
    [[nodiscard]] std::optional<kernels::round_to_steps> rounding() const
        requires(std::is_same_v<Scalar, float>) {
        if (!active_) return {};
        return kernels::round_to_steps(quantize_.max_abs, quantize_.inverse_scale);
    }

    /// Rounds probability rows inside the attention kernel.
    struct row_policy {
        static constexpr bool changes_probabilities = true;
        static constexpr bool changes_output = false;
        op::fake_quantize quantize;

        template <class S>
        void probabilities(std::span<S> row, extent) const {
            if constexpr (std::is_same_v<S, float>) {
                kernels::round_to_steps(quantize.max_abs, quantize.inverse_scale)(row, row);
            } else {
                for (S& p : row)
                    p = quantize.one(p);
            }
        }
        template <class S>
        void d_probabilities(std::span<const S>, std::span<S>, extent) const {}
        template <class S>
        void output(std::span<S>, extent) const {}
    };
    template <class F>
    [[nodiscard]] basic_tensor<Scalar> with_rows(F&& f) const {
        return active_ ? f(row_policy{quantize_}) : f(kernels::no_attention_points{});
    }

  private:
    op::fake_quantize quantize_;
    bool active_ = false;
};

/// Costs: the width after the point, and the conversion.
template <>
class activation_point<cost> {
  public:
    constexpr activation_point() = default;
    constexpr explicit activation_point(int bits) : bits_(bits) {}

    [[nodiscard]] constexpr cost operator()(const cost& x) const {
        return bits_ < 32 ? apply(op::fake_quantize{bits_, 0.0F, 1.0F}, x) : x;
    }

    struct row_policy : kernels::no_attention_points {
        int width = 32;
        [[nodiscard]] constexpr int bits() const { return width; }
        constexpr void charge(price& p, extent elements) const {
            if (width < 32) charge_conversion(p, elements);
        }
    };
    template <class F>
    [[nodiscard]] constexpr cost with_rows(F&& f) const {
        return f(row_policy{{}, bits_});
    }

  private:
    int bits_ = 32;
};

/// A source that knows ranges hands them out by name; any other leaves the point inactive.
template <class T, class Source>
[[nodiscard]] constexpr activation_point<T> point_from(Source& source, std::string_view label) {
    if constexpr (requires { source.point(label); }) {
        return source.point(label);
    } else {
        return {};
    }
}
/// A place where activations are never quantized, but training may drop some.
template <class T, class Source>
[[nodiscard]] constexpr activation_point<T> dropout_from(Source& source, std::string_view label) {
    if constexpr (requires { source.dropout_point(label); }) {
        return source.dropout_point(label);
    } else {
        return {};
    }
}

}  // namespace tare
