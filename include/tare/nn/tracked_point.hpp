#pragma once
// SPDX-License-Identifier: MIT
// Quantization points of the gradient reading: each first updates its tracked range with what
// passes, then clamps to it and quantizes; gradients go straight through where nothing was clamped.
//     biased <- 0.999 biased + 0.001 x,  tracked = biased / (1 - 0.999^s)  for minimum and maximum
// Inside attention the probabilities of the whole call are observed before any row is quantized.
// A point may instead be a place of dropout (nn/dropout_place.hpp).
// Source: quantization-aware training of the MIT-HAN-Lab entry (its range tracker and wrapper).

#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <tare/core/view.hpp>
#include <tare/kernels/attention_points.hpp>
#include <tare/nn/dropout_place.hpp>
#include <tare/ops/clamp_quantize.hpp>
#include <tare/quantize/linear_levels.hpp>
#include <tare/quantize/range.hpp>
#include <tare/readings/gradient.hpp>

namespace tare {

template <class T>
class activation_point;

/// The range of one point, shared by all models that are built for it step after step.
struct tracked_range {
    int bits = 8;
    bool observing = true;  ///< false: evaluation, the range stays
    moving_average_tracker tracker{};

    /// What the point does with the range as it is now. Before the first update that is
    /// [0, 0]: everything becomes 0.
    [[nodiscard]] op::clamp_quantize quantizer() const {
        const float most = tracker.range().magnitude();
        return {bits, most, symmetric_levels::from_magnitude(most, bits).scale};
    }
    template <class Scalar>
    void observe(std::span<const Scalar> values) {
        if (!observing) return;
        if constexpr (std::is_same_v<Scalar, float>) {
            tracker.update(values);
        } else {
            const std::vector<float> narrow(values.begin(), values.end());
            tracker.update(std::span<const float>(narrow));
        }
    }
};

/// Variables: active where a range or a place of dropout is given.
template <class Scalar, class Precision>
class activation_point<basic_variable<Scalar, Precision>> {
  public:
    using variable_type = basic_variable<Scalar, Precision>;

    activation_point() = default;
    explicit activation_point(std::shared_ptr<tracked_range> range) : range_(std::move(range)) {}
    explicit activation_point(std::shared_ptr<const dropout_place> place)
        : place_(std::move(place)) {}

    [[nodiscard]] variable_type operator()(const variable_type& x) const {
        if (place_) return apply(place_->now(), x);
        if (!range_) return x;
        range_->observe(x.value().values());
        return apply(range_->quantizer(), x);
    }

    /// Probability rows. `chosen` belongs to one call of the operation: its backward pass must see
    /// the range of its own forward pass, not that of a later one.
    struct row_policy {
        static constexpr bool changes_probabilities = true;
        static constexpr bool changes_output = false;
        std::shared_ptr<tracked_range> range;
        std::shared_ptr<op::clamp_quantize> chosen;

        /// Called with all probabilities of a call before any of them is quantized.
        template <class S>
        void observe(std::span<const S> probabilities) const {
            range->observe(probabilities);
            *chosen = range->quantizer();
        }
        template <class S>
        void probabilities(std::span<S> row, extent) const {
            for (S& p : row)
                p = chosen->one(p);
        }
        template <class S>
        void d_probabilities(std::span<const S> row, std::span<S> gradient, extent) const {
            for (std::size_t i = 0; i < row.size(); ++i)
                if (!chosen->inside(row[i])) gradient[i] = S(0);
        }
        template <class S>
        void output(std::span<S>, extent) const {}
        [[nodiscard]] int bits() const { return range->bits; }
    };
    /// Calls f with what attention does to its probabilities here.
    template <class F>
    [[nodiscard]] variable_type with_rows(F&& f) const {
        if (place_) return f(place_->rows_now());
        if (!range_) return f(kernels::no_attention_points{});
        return f(row_policy{range_, std::make_shared<op::clamp_quantize>()});
    }

  private:
    std::shared_ptr<tracked_range> range_;
    std::shared_ptr<const dropout_place> place_;
};

}  // namespace tare
