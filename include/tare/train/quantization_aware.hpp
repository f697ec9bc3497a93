#pragma once
// SPDX-License-Identifier: MIT
// Quantization-aware training of the language model. Each pass quantizes all parameters from their
// float copies (matrices by output row, vectors as a whole, an embedding table as embedding as a
// whole and as output layer by row), the points track ranges and quantize activations; gradients go
// straight through to the float copies, where a tied table receives both of its gradients. After
// the update, what was 0 before, that is pruned, is 0 again.
// Calibration without training is the same pass without the update.
// Source: the MIT-HAN-Lab entry's quantization driver; Jacob et al. 2018, section 3.

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/models/stored_model.hpp>
#include <tare/models/transformer_xl.hpp>
#include <tare/nn/parameter_names.hpp>
#include <tare/ops/mean.hpp>
#include <tare/ops/quantize_parameter.hpp>
#include <tare/train/adam.hpp>
#include <tare/train/clip.hpp>
#include <tare/train/quantization_options.hpp>

namespace tare::train {

/// Float copies, ranges and moments. One object serves calibration, training and storing.
/// `Variable` is the gradient reading's type; what its precision says of activations and their
/// gradients holds here too, of weights `how` alone says something.
template <optimizer Optimizer = adam, class Variable = tare::variable>
class quantization_aware {
  public:
    using variable = Variable;

    /// Asks `values` for every parameter. `how` names the widths; 32 leaves a tensor, or with
    /// how.bits the activations, alone.
    /// **Throws** tare::error on impossible sizes and on widths other than 2 to 16 and 32.
    template <class Source>
    quantization_aware(Source&& values, const transformer_xl_config& config,
                       const micronet::compression& how, const quantization_options& options = {},
                       Optimizer rule = {})
        : options_(options), rule_(std::move(rule)), config_(config), how_(how) {
        check_widths(how);
        cache_ = neural_cache<variable>(config_.cache.capacity);
        collecting_source<std::remove_reference_t<Source>> first{this, &values};
        static_cast<void>(transformer_xl<variable>(first, config_));
    }
    quantization_aware(const quantization_aware&) = delete;
    quantization_aware& operator=(const quantization_aware&) = delete;

    /// Forward pass of one sample in training mode, ranges updated; nothing is learned.
    /// Returns the loss in nats. **Shapes** inputs and labels of one length.
    double observe(std::span<const token> inputs, std::span<const token> labels) {
        tape_.set_recording(false);
        const double value = static_cast<double>(loss(inputs, labels).value().values()[0]);
        tape_.set_recording(true);
        return value;
    }

    /// The same, and its gradients are added up for the next update. Returns the loss in nats.
    /// **Throws** tare::error where the loss is not finite; nothing is added then.
    double accumulate(std::span<const token> inputs, std::span<const token> labels) {
        const variable total = loss(inputs, labels);
        const double value = static_cast<double>(total.value().values()[0]);
        if (!std::isfinite(value)) {
            tape_.clear();
            fail("quantization_aware: the loss is ", value, " at update ", updates_ + 1,
                 "; the parameters are those before it. Lower the learning rate");
        }
        tape_.backward(total);
        return value;
    }

    /// One clipped update of the float copies with the gradients of all samples since the last one.
    void update(double rate) {
        const double norm = gradient_norm();
        require(std::isfinite(norm), "quantization_aware: the gradient's norm is ", norm,
                " at update ", updates_ + 1);
        const update_step at{++updates_, rate, clip_factor(norm, options_.clip)};
        for (auto& [label, one] : parameters_) {
            if (!one.learned) continue;
            const std::span<float> values = one.leaf.mutable_value().mutable_values();
            std::vector<std::size_t> zeros;
            if (stays_pruned(label, one.leaf.shape()))
                for (std::size_t i = 0; i < values.size(); ++i)
                    if (values[i] == 0.0F) zeros.push_back(i);
            std::vector<std::span<float>> moments;
            for (tensor& m : one.moments)
                moments.push_back(m.mutable_values());
            rule_.update(values, one.leaf.gradient().values(),
                         std::span<const std::span<float>>(moments), at);
            for (const std::size_t i : zeros)
                values[i] = 0.0F;
            one.leaf.clear_gradient();
        }
    }

