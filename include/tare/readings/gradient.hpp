#pragma once
// SPDX-License-Identifier: MIT
// The gradient reading: operations compute and record themselves on a tape; backward() walks the
// tape from its end and leaves d(loss)/d(parameter) in every parameter. Reverse-mode automatic
// differentiation (Linnainmaa 1976; Griewank and Walther 2008, chapter 3).

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/tensor.hpp>
#include <tare/ops/concept.hpp>
#include <tare/readings/value.hpp>

namespace tare {

/// Training without compression: the default precision policy. Another policy may define
///   activation(op, tensor&)            called on every result
///   activation_gradient(op, tensor&)   called on the gradient of every result before it is used
/// One that has them and changes nothing says so by `static constexpr bool keeps_results = true`:
/// operations may then be joined, and results between them never made.
struct full_precision {};

/// A policy under which every result stays what the operation made.
template <class Precision>
inline constexpr bool keeps_results = std::is_same_v<Precision, full_precision> || requires {
    requires Precision::keeps_results;
};

template <class Scalar, class Precision>
class basic_tape;

/// A tensor of the gradient reading: a handle to a value, its gradient and the tape.
template <class Scalar, class Precision = full_precision>
class basic_variable {
  public:
    using scalar_type = Scalar;
    using tape_type = basic_tape<Scalar, Precision>;

    basic_variable() = default;

    [[nodiscard]] const tare::shape& shape() const noexcept { return node_->value.shape(); }
    [[nodiscard]] bool exists() const noexcept { return node_ != nullptr; }
    [[nodiscard]] const basic_tensor<Scalar>& value() const noexcept { return node_->value; }
    /// The value of a parameter, for the optimizer.
    [[nodiscard]] basic_tensor<Scalar>& mutable_value() noexcept { return node_->value; }
    /// d(loss)/d(this) after backward(); zeros if the loss does not depend on it.
    [[nodiscard]] const basic_tensor<Scalar>& gradient() const {
        if (!node_->gradient.exists())
            node_->gradient = basic_tensor<Scalar>(node_->value.shape(), Scalar(0));
        return node_->gradient;
    }
    [[nodiscard]] basic_tensor<Scalar>& mutable_gradient() {
        static_cast<void>(gradient());
        return node_->gradient;
    }
    /// Forgets the gradient.
    void clear_gradient() noexcept { node_->gradient = {}; }

    [[nodiscard]] bool wants_gradient() const noexcept { return node_->wanted; }
    [[nodiscard]] tape_type& tape() const noexcept { return *tape_; }
    [[nodiscard]] const void* identity() const noexcept { return node_.get(); }

  private:
    friend tape_type;

    struct node {
        basic_tensor<Scalar> value;
        basic_tensor<Scalar> gradient;
        bool wanted = false;
    };

    basic_variable(tape_type& tape, basic_tensor<Scalar> value, bool wanted)
        : tape_(&tape), node_(std::make_shared<node>()) {
        node_->value = std::move(value);
        node_->wanted = wanted;
    }

    tape_type* tape_ = nullptr;
    std::shared_ptr<node> node_;
};

/// The record of one forward pass. It must outlive its variables' use.
template <class Scalar, class Precision = full_precision>
class basic_tape {
  public:
    using variable = basic_variable<Scalar, Precision>;

    explicit basic_tape(Precision policy = {}) : precision_(std::move(policy)) {}
    basic_tape(const basic_tape&) = delete;
    basic_tape& operator=(const basic_tape&) = delete;

    /// A leaf whose gradient is wanted.
    [[nodiscard]] variable parameter(basic_tensor<Scalar> value) {
        return variable(*this, std::move(value), true);
    }
    /// A leaf that gradients do not reach.
    [[nodiscard]] variable constant(basic_tensor<Scalar> value) {
        return variable(*this, std::move(value), false);
    }

