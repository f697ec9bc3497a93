#pragma once
// SPDX-License-Identifier: MIT
// The parameters of a model in training with what an optimizer keeps for each, and one update of
// all of them. What every trainer has in common.

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/nn/parameters.hpp>
#include <tare/readings/gradient.hpp>
#include <tare/train/clip.hpp>
#include <tare/train/optimizer.hpp>
#include <tare/train/precision.hpp>

namespace tare::train {

/// A parameter in training.
template <class Precision>
struct trained_parameter {
    std::string label;
    basic_variable<float, Precision> value;
    std::vector<tensor> moments;  ///< in the order of Optimizer::moments
    tensor master;                ///< float32 weights, where the precision keeps them apart
};

template <optimizer Optimizer, class Precision>
class trained_parameters {
  public:
    using variable = basic_variable<float, Precision>;
    using parameter = trained_parameter<Precision>;

    /// Adds a parameter with moments of zeros.
    void add(std::string_view label, const variable& value) {
        parameter p{std::string(label), value, {}, {}};
        for (std::size_t i = 0; i < Optimizer::moments.size(); ++i)
            p.moments.emplace_back(value.shape(), 0.0F);
        if constexpr (keeps_master<Precision>) p.master = value.value().clone();
        trained_.push_back(std::move(p));
    }
    /// Adds one that updates leave alone.
    void add_constant(std::string_view label, const variable& value) {
        constants_.push_back({std::string(label), value, {}, {}});
    }

    /// Those that are updated.
    [[nodiscard]] std::span<parameter> trained() noexcept { return trained_; }
    /// A parameter, trained or not. **Throws** tare::error naming it if there is none.
    [[nodiscard]] const parameter& find(std::string_view label) const {
        for (const auto* list : {&trained_, &constants_})
            for (const parameter& p : *list)
                if (p.label == label) return p;
        fail("trainer: the model has no parameter ", label);
    }
    /// Its values. **Throws** as find().
    [[nodiscard]] std::span<float> values_of(std::string_view label) const {
        variable found = find(label).value;
        return found.mutable_value().mutable_values();
    }
    void clear_gradients() {
        for (std::vector<parameter>* list : {&trained_, &constants_})
            for (parameter& p : *list)
                p.value.clear_gradient();
    }

    /// Update `number` (from 1 on) at a learning rate, gradients clipped to the global norm `clip`
    /// (0: not at all), which are then forgotten. Returns that norm before clipping, which `check`
    /// is called with first: what it throws leaves weights and moments as they were. So does
    /// frozen(label) of a parameter, whose gradient is in no norm.
    template <class Check, class Frozen>
    double update(const Optimizer& optimizer, Precision& precision, extent number, double rate,
                  double clip, const Check& check, const Frozen& frozen) {
        std::vector<std::vector<std::span<float>>> moments(trained_.size());
        std::vector<updated_parameter> updated;
        std::vector<std::span<const float>> gradients;
        for (std::size_t i = 0; i < trained_.size(); ++i) {
            parameter& p = trained_[i];
            if (frozen(std::string_view(p.label))) continue;
            for (tensor& m : p.moments)
                moments[i].push_back(m.mutable_values());
            updated.push_back(
                {p.value.mutable_value().mutable_values(),
                 p.value.mutable_gradient().mutable_values(), moments[i],
                 keeps_master<Precision> ? p.master.mutable_values() : std::span<float>{}});
            gradients.push_back(p.value.gradient().values());
        }
        double norm = 0.0;
        update_parameters(optimizer, precision, std::span<const updated_parameter>(updated), [&] {
            norm = global_norm(gradients);
            check(norm);
            return update_step{number, rate, clip_factor(norm, clip)};
        });
        clear_gradients();
        return norm;
    }

    /// The same without frozen parameters.
    template <class Check>
    double update(const Optimizer& optimizer, Precision& precision, extent number, double rate,
                  double clip, const Check& check) {
        return update(optimizer, precision, number, rate, clip, check,
                      [](std::string_view) { return false; });
    }

    /// A source of the leaves themselves, for models that are made anew.
    struct leaf_source {
        const trained_parameters* from;

        [[nodiscard]] variable parameter(std::string_view label, const shape& extents,
                                         const initial&) const {
            const variable& leaf = from->find(label).value;
            require(leaf.shape() == extents, "trainer: ", label, " is ", leaf.shape(),
                    ", the model asks for ", extents);
            return leaf;
        }
    };
    [[nodiscard]] leaf_source leaves() const noexcept { return {this}; }

    /// A source of new leaves with the values of another, added in the order in which a model asks
    /// for them; what it asks for twice is one leaf.
    template <class Source>
    struct adding_source {
        trained_parameters* to;
        basic_tape<float, Precision>* tape;
        Source values;

        [[nodiscard]] variable parameter(std::string_view label, const shape& extents,
                                         const initial& start) {
            for (const trained_parameter<Precision>& p : to->trained_)
                if (p.label == label) return to->leaves().parameter(label, extents, start);
            const variable leaf = tape->parameter(values.parameter(label, extents, start));
            to->add(label, leaf);
            return leaf;
        }
    };

    /// A source that shares the parameters' memory: a model<tensor> made from it always shows the
    /// current weights.
    struct shared_source {
        const trained_parameters* from;

        [[nodiscard]] tensor parameter(std::string_view label, const shape&, const initial&) const {
            return from->find(label).value.value();
        }
    };
    [[nodiscard]] shared_source shared() const noexcept { return {this}; }

  private:
    std::vector<parameter> trained_;
    std::vector<parameter> constants_;
};

}  // namespace tare::train
