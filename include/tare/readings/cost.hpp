#pragma once
// SPDX-License-Identifier: MIT
// The cost reading: tensors that hold a shape, a width and a number of non-zeros but no values.
// Running a model on them computes nothing and charges a ledger with everything the model would
// execute. All of it works in constant expressions.

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/short_text.hpp>
#include <tare/micronet/ledger.hpp>
#include <tare/ops/concept.hpp>

namespace tare {

/// A tensor of the cost reading. Activations are alive in the ledger from their creation until the
/// last copy of the handle dies; parameters and constants are not transient and are not tracked.
class cost {
  public:
    constexpr cost() = default;

    /// A parameter or constant.
    constexpr cost(ledger& book, const operand& what) : book_(&book), what_(what) {}

    /// An activation: the result of an operation.
    [[nodiscard]] static constexpr cost activation(ledger& book, const operand& what) {
        cost out(book, what);
        out.ticket_ = book.allocate(out.live_bits());
        return out;
    }

    constexpr cost(const cost& other)
        : book_(other.book_), what_(other.what_), ticket_(other.ticket_) {
        if (ticket_ != parameter) book_->share(ticket_);
    }
    constexpr cost(cost&& other) noexcept
        : book_(other.book_),
          what_(other.what_),
          ticket_(std::exchange(other.ticket_, parameter)) {}
    constexpr cost& operator=(const cost& other) {
        if (this != &other) {
            if (other.ticket_ != parameter) other.book_->share(other.ticket_);
            forget();
            book_ = other.book_;
            what_ = other.what_;
            ticket_ = other.ticket_;
        }
        return *this;
    }
    constexpr cost& operator=(cost&& other) noexcept {
        if (this != &other) {
            forget();
            book_ = other.book_;
            what_ = other.what_;
            ticket_ = std::exchange(other.ticket_, parameter);
        }
        return *this;
    }
    constexpr ~cost() { forget(); }

    [[nodiscard]] constexpr const tare::shape& shape() const noexcept { return what_.extents; }
    [[nodiscard]] constexpr const operand& what() const noexcept { return what_; }
    /// The same elements under another shape of the same size.
    [[nodiscard]] constexpr cost reshaped(const tare::shape& extents) const {
        require(extents.size() == what_.extents.size(), "cost: ", what_.extents, " cannot become ",
                extents);
        cost out = *this;
        out.what_.extents = extents;
        return out;
    }
    /// False for a default-constructed tensor, which stands for "none".
    [[nodiscard]] constexpr bool exists() const noexcept { return book_ != nullptr; }
    [[nodiscard]] constexpr ledger& book() const {
        require(book_ != nullptr, "cost: this tensor belongs to no ledger");
        return *book_;
    }

  private:
    static constexpr std::size_t parameter = static_cast<std::size_t>(-1);

    [[nodiscard]] constexpr extent live_bits() const { return what_.extents.size() * what_.bits; }
    constexpr void forget() noexcept {
        if (ticket_ != parameter) book_->release(ticket_, live_bits());
        ticket_ = parameter;
    }

    ledger* book_ = nullptr;
    operand what_;
    std::size_t ticket_ = parameter;  ///< of a transient activation
};

/// Charges the ledger with one execution of `op`. An operation without a price does not compile.
template <class Op, std::size_t Count>
[[nodiscard]] constexpr cost apply_all(const Op& op, std::span<const cost* const, Count> inputs) {
    static_assert(
        requires(std::span<const operand> in, const operand& out) { op.cost(in, out); },
        "this operation has no price: give it a member cost(operands, result)");
    require(!inputs.empty(), Op::name, ": no inputs");
    // An array where the number of inputs is known: constant expressions have few steps.
    constexpr bool known = Count != std::dynamic_extent;
    using operand_list =
        std::conditional_t<known, std::array<operand, known ? Count : 1>, std::vector<operand>>;
    using shape_list =
        std::conditional_t<known, std::array<shape, known ? Count : 1>, std::vector<shape>>;
    operand_list operands;
    shape_list shapes;
    if constexpr (!known) {
        operands.resize(inputs.size());
        shapes.resize(inputs.size());
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        operands[i] = inputs[i]->what();
        shapes[i] = operands[i].extents;
    }
    ledger& book = inputs.front()->book();
    const auto execute = [&](operand& out) {
        out = operand::dense(op.result_shape(shapes), result_bits(op, operands));
        return op.cost(operands, out);
    };
    // An operation that holds plain numbers only costs the same for the same inputs.
    constexpr bool repeats = known && Count <= ledger_entry::repetition::most_inputs &&
                             std::is_trivially_copyable_v<Op> &&
                             sizeof(Op) <= ledger_entry::repetition::most_bytes;
    if constexpr (repeats || (known && std::is_empty_v<Op> && Count <= 3)) {
        if (!std::is_constant_evaluated())
            return cost::activation(book, book.record_repeating(op, operands, execute));
    }
    operand out;
    const price charged = execute(out);
    book.record(Op::name, charged);
    return cost::activation(book, out);
}

/// Names the module that the following operations belong to, until the object dies.
class cost_scope {
  public:
    constexpr cost_scope(ledger& book, std::string_view label) : book_(book) { book.enter(label); }
    cost_scope(const cost_scope&) = delete;
    cost_scope& operator=(const cost_scope&) = delete;
    constexpr ~cost_scope() { book_.leave(); }

  private:
    ledger& book_;
};

/// The scope of a module in the ledger that `x` charges.
[[nodiscard]] constexpr cost_scope scope(const cost& x, std::string_view label) {
    return cost_scope(x.book(), label);
}

/// The same tensor, cut off from what made it. (Nothing was recorded: there is nothing to cut.)
[[nodiscard]] constexpr cost detach(const cost& x) {
    return x;
}

}  // namespace tare