    /// Runs `op`, records it if any input wants a gradient.
    template <class Op>
    [[nodiscard]] variable run(const Op& op, std::span<const variable* const> inputs) {
        bool wanted = false;
        std::vector<const basic_tensor<Scalar>*> values;
        for (const variable* input : inputs) {
            wanted = wanted || input->wants_gradient();
            values.push_back(&input->value());
        }
        saved<Scalar> keep;
        keep.wanted = wanted && recording_;
        basic_tensor<Scalar> value =
            run_forward(op, std::span<const basic_tensor<Scalar>* const>(values), keep);
        if constexpr (requires { precision_.activation(op, value); })
            precision_.activation(op, value);
        variable out(*this, std::move(value), keep.wanted);
        if (!keep.wanted) return out;
        if constexpr (differentiable_operation<Op>) {
            auto taken = std::make_unique<record<Op>>(op, std::move(keep));
            for (const variable* input : inputs)
                taken->inputs.push_back(input->node_);
            taken->out = out.node_;
            steps_.push_back(std::move(taken));
            return out;
        } else {
            fail(Op::name, ": has no gradient, but an input wants one; detach the input or give "
                           "the operation a member backward(...)");
        }
    }

    /// Fills the gradients of all parameters that `loss`, a scalar, depends on, adding to what they
    /// hold, and forgets the recorded pass. Throws unless loss has exactly one element.
    void backward(const variable& loss) {
        require(loss.shape().size() == 1, "backward: the loss has shape ", loss.shape(),
                "; it must be a single number (take a mean or a sum)");
        loss.node_->gradient = basic_tensor<Scalar>(loss.shape(), Scalar(1));
        while (!steps_.empty()) {
            const std::unique_ptr<step> last = std::move(steps_.back());
            steps_.pop_back();
            if (last->out->gradient.exists()) last->backward(precision_);
            last->out->gradient = {};  // an intermediate result: nobody asks again
        }
    }

    /// Forgets the recorded pass without using it.
    void clear() noexcept { steps_.clear(); }
    /// Recording can be switched off for evaluation passes.
    void set_recording(bool on) noexcept { recording_ = on; }
    [[nodiscard]] Precision& precision() noexcept { return precision_; }

  private:
    using node = typename variable::node;

    struct step {
        std::vector<std::shared_ptr<node>> inputs;
        std::shared_ptr<node> out;
        virtual ~step() = default;
        virtual void backward(Precision& precision) = 0;
    };

    template <class Op>
    struct record final : step {
        Op op;
        saved<Scalar> kept;

        record(const Op& op_, saved<Scalar> kept_) : op(op_), kept(std::move(kept_)) {}

        void backward(Precision& precision) override {
            if constexpr (requires { precision.activation_gradient(op, this->out->gradient); })
                precision.activation_gradient(op, this->out->gradient);
            std::vector<array_view<const Scalar>> in;
            std::vector<gradient_view<Scalar>> grad_in;
            for (const std::shared_ptr<node>& input : this->inputs) {
                in.push_back(input->value.view());
                if (!input->wanted) {
                    grad_in.emplace_back();
                    continue;
                }
                const bool empty = !input->gradient.exists();
                if (empty) input->gradient = basic_tensor<Scalar>(input->value.shape());
                grad_in.emplace_back(input->gradient.mutable_view(), empty);
                if constexpr (!starts_gradients<Op>)
                    grad_in.back() = {grad_in.back().or_zeros(), false};
            }
            op.backward(input_views<Scalar>(in), array_view<const Scalar>(this->out->value.view()),
                        array_view<const Scalar>(this->out->gradient.view()), kept,
                        gradient_views<Scalar>(grad_in));
        }
    };

    Precision precision_;
    std::vector<std::unique_ptr<step>> steps_;
    bool recording_ = true;
};

/// Runs and records `op`.
template <class Op, class Scalar, class Precision, std::size_t Count>
[[nodiscard]] basic_variable<Scalar, Precision>
apply_all(const Op& op, std::span<const basic_variable<Scalar, Precision>* const, Count> inputs) {
    require(!inputs.empty(), Op::name, ": no inputs");
    return inputs.front()->tape().run(
        op, std::span<const basic_variable<Scalar, Precision>* const>(inputs));
}

template <class Scalar, class Precision>
[[nodiscard]] no_scope scope(const basic_variable<Scalar, Precision>&, std::string_view) {
    return {};
}

/// The same value as a constant: gradients stop here.
template <class Scalar, class Precision>
[[nodiscard]] basic_variable<Scalar, Precision> detach(const basic_variable<Scalar, Precision>& x) {
    return x.tape().constant(x.value());
}

using tape = basic_tape<float>;
using variable = basic_variable<float>;

}  // namespace tare
