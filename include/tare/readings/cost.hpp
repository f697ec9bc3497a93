#pragma once
// SPDX-License-Identifier: MIT
// The cost reading: tensors that hold a shape, a width and a number of non-zeros but no values.
// Running a model on them computes nothing and charges a ledger with everything the model would
// execute. All of it works in constant expressions.

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

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
        out.owners_ = new extent(1);
        book.allocate(what.extents.size() * what.bits);
        return out;
    }

    constexpr cost(const cost& other)
        : book_(other.book_), what_(other.what_), owners_(other.owners_) {
        if (owners_ != nullptr) ++*owners_;
    }
    constexpr cost(cost&& other) noexcept
        : book_(other.book_), what_(other.what_), owners_(std::exchange(other.owners_, nullptr)) {}
    constexpr cost& operator=(cost other) noexcept {
        std::swap(book_, other.book_);
        std::swap(what_, other.what_);
        std::swap(owners_, other.owners_);
        return *this;
    }
    constexpr ~cost() {
        if (owners_ != nullptr && --*owners_ == 0) {
            book_->release(what_.extents.size() * what_.bits);
            delete owners_;
        }
    }

    [[nodiscard]] constexpr const tare::shape& shape() const noexcept { return what_.extents; }
    [[nodiscard]] constexpr const operand& what() const noexcept { return what_; }
    /// The same elements under another shape of the same size.
    [[nodiscard]] constexpr cost reshaped(const tare::shape& extents) const {
        require(extents.size() == what_.extents.size(), "cost: ", what_.extents,
                " cannot become ", extents);
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
    ledger* book_ = nullptr;
    operand what_;
    extent* owners_ = nullptr;
};

/// Charges the ledger with one execution of `op`. An operation without a price does not compile.
template <class Op>
[[nodiscard]] constexpr cost apply_all(const Op& op, std::span<const cost* const> inputs) {
    static_assert(
        requires(std::span<const operand> in, const operand& out) { op.cost(in, out); },
        "this operation has no price: give it a member cost(operands, result)");
    constexpr std::size_t most = 24;
    require(!inputs.empty() && inputs.size() <= most, Op::name, ": ", inputs.size(),
            " inputs; from 1 to ", most, " are possible");
    std::array<operand, most> operands{};
    std::array<shape, most> shapes{};
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        operands[i] = inputs[i]->what();
        shapes[i] = operands[i].extents;
    }
    const std::span<const operand> in(operands.data(), inputs.size());
    const operand out = operand::dense(op.result_shape({shapes.data(), inputs.size()}),
                                       result_bits(op, in));
    ledger& book = inputs.front()->book();
    book.record(Op::name, op.cost(in, out));
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
[[nodiscard]] constexpr cost detach(const cost& x) { return x; }

}  // namespace tare
