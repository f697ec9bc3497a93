#pragma once
// SPDX-License-Identifier: MIT
// A ledger as people read it: one row for each module, in the order of the model, with what it
// stores, what it executes per token, and its share of the score; and the assumptions under which
// the numbers hold, each with its effect.

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <tare/micronet/ledger.hpp>
#include <tare/micronet/rules.hpp>
#include <tare/nn/parameter_names.hpp>

namespace tare::micronet {

/// One module (or, with an empty label, the whole model) under a rule set.
struct report_row {
    std::string label;
    int depth = 0;
    extent parameters = 0;  ///< elements stored under this name
    extent nonzeros = 0;
    int bits = 0;   ///< width of the stored values; 0 where nothing is stored
    totals sums{};  ///< storage of these tensors, operations of this module alone
};

/// A choice that the rules leave open, and what the other choice would do to the score.
struct assumption {
    std::string_view id;
    std::string_view choice;
    double operations = 0.0;  ///< per token, that the choice leaves out (or takes in)
    double score_effect = 0.0;
};

struct report {
    std::string rules;
    baseline task;
    std::vector<report_row> rows;  ///< modules in order of the model
    totals sums{};
    extent peak_activation_bits = 0;
    std::vector<assumption> assumptions;

    [[nodiscard]] double score() const { return sums.score(task); }
};

namespace detail {

/// The module a stored tensor is shown under: the executed one with the longest label that the
/// tensor's name extends ("a.b.weight" belongs to "a.b", else to "a", else to the model).
inline std::size_t owner(const ledger& book, std::string_view tensor) {
    for (std::size_t dot = tensor.rfind('.'); dot != std::string_view::npos;
         dot = tensor.rfind('.')) {
        tensor = tensor.substr(0, dot);
        for (std::size_t m = 1; m < book.modules().size(); ++m)
            if (book.modules()[m].label.view() == tensor) return m;
    }
    return 0;
}

/// Parts of the model in the order in which their kinds ("embed", "layers", "loss") first ran.
inline std::vector<std::size_t> grouped_parts(const ledger& book) {
    const auto kind = [&book](std::size_t m) {
        const std::string_view label = book.modules()[m].label;
        return label.substr(0, label.find('.'));
    };
    std::vector<std::size_t> out;
    const std::vector<std::size_t>& parts = book.modules()[0].parts;
    for (const std::size_t first : parts) {
        if (std::any_of(out.begin(), out.end(), [&](std::size_t m) { return m == first; }))
            continue;
        for (const std::size_t other : parts)
            if (kind(other) == kind(first)) out.push_back(other);
    }
    return out;
}

}  // namespace detail

/// The report of a ledger under a rule set.
template <rule_set Rules>
[[nodiscard]] report make_report(const ledger& book, const Rules& rules, const baseline& task) {
    report out;
    out.rules = std::string(rules.name);
    out.task = task;
    out.sums = tally(book, rules);
    out.peak_activation_bits = book.activations().peak_bits();
    std::vector<std::size_t> owners;
    for (const ledger_item& item : book.items())
        owners.push_back(detail::owner(book, item.label));
    const auto visit = [&](auto& self, std::size_t index, int depth) -> void {
        const ledger_module& m = book.modules()[index];
        report_row row;
        row.label = index == 0 ? "(model)" : std::string(m.label.view());
        row.depth = depth;
        row.sums.tokens = book.tokens();
        for (const ledger_entry& e : m.entries)
            for (const charge& line : e.charges) {
                const double bits = static_cast<double>(rules.operation_bits(m, e, line));
                if (line.kind == math::multiplication) row.sums.multiplication_bits += bits;
                if (line.kind == math::addition) row.sums.addition_bits += bits;
                if (line.kind == math::other) row.sums.other_bits += bits;
            }
        for (std::size_t i = 0; i < owners.size(); ++i) {
            if (owners[i] != index) continue;
            const ledger_item& item = book.items()[i];
            row.sums.storage_bits += static_cast<double>(rules.storage_bits(item));
            if (is_range(item.label)) continue;
            row.parameters += item.what.extents.size();
            row.nonzeros += item.what.nonzeros;
            row.bits = std::max(row.bits, item.what.bits);
        }
        if (row.sums.operations() != 0.0 || row.sums.storage_bits != 0.0) out.rows.push_back(row);
        if (index == 0) {
            for (const std::size_t part : detail::grouped_parts(book))
                self(self, part, 0);
        } else {
            for (const std::size_t part : m.parts)
                self(self, part, depth + 1);
        }
    };
    visit(visit, 0, 0);

    // What the official rules leave open.
    const official strict{};
    const auto effect = [&](const official& other) {
        return tally(book, other).operations() - tally(book, strict).operations();
    };
    const auto enter = [&](std::string_view id, std::string_view choice, double operations) {
        out.assumptions.push_back({id, choice, operations, operations / task.operations});
    };
    enter("softmax_max_subtraction", "not counted",
          effect({.count_softmax_maximum = true, .count_conversions = false}));
    enter("conversions", "free",
          effect({.count_softmax_maximum = false, .count_conversions = true}));
    return out;
}

/// 1234567 as "1,234,567"; fractions rounded.
[[nodiscard]] inline std::string grouped(double value) {
    char digits[64];
    std::snprintf(digits, sizeof digits, "%.0f", value);
    std::string out(digits);
    for (std::ptrdiff_t i = static_cast<std::ptrdiff_t>(out.size()) - 3;
         i > (out[0] == '-' ? 1 : 0); i -= 3)
        out.insert(static_cast<std::size_t>(i), 1, ',');
    return out;
}

/// The report as an aligned table with totals, score and assumptions.
[[nodiscard]] inline std::string to_table(const report& r) {
    std::string out;
    const auto line =
        [&out](const std::string& label, const std::string& parameters, const std::string& bits,
               const std::string& nonzeros, const std::string& storage, const std::string& mul,
               const std::string& add, const std::string& other, const std::string& share) {
            char text[256];
            std::snprintf(text, sizeof text, "%-28s %11s %4s %11s %11s %11s %11s %9s %7s\n",
                          label.c_str(), parameters.c_str(), bits.c_str(), nonzeros.c_str(),
                          storage.c_str(), mul.c_str(), add.c_str(), other.c_str(), share.c_str());
            out += text;
        };
    const auto percent = [&](const totals& t) {
        char text[32];
        std::snprintf(text, sizeof text, "%.2f%%", 100.0 * t.score(r.task) / r.score());
        return std::string(text);
    };
    const std::string rule(111, '-');
    line("module", "params", "bits", "nonzeros", "storage", "mul", "add", "other", "score");
    out += rule + "\n";
    extent parameters = 0;
    extent nonzeros = 0;
    for (const report_row& row : r.rows) {
        const bool holds = row.bits > 0;
        line(std::string(static_cast<std::size_t>(2 * row.depth), ' ').append(row.label),
             holds ? grouped(static_cast<double>(row.parameters)) : "-",
             holds ? std::to_string(row.bits) : "-",
             holds ? grouped(static_cast<double>(row.nonzeros)) : "-",
             grouped(row.sums.parameters()), grouped(row.sums.multiplications()),
             grouped(row.sums.additions()), grouped(row.sums.others()), percent(row.sums));
        parameters += row.parameters;
        nonzeros += row.nonzeros;
    }
    out += rule + "\n";
    line("total", grouped(static_cast<double>(parameters)), "",
         grouped(static_cast<double>(nonzeros)), grouped(r.sums.parameters()),
         grouped(r.sums.multiplications()), grouped(r.sums.additions()), grouped(r.sums.others()),
         "100%");
    out += message("\nrules ", r.rules, ", task ", r.task.task, "; storage in 32-bit parameters, ",
                   "mul, add and other in 32-bit operations per token\n");
    char text[256];
    std::snprintf(
        text, sizeof text, "parameters %.3f / %.0f + operations %.3f / %.0f = score %.6f\n",
        r.sums.parameters(), r.task.parameters, r.sums.operations(), r.task.operations, r.score());
    out += text;
    out += message("peak transient activations ",
                   grouped(static_cast<double>(r.peak_activation_bits) / 8.0), " bytes\n");
    for (const assumption& a : r.assumptions) {
        std::snprintf(
            text, sizeof text, "assumption %s: %s (counting them: %+.0f operations, score %+.6f)\n",
            std::string(a.id).c_str(), std::string(a.choice).c_str(), a.operations, a.score_effect);
        out += text;
    }
    return out;
}

}  // namespace tare::micronet
