#pragma once
// SPDX-License-Identifier: MIT
// The ledger: exact, 64-bit counts of what a model executes and stores, by module, operation, role,
// kind and width. It is filled by the cost reading, in constant expressions too, and judges
// nothing: rule sets read it.
//
// A model that is fed many tokens charges the same entries again and again, so every module keeps
// its entries in the order of execution and a cursor that expects the next one: a repeated charge
// is found without a search.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/shape.hpp>
#include <tare/core/short_text.hpp>
#include <tare/micronet/operand_table.hpp>
#include <tare/micronet/transient_activations.hpp>
#include <tare/ops/price.hpp>
#include <tare/quantize/storage.hpp>

namespace tare {

/// All executions of one operation at one place of the model. `inner`, `outer` and `groups` are
/// those of the latest execution.
struct ledger_entry {
    /// What the latest execution depended on, byte by byte, and how often it came again since.
    struct repetition {
        static constexpr std::size_t most_bytes = 48;
        static constexpr std::size_t most_inputs = 3;
        std::array<unsigned char, most_bytes> op{};
        std::array<operand_id, most_inputs> inputs{};
        std::size_t count = 0;  ///< inputs; 0: nothing to compare with
        extent pending = 0;     ///< repetitions not yet charged
        operand_id result = 0;
        std::vector<charge> each;  ///< charges of one execution
    };

    std::string_view operation;
    extent executions = 0;
    extent inner = 0;
    extent outer = 0;
    extent groups = 1;
    std::vector<charge> charges;
    repetition latest{};

    /// The charge of a role and kind; nullptr if there is none.
    [[nodiscard]] constexpr const charge* find(std::string_view role, math kind) const {
        for (const charge& c : charges)
            if (c.kind == kind && c.role == role) return &c;
        return nullptr;
    }
};

/// A module, labelled with its full name ("layers.0.qkv"): its entries, in order of first
/// execution, and its parts.
struct ledger_module {
    short_text label;
    std::size_t parent = 0;
    std::vector<std::size_t> parts;
    std::vector<ledger_entry> entries;
    std::size_t cursor = 0;       ///< entry expected next
    std::size_t part_cursor = 0;  ///< part expected next
};

/// One stored tensor. `tied_to` names the item whose bits it shares (its own are then zero).
struct ledger_item {
    short_text label;
    operand what;
    storage_cost cost;
    short_text tied_to;
};

/// Sums two counts; throws instead of wrapping.
[[nodiscard]] constexpr extent checked_sum(extent a, extent b) {
    require(a <= std::numeric_limits<extent>::max() - b,
            "ledger: a count exceeds 2^63 - 1; count fewer tokens at a time");
    return a + b;
}

/// Equality of constant texts: the same address settles it without reading them.
[[nodiscard]] constexpr bool same_text(std::string_view a, std::string_view b) {
    if (!std::is_constant_evaluated() && a.data() == b.data()) return a.size() == b.size();
    return a == b;
}

class ledger {
  public:
    constexpr ledger() { modules_.push_back({}); }

    /// Every charge until the next call counts `times` times: one representative token may stand
    /// for many.
    constexpr void repeat(extent times) {
        require(times >= 0, "ledger: repeat(", times, ") is negative");
        times_ = times;
    }

    /// Ends one token (or as many as repeat() says): the unit that counts are averaged over.
    constexpr void end_token() {
        tokens_ = checked_sum(tokens_, times_);
        modules_[0].cursor = 0;
        modules_[0].part_cursor = 0;
    }
    [[nodiscard]] constexpr extent tokens() const noexcept { return tokens_; }

    /// Enters the part `label` of the current module; leave() returns.
    constexpr void enter(std::string_view label) {
        ledger_module& here = modules_[current_];
        const std::size_t count = here.parts.size();
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t at = (here.part_cursor + i) % count;
            ledger_module& part = modules_[here.parts[at]];
            if (part.label.view() == label) {
                here.part_cursor = at + 1;
                current_ = here.parts[at];
                part.cursor = 0;
                part.part_cursor = 0;
                return;
            }
        }
        const std::size_t part = modules_.size();
        here.parts.push_back(part);
        here.part_cursor = here.parts.size();
        modules_.push_back({short_text(label), current_, {}, {}, 0, 0});
        current_ = part;
    }
    constexpr void leave() { current_ = modules_[current_].parent; }

    /// Charges one execution of an operation to the current module.
    constexpr void record(std::string_view operation, const price& cost) {
        charge_to(entry_for(operation), cost);
    }

    /// The same for an operation whose price depends on its own bytes and its inputs alone: a
    /// repetition of what the same place of the model executed last is noticed, counted and charged
    /// later (settle), which is what makes counting a long stream, one token at a time, cheap.
    /// `make(operand&)` computes price and result. Returns the result.
    template <class Op, std::size_t Count, class Make>
    operand_id record_repeating(const Op& op, const std::array<operand_id, Count>& inputs,
                                Make&& make) {
        using repetition = ledger_entry::repetition;
        static_assert(sizeof(Op) <= repetition::most_bytes && Count <= repetition::most_inputs);
        ledger_entry& entry = entry_for(Op::name);
        repetition& last = entry.latest;
        bool same_as_last = last.count == Count;
        for (std::size_t i = 0; i < Count; ++i)
            same_as_last = same_as_last && last.inputs[i] == inputs[i];
        if constexpr (!std::is_empty_v<Op>)
            same_as_last = same_as_last && std::memcmp(last.op.data(), &op, sizeof(Op)) == 0;
        if (same_as_last) {
            last.pending = checked_sum(last.pending, times_);
            unsettled_ = true;
            return last.result;
        }
        settle(entry);
        operand result;
        const price cost = make(result);
        charge_to(entry, cost);
        if constexpr (!std::is_empty_v<Op>) std::memcpy(last.op.data(), &op, sizeof(Op));
        std::copy(inputs.begin(), inputs.end(), last.inputs.begin());
        last.count = Count;
        last.result = operands_.find_or_add(result);
        last.each.assign(cost.charges().begin(), cost.charges().end());
        return last.result;
    }

