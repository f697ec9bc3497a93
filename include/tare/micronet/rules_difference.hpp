#pragma once
// SPDX-License-Identifier: MIT
// Two rule sets on one ledger: which lines they value differently, and by how much.

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include <tare/micronet/ledger.hpp>
#include <tare/micronet/rules.hpp>

namespace tare::micronet {

/// Lines of one sort that two rule sets value differently.
struct rules_difference {
    std::string group;   ///< "operations" or "parameters"
    std::string item;    ///< "linear: product (multiplications)", "tensors named *.bias"
    double delta = 0.0;  ///< second minus first; 32-bit operations per token, 32-bit parameters
};

/// What `b` counts beyond `a`, by operation, role and kind, and by the last part of the tensors'
/// names; in order of first appearance, without what is equal. The sums over the groups are the
/// differences of the two tallies.
/// **Throws** tare::error on a ledger without tokens and what the rule sets throw.
template <rule_set A, rule_set B>
[[nodiscard]] std::vector<rules_difference> difference(const ledger& book, const A& a, const B& b) {
    require(book.tokens() > 0, "difference: no token was counted");
    std::vector<rules_difference> out;
    const auto enter = [&out](std::string_view group, const std::string& item, double delta) {
        const auto known = std::find_if(out.begin(), out.end(), [&](const rules_difference& d) {
            return d.group == group && d.item == item;
        });
        if (known == out.end()) {
            out.push_back({std::string(group), item, delta});
        } else {
            known->delta += delta;
        }
    };
    const double per_token = 32.0 * static_cast<double>(book.tokens());
    for (const ledger_module& m : book.modules())
        for (const ledger_entry& e : m.entries)
            for (const charge& line : e.charges) {
                const std::string_view kind = line.kind == math::multiplication
                                                  ? " (multiplications)"
                                              : line.kind == math::addition ? " (additions)"
                                                                            : " (others)";
                const double bits = static_cast<double>(b.operation_bits(m, e, line)) -
                                    static_cast<double>(a.operation_bits(m, e, line));
                enter("operations", message(e.operation, ": ", line.role, kind), bits / per_token);
            }
    for (const ledger_item& item : book.items()) {
        const std::string_view label = item.label;
        const double bits =
            static_cast<double>(b.storage_bits(item)) - static_cast<double>(a.storage_bits(item));
        enter("parameters",
              message("tensors named *", label.substr(std::min(label.rfind('.'), label.size()))),
              bits / 32.0);
    }
    std::erase_if(out, [](const rules_difference& d) { return d.delta == 0.0; });
    return out;
}

}  // namespace tare::micronet
