#pragma once
// SPDX-License-Identifier: MIT
// What an operation says it costs. A price is a list of charges, each an exact number of elementary
// operations of one kind on operands of one width, with the role they play; it holds no opinion on
// what a charge is worth (a rule set has that).

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>

namespace tare {

/// What the accounting knows of a tensor that takes part in an operation.
struct operand {
    shape extents;
    int bits = 32;           ///< width of one value
    extent nonzeros = 0;     ///< values that are not zero
    extent filled_rows = 0;  ///< rows (all axes but the last) with at least one such value

    /// A tensor without structural zeros.
    [[nodiscard]] static constexpr operand dense(const shape& extents, int bits = 32) {
        return {extents, bits, extents.size(), extents.columns() == 0 ? 0 : extents.rows()};
    }
    friend constexpr bool operator==(const operand&, const operand&) = default;
};

/// Width of the widest operand: what data moved together is held in.
[[nodiscard]] constexpr int widest_bits(std::span<const operand> operands) {
    int widest = 0;
    for (const operand& o : operands)
        widest = std::max(widest, o.bits);
    return widest;
}

/// The three kinds of the MicroNet rules. `other` holds transcendental functions, divisions and
/// comparisons.
enum class math : unsigned char { multiplication, addition, other };

/// `count` elementary operations. `input_bits` is the width of the widest input,
/// `accumulator_bits` that of the running sum (additions) or of the result.
struct charge {
    std::string_view role;
    math kind;
    extent count;
    int input_bits;
    int accumulator_bits;
};

/// The charges of one execution of one operation.
class price {
  public:
    /// Enough for the distribution over a vocabulary of eight bins with a cache: nine softmaxes of
    /// five charges, and five more.
    static constexpr std::size_t capacity = 56;

    // A model makes hundreds of prices per token: what is not used is neither set nor copied.
    constexpr price() {}
    constexpr price(const price& other)
        : size_(other.size_), inner_(other.inner_), outer_(other.outer_), groups_(other.groups_) {
        for (std::size_t i = 0; i < size_; ++i)
            charges_[i] = other.charges_[i];
    }
    price& operator=(const price&) = delete;

    constexpr price& multiplications(std::string_view role, extent count, int input_bits = 32) {
        return add({role, math::multiplication, count, input_bits, 32});
    }
    constexpr price& additions(std::string_view role, extent count, int accumulator_bits = 32) {
        return add({role, math::addition, count, accumulator_bits, accumulator_bits});
    }
    constexpr price& others(std::string_view role, extent count, int input_bits = 32) {
        return add({role, math::other, count, input_bits, 32});
    }
    /// A charge as it is.
    constexpr price& add(const charge& c) {
        require(size_ < capacity, "price: more than ", capacity, " charges for one operation");
        require(c.count >= 0, "price: role ", c.role, " charges ", c.count,
                " operations; a count cannot be negative");
        charges_[size_++] = c;
        return *this;
    }
    /// The dimensions of the contraction, for reports and published tallies: `groups` products of
    /// vectors of length `inner` with matrices of `outer` columns.
    constexpr price& contraction(extent inner, extent outer, extent groups = 1) {
        inner_ = inner;
        outer_ = outer;
        groups_ = groups;
        return *this;
    }

    [[nodiscard]] constexpr std::span<const charge> charges() const noexcept {
        return {charges_.data(), size_};
    }
    [[nodiscard]] constexpr extent inner() const noexcept { return inner_; }
    [[nodiscard]] constexpr extent outer() const noexcept { return outer_; }
    [[nodiscard]] constexpr extent groups() const noexcept { return groups_; }

  private:
    std::array<charge, capacity> charges_;
    std::size_t size_ = 0;
    extent inner_ = 0;
    extent outer_ = 0;
    extent groups_ = 1;
};

/// The price of moving data: nothing, said aloud. An operation without a price does not compile in
/// the cost reading; one that is free says so with this.
[[nodiscard]] constexpr price free_of_charge() {
    return {};
}

}  // namespace tare