    /// Mean loss of a stream in nats, in chunks with memory and cache carried over, with the ranges
    /// as they are and the divisions of training. **Throws** without anything to predict.
    [[nodiscard]] double evaluate(std::span<const token> tokens, extent chunk) {
        require(tokens.size() >= 2 && chunk >= 1, "quantization_aware: ", tokens.size(),
                " tokens in chunks of ", chunk, " hold nothing to predict");
        const evaluation_mode here(*this);
        pass_source source{this};
        const transformer_xl<variable> model(source, config_);
        transformer_xl_state<variable> state = fresh_state();
        cache_.clear();
        double sum = 0.0;
        for (std::size_t at = 0; at + 1 < tokens.size(); at += static_cast<std::size_t>(chunk)) {
            const std::size_t count =
                std::min(static_cast<std::size_t>(chunk), tokens.size() - 1 - at);
            const auto labels = tokens.subspan(at + 1, count);
            const variable h = model.hidden(tokens.subspan(at, count), 1, state);
            const variable logp = model.softmax().log_probability(h, labels, used_cache());
            for (const float v : logp.value().values())
                sum -= static_cast<double>(v);
            if (cache_.capacity() > 0) cache_.push(h, labels);
        }
        return sum / static_cast<double>(tokens.size() - 1);
    }

    /// The stored form of what the float copies and ranges are now.
    [[nodiscard]] stored_model store() const {
        stored_model out{config_, how_, {}, {}};
        for (const auto& [label, one] : parameters_)
            out.tensors.emplace(label, store_tensor(one.leaf.value(), how_.bits_of(label)));
        for (const auto& [label, range] : ranges_)
            out.points.emplace(label, store_point(range->tracker.range().magnitude(), range->bits));
        return out;
    }

    /// The float copy of a parameter. Throws on a name that the model does not have.
    [[nodiscard]] const tensor& value(std::string_view label) const {
        return find(label).leaf.value();
    }
    /// The gradient that the next update will use, not yet clipped.
    [[nodiscard]] const tensor& gradient(std::string_view label) const {
        return find(label).leaf.gradient();
    }
    /// What gradients are multiplied by in the next update.
    [[nodiscard]] float gradient_factor() const {
        return clip_factor(gradient_norm(), options_.clip);
    }
    /// The range of a point ("layers.0.qkv", "final", ...).
    [[nodiscard]] const tracked_range& range(std::string_view label) const {
        const auto found = ranges_.find(label);
        require(found != ranges_.end(), "quantization_aware: no point is named ", label);
        return *found->second;
    }
    /// Updates done.
    [[nodiscard]] extent updates() const noexcept { return updates_; }
    void set_updates(extent done) noexcept { updates_ = done; }
    [[nodiscard]] const transformer_xl_config& config() const noexcept { return config_; }
    [[nodiscard]] const micronet::compression& widths() const noexcept { return how_; }
    [[nodiscard]] const quantization_options& options() const noexcept { return options_; }
    /// Everything else that a later update depends on, as a checkpoint wants it (samples begin with
    /// empty caches): visitor(name, tensor&) for float copies and, as "state.<moment>.<name>", the
    /// moments; range_visitor(name, tracker&) for the ranges.
    template <class Visitor, class RangeVisitor>
    void visit_state(Visitor&& visitor, RangeVisitor&& range_visitor) {
        for (auto& [label, one] : parameters_) {
            visitor(label, one.leaf.mutable_value());
            for (std::size_t i = 0; i < one.moments.size(); ++i)
                visitor(message("state.", Optimizer::moments[i], '.', label), one.moments[i]);
        }
        for (auto& [label, range] : ranges_)
            range_visitor(label, range->tracker);
    }
    [[nodiscard]] std::vector<std::string> labels() const {
        std::vector<std::string> out;
        for (const auto& [label, one] : parameters_)
            out.push_back(label);
        return out;
    }

  private:
    struct parameter_state {
        variable leaf;
        bool learned = true;
        std::vector<tensor> moments;
    };

    /// First pass over the model: takes the float copies and makes the ranges.
    template <class Source>
    struct collecting_source {
        quantization_aware* owner;
        Source* values;

