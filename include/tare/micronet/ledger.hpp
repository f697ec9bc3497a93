#pragma once
// SPDX-License-Identifier: MIT
// The ledger: exact, 64-bit counts of what a model executes and stores, by module, operation, role,
// kind and width. It is filled by the cost reading, in constant expressions too, and judges
// nothing: rule sets read it.
//
// A model that is fed many tokens charges the same entries again and again, so every module keeps
// its entries in the order of execution and a cursor that expects the next one: a repeated charge
// is found without a search.

#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/core/short_text.hpp>
#include <tare/core/shape.hpp>
#include <tare/ops/price.hpp>
#include <tare/quantize/storage.hpp>

namespace tare {

/// All executions of one operation at one place of the model. `inner`, `outer` and `groups` are
/// those of the latest execution.
struct ledger_entry {
    std::string_view operation;
    extent executions = 0;
    extent inner = 0;
    extent outer = 0;
    extent groups = 1;
    std::vector<charge> charges;

    /// The charge of a role and kind; nullptr if there is none.
    [[nodiscard]] constexpr const charge* find(std::string_view role, math kind) const {
        for (const charge& c : charges)
            if (c.kind == kind && c.role == role) return &c;
        return nullptr;
    }
};

/// A module, labelled with its full name ("layers.0.qkv"): its entries, in order of first execution, and its parts.
struct ledger_module {
    short_text label;
    std::size_t parent = 0;
    std::vector<std::size_t> parts;
    std::vector<ledger_entry> entries;
    std::size_t cursor = 0;
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
    }
    [[nodiscard]] constexpr extent tokens() const noexcept { return tokens_; }

    /// Enters the part `label` of the current module; leave() returns.
    constexpr void enter(std::string_view label) {
        for (const std::size_t part : modules_[current_].parts) {
            if (modules_[part].label.view() == label) {
                current_ = part;
                modules_[part].cursor = 0;
                return;
            }
        }
        const std::size_t part = modules_.size();
        modules_.push_back({short_text(label), current_, {}, {}, 0});
        modules_[current_].parts.push_back(part);
        current_ = part;
    }
    constexpr void leave() { current_ = modules_[current_].parent; }

    /// Charges one execution of an operation to the current module.
    constexpr void record(std::string_view operation, const price& cost) {
        ledger_entry& entry = entry_for(operation);
        entry.executions = checked_sum(entry.executions, times_);
        entry.inner = cost.inner();
        entry.outer = cost.outer();
        entry.groups = cost.groups();
        std::size_t expected = 0;
        for (const charge& c : cost.charges()) {
            std::size_t at = expected;
            const auto same = [&c](const charge& known) {
                return known.kind == c.kind && known.input_bits == c.input_bits &&
                       known.accumulator_bits == c.accumulator_bits && known.role == c.role;
            };
            if (at >= entry.charges.size() || !same(entry.charges[at])) {
                at = 0;
                while (at < entry.charges.size() && !same(entry.charges[at]))
                    ++at;
                if (at == entry.charges.size()) {
                    entry.charges.push_back(c);
                    entry.charges.back().count = 0;
                }
            }
            require(times_ == 0 || c.count <= std::numeric_limits<extent>::max() / times_,
                    "ledger: ", operation, " charges more than 2^63 - 1 operations");
            entry.charges[at].count = checked_sum(entry.charges[at].count, c.count * times_);
            expected = at + 1;
        }
    }

    /// Enters a stored tensor. A label may be stored once only.
    constexpr void store(const ledger_item& item) {
        for (const ledger_item& known : items_)
            require(!(known.label == item.label), "ledger: ", item.label.view(),
                    " is stored twice; tie it to the first one instead");
        items_.push_back(item);
    }

    /// Transient activations: `bits` come to life, or die.
    constexpr void allocate(extent bits) {
        live_bits_ += bits;
        if (live_bits_ > peak_bits_) peak_bits_ = live_bits_;
    }
    constexpr void release(extent bits) { live_bits_ -= bits; }
    /// Starts the peak again from what lives now.
    constexpr void forget_peak() { peak_bits_ = live_bits_; }
    [[nodiscard]] constexpr extent live_bits() const noexcept { return live_bits_; }
    [[nodiscard]] constexpr extent peak_bits() const noexcept { return peak_bits_; }

    [[nodiscard]] constexpr std::span<const ledger_module> modules() const noexcept {
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
        for (const ledger_module& m : modules_)
            if (m.label.view() == label) return m;
        fail("ledger: no module ", label, " was executed");
    }
    [[nodiscard]] constexpr bool executed(std::string_view label) const {
        for (const ledger_module& m : modules_)
            if (m.label.view() == label) return true;
        return false;
    }

  private:
    constexpr ledger_entry& entry_for(std::string_view operation) {
        ledger_module& m = modules_[current_];
        for (std::size_t at = m.cursor; at < m.entries.size(); ++at) {
            if (m.entries[at].operation == operation) {
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
    extent live_bits_ = 0;
    extent peak_bits_ = 0;
};

}  // namespace tare
