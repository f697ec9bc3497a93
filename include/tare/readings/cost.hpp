#pragma once
// SPDX-License-Identifier: MIT
// The cost reading: tensors that hold a shape, a width and a number of non-zeros but no values.
// Running a model on them computes nothing and charges a ledger with everything the model would
// execute. All of it works in constant expressions.

#include <array>
#include <cstddef>
#include <cstdint>
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
    constexpr cost(ledger& book, const operand& what) : book_(&book), what_(book.id_of(what)) {}

    /// An activation: the result of an operation.
    [[nodiscard]] static constexpr cost activation(ledger& book, operand_id what) {
        cost out;
        out.book_ = &book;
        out.what_ = what;
        out.ticket_ = book.allocate(what);
        return out;
    }

    constexpr cost(const cost& other)
        : book_(other.book_), what_(other.what_), ticket_(other.ticket_) {
        if (ticket_ != parameter) book_->activations().share(ticket_);
    }
    constexpr cost(cost&& other) noexcept
        : book_(other.book_),
          what_(other.what_),
          ticket_(std::exchange(other.ticket_, parameter)) {}
    constexpr cost& operator=(cost other) noexcept {
        std::swap(book_, other.book_);
        std::swap(what_, other.what_);
        std::swap(ticket_, other.ticket_);
        return *this;
    }
    constexpr ~cost() {
        if (ticket_ != parameter) book_->activations().release(ticket_);
    }

    [[nodiscard]] constexpr tare::shape shape() const { return what().extents; }
    [[nodiscard]] constexpr operand what() const { return book().operand_of(what_); }
    /// The operand's number in the ledger.
    [[nodiscard]] constexpr operand_id id() const noexcept { return what_; }
    /// The same elements under another shape of the same size.
    [[nodiscard]] constexpr cost reshaped(const tare::shape& extents) const {
        operand other = what();
        require(extents.size() == other.extents.size(), "cost: ", other.extents, " cannot become ",
                extents);
        other.extents = extents;
        cost out = *this;
        out.what_ = book_->id_of(other);
        return out;
    }
    /// False for a default-constructed tensor, which stands for "none".
    [[nodiscard]] constexpr bool exists() const noexcept { return book_ != nullptr; }
    [[nodiscard]] constexpr ledger& book() const {
        require(book_ != nullptr, "cost: this tensor belongs to no ledger");
        return *book_;
    }

  private:
    static constexpr std::uint32_t parameter = static_cast<std::uint32_t>(-1);

    ledger* book_ = nullptr;
    operand_id what_ = static_cast<operand_id>(-1);
    std::uint32_t ticket_ = parameter;  ///< of a transient activation
};

/// Charges the ledger with one execution of `op`. An operation without a price does not compile.
template <class Op, std::size_t Count>
[[nodiscard]] constexpr cost apply_all(const Op& op, std::span<const cost* const, Count> inputs) {
    static_assert(
        requires(std::span<const operand> in, const operand& out) { op.cost(in, out); },
        "this operation has no price: give it a member cost(operands, result)");
    require(!inputs.empty(), Op::name, ": no inputs");
    ledger& book = inputs.front()->book();
    for (const cost* input : inputs)
        require(&input->book() == &book, Op::name,
                ": its inputs belong to different ledgers; weigh one model in one ledger");
    // An array where the number of inputs is known: constant expressions have few steps.
    constexpr bool known = Count != std::dynamic_extent;
    const auto execute = [&](operand& out) {
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
        out = operand::dense(op.result_shape(shapes), result_bits(op, operands));
        return op.cost(operands, out);
    };
    // An operation that holds plain numbers only costs the same for the same inputs.
    constexpr bool repeats =
        known && Count <= ledger_entry::repetition::most_inputs &&
        (std::is_empty_v<Op> ||
         (std::is_trivially_copyable_v<Op> && sizeof(Op) <= ledger_entry::repetition::most_bytes));
    if constexpr (repeats) {
        if (!std::is_constant_evaluated()) {
            std::array<operand_id, Count> ids;
            for (std::size_t i = 0; i < Count; ++i)
                ids[i] = inputs[i]->id();
            return cost::activation(book, book.record_repeating(op, ids, execute));
        }
    }
    operand out;
    const price charged = execute(out);
    book.record(Op::name, charged);
    return cost::activation(book, book.id_of(out));
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