        variable parameter(std::string_view label, const shape& extents, const initial& start) {
            parameter_state one;
            one.learned = owner->config_.cache.trained || !is_cache_scalar(label);
            const tensor copy = values->parameter(label, extents, start).clone();
            one.leaf = one.learned ? owner->tape_.parameter(copy) : owner->tape_.constant(copy);
            for (std::size_t i = 0; one.learned && i < Optimizer::moments.size(); ++i)
                one.moments.emplace_back(extents, 0.0F);
            return owner->parameters_.emplace(label, std::move(one)).first->second.leaf;
        }
        activation_point<variable> point(std::string_view label) {
            if (owner->how_.bits == 32) return {};
            auto range = std::make_shared<tracked_range>();
            range->bits = owner->how_.bits;
            owner->ranges_.emplace(label, range);
            return activation_point<variable>(range);
        }
    };

    /// Every later pass: quantized views of the float copies.
    struct pass_source {
        const quantization_aware* owner;

        variable parameter(std::string_view label, const shape& extents, const initial&) const {
            return quantized(label, extents.rank() == 2 && !label.starts_with("embed.layers."));
        }
        variable tied_table(std::size_t bin) const {
            return quantized(join("embed.layers.", bin, ".weight"), true);
        }
        activation_point<variable> point(std::string_view label) const {
            if (owner->how_.bits == 32) return {};
            return activation_point<variable>(owner->ranges_.find(label)->second);
        }
        variable quantized(std::string_view label, bool by_row) const {
            const int bits = owner->how_.bits_of(label);
            const variable& leaf = owner->find(label).leaf;
            return bits == 32 ? leaf : apply(op::quantize_parameter{bits, by_row}, leaf);
        }
    };

    /// No recording, fixed ranges; undone at the end of the scope.
    class evaluation_mode {
      public:
        explicit evaluation_mode(quantization_aware& owner) : owner_(owner) { set(false); }
        evaluation_mode(const evaluation_mode&) = delete;
        evaluation_mode& operator=(const evaluation_mode&) = delete;
        ~evaluation_mode() { set(true); }

      private:
        void set(bool training) {
            owner_.tape_.set_recording(training);
            for (auto& [label, range] : owner_.ranges_)
                range->observing = training;
        }
        quantization_aware& owner_;
    };

    /// Layer norms start at zero and are never pruned.
    [[nodiscard]] bool stays_pruned(std::string_view label, const shape& extents) const {
        return extents.rank() == 2 ||
               !(options_.biases_come_back || micronet::stays_at_32_bits(label));
    }
    [[nodiscard]] double gradient_norm() const {
        std::vector<std::span<const float>> gradients;
        for (const auto& [label, one] : parameters_)
            if (one.learned) gradients.push_back(one.leaf.gradient().values());
        return global_norm(gradients);
    }
    [[nodiscard]] const parameter_state& find(std::string_view label) const {
        const auto found = parameters_.find(label);
        require(found != parameters_.end(), "quantization_aware: the model has no parameter ",
                label);
        return found->second;
    }
    [[nodiscard]] transformer_xl_state<variable> fresh_state() {
        transformer_xl_state<variable> state;
        if (!options_.zeros_before_start) return state;
        const shape memory{config_.window, 1,
                           config_.heads * (config_.key_width + config_.value_width)};
        for (extent i = 0; i < config_.layers; ++i)
            state.memory.push_back(tape_.constant(tensor(memory, 0.0F)));
        return state;
    }
    [[nodiscard]] const neural_cache<variable>* used_cache() const {
        return cache_.capacity() > 0 ? &cache_ : nullptr;
    }
    [[nodiscard]] variable loss(std::span<const token> inputs, std::span<const token> labels) {
        require(inputs.size() == labels.size() && !inputs.empty(),
                "quantization_aware: ", inputs.size(), " inputs and ", labels.size(),
                " labels; a sample has one label for each input");
        pass_source source{this};
        const transformer_xl<variable> model(source, config_);
        transformer_xl_state<variable> state = fresh_state();
        const variable h = model.hidden(inputs, 1, state);
        if (!options_.keep_cache) cache_.clear();
        const variable logp = model.softmax().log_probability(h, labels, used_cache());
        if (cache_.capacity() > 0) cache_.push(h, labels);
        return scale_by(mean(logp), -1.0);
    }

    quantization_options options_;
    Optimizer rule_;
    transformer_xl_config config_;
    micronet::compression how_;
    typename Variable::tape_type tape_;
    neural_cache<variable> cache_;
    std::map<std::string, parameter_state, std::less<>> parameters_;
    std::map<std::string, std::shared_ptr<tracked_range>, std::less<>> ranges_;
    extent updates_ = 0;
};

}  // namespace tare::train