    /// The number of an operand, and the operand of a number.
    [[nodiscard]] constexpr operand_id id_of(const operand& what) {
        return operands_.find_or_add(what);
    }
    [[nodiscard]] constexpr const operand& operand_of(operand_id id) const { return operands_[id]; }

    /// Charges all repetitions that were only counted so far. Reading an unsettled ledger throws.
    constexpr void settle() {
        if (!unsettled_) return;
        for (ledger_module& m : modules_)
            for (ledger_entry& entry : m.entries)
                settle(entry);
        unsettled_ = false;
    }

    /// Enters a stored tensor. A label may be stored once only.
    constexpr void store(const ledger_item& item) {
        for (const ledger_item& known : items_)
            require(!(known.label == item.label), "ledger: ", item.label.view(),
                    " is stored twice; tie it to the first one instead");
        items_.push_back(item);
    }

    /// A transient activation comes to life, with one owner. Returns its ticket.
    [[nodiscard]] constexpr std::uint32_t allocate(operand_id what) {
        const operand& size = operands_[what];
        return activations_.allocate(size.extents.size() * size.bits);
    }
    /// What lives of them, and its peak.
    [[nodiscard]] constexpr transient_activations& activations() noexcept { return activations_; }
    [[nodiscard]] constexpr const transient_activations& activations() const noexcept {
        return activations_;
    }

    [[nodiscard]] constexpr std::span<const ledger_module> modules() const {
        require(!unsettled_, "ledger: repetitions are not charged yet; call settle() first");
        return modules_;
    }
    [[nodiscard]] constexpr std::span<const ledger_item> items() const noexcept { return items_; }
    [[nodiscard]] constexpr const ledger_item* find_item(std::string_view label) const {
        for (const ledger_item& item : items_)
            if (item.label.view() == label) return &item;
        return nullptr;
    }
    /// The module with that full label; throws if the model never executed it.
    [[nodiscard]] constexpr const ledger_module& module(std::string_view label) const {
        for (const ledger_module& m : modules())
            if (m.label.view() == label) return m;
        fail("ledger: no module ", label, " was executed");
    }
    [[nodiscard]] constexpr bool executed(std::string_view label) const {
        for (const ledger_module& m : modules_)
            if (m.label.view() == label) return true;
        return false;
    }

  private:
    constexpr void charge_to(ledger_entry& entry, const price& cost) {
        entry.executions = checked_sum(entry.executions, times_);
        entry.inner = cost.inner();
        entry.outer = cost.outer();
        entry.groups = cost.groups();
        std::size_t expected = 0;
        for (const charge& c : cost.charges()) {
            const bool known = expected < entry.charges.size() && same(entry.charges[expected], c);
            charge& to = known ? entry.charges[expected] : find_or_add(entry, c);
            expected = static_cast<std::size_t>(&to - entry.charges.data()) + 1;
            extent sum = 0;
            require(!__builtin_mul_overflow(c.count, times_, &sum) &&
                        !__builtin_add_overflow(to.count, sum, &to.count),
                    "ledger: ", entry.operation,
                    ": a count exceeds 2^63 - 1; count fewer tokens at a time");
        }
    }

    constexpr void settle(ledger_entry& entry) {
        ledger_entry::repetition& last = entry.latest;
        if (last.pending == 0) return;
        const extent now = std::exchange(times_, std::exchange(last.pending, 0));
        price again;
        again.contraction(entry.inner, entry.outer, entry.groups);
        for (const charge& c : last.each)
            again.add(c);
        charge_to(entry, again);
        times_ = now;
    }

    /// Two charges that differ in their count only.
    static constexpr bool same(const charge& a, const charge& b) {
        return a.kind == b.kind && a.input_bits == b.input_bits &&
               a.accumulator_bits == b.accumulator_bits && same_text(a.role, b.role);
    }
    static constexpr charge& find_or_add(ledger_entry& entry, const charge& c) {
        for (charge& known : entry.charges)
            if (same(known, c)) return known;
        entry.charges.push_back(c);
        entry.charges.back().count = 0;
        return entry.charges.back();
    }
    constexpr ledger_entry& entry_for(std::string_view operation) {
        ledger_module& m = modules_[current_];
        for (std::size_t at = m.cursor; at < m.entries.size(); ++at) {
            if (same_text(m.entries[at].operation, operation)) {
                m.cursor = at + 1;
                return m.entries[at];
            }
        }
        m.entries.push_back({operation, 0, 0, 0, 1, {}});
        m.cursor = m.entries.size();
        return m.entries.back();
    }

    std::vector<ledger_module> modules_;
    std::vector<ledger_item> items_;
    std::size_t current_ = 0;
    extent times_ = 1;
    extent tokens_ = 0;
    bool unsettled_ = false;
    operand_table operands_;
    transient_activations activations_;
};

}  // namespace tare
