#pragma once
// SPDX-License-Identifier: MIT
// Operands, each kept once and known by a number: a tensor of the cost reading is then a few bytes,
// and two operands are equal where their numbers are.

#include <cstddef>
#include <cstdint>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/ops/price.hpp>

namespace tare {

/// Number of an operand in the table that gave it out.
using operand_id = std::uint32_t;

/// A set of operands; usable in constant expressions.
class operand_table {
  public:
    /// The number of `what`, which enters the table if it is new. Expected time O(1).
    /// **Throws** tare::error beyond 2^32 - 2 different operands.
    [[nodiscard]] constexpr operand_id find_or_add(const operand& what) {
        if (2 * (operands_.size() + 1) > slots_.size()) grow();
        const std::size_t slot = slot_of(what);
        if (slots_[slot] == empty) {
            require(operands_.size() < empty, "operand_table: more than ", empty,
                    " different operands");
            slots_[slot] = static_cast<operand_id>(operands_.size());
            operands_.push_back(what);
        }
        return slots_[slot];
    }

    /// The operand of a number that find_or_add gave out. The reference ends with the next
    /// addition.
    [[nodiscard]] constexpr const operand& operator[](operand_id id) const { return operands_[id]; }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return operands_.size(); }

  private:
    static constexpr operand_id empty = static_cast<operand_id>(-1);

    /// Where `what` stands or would stand: open addressing, linear probing.
    [[nodiscard]] constexpr std::size_t slot_of(const operand& what) const {
        const std::size_t mask = slots_.size() - 1;
        std::size_t slot = static_cast<std::size_t>(hash(what)) & mask;
        while (slots_[slot] != empty && !(operands_[slots_[slot]] == what))
            slot = (slot + 1) & mask;
        return slot;
    }
    constexpr void grow() {
        slots_.assign(slots_.empty() ? 64 : 2 * slots_.size(), empty);
        for (std::size_t i = 0; i < operands_.size(); ++i)
            slots_[slot_of(operands_[i])] = static_cast<operand_id>(i);
    }
    [[nodiscard]] static constexpr std::uint64_t hash(const operand& what) {
        std::uint64_t h = static_cast<std::uint64_t>(what.bits);
        const auto mix = [&h](extent value) {
            h = (h ^ static_cast<std::uint64_t>(value)) * 0x9E3779B97F4A7C15U;
            h ^= h >> 32;
        };
        for (const extent e : what.extents.extents())
            mix(e);
        mix(what.nonzeros);
        mix(what.filled_rows);
        return h;
    }

    std::vector<operand> operands_;
    std::vector<operand_id> slots_;  ///< a power of two of them, at most half of them filled
};

}  // namespace tare
