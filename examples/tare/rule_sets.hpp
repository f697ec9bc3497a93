#pragma once
// SPDX-License-Identifier: MIT
// The rule sets that the tool knows by name. Each file rules_<name>.cpp registers its own: a new
// rule set is a new file.

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tare/core/error.hpp>
#include <tare/micronet/rules.hpp>

namespace tare::tool {

/// Any rule set, chosen at run time.
struct any_rules {
    std::string name;
    std::string about;  ///< one line for the help text
    std::function<double(const ledger_module&, const ledger_entry&, const charge&)> operation_bits;
    std::function<double(const ledger_item&)> storage_bits;
};

template <micronet::rule_set Rules>
[[nodiscard]] any_rules erase_type(const Rules& rules, std::string about) {
    return {std::string(rules.name), std::move(about),
            [rules](const ledger_module& m, const ledger_entry& e, const charge& c) {
                return static_cast<double>(rules.operation_bits(m, e, c));
            },
            [rules](const ledger_item& i) { return static_cast<double>(rules.storage_bits(i)); }};
}

inline std::vector<any_rules>& rule_sets() {
    static std::vector<any_rules> all;
    return all;
}

/// Put one at namespace scope of a rule set's file.
struct rules_registration {
    template <micronet::rule_set Rules>
    rules_registration(const Rules& rules, std::string about) {
        rule_sets().push_back(erase_type(rules, std::move(about)));
    }
};

/// "a, b, c": the names that find_rules knows.
[[nodiscard]] inline std::string rule_set_names() {
    std::string out;
    for (const any_rules& known : rule_sets()) {
        if (!out.empty()) out.append(", ");
        out.append(known.name);
    }
    return out;
}

/// **Throws** tare::error on a name that no file registered; it lists those there are.
[[nodiscard]] inline const any_rules& find_rules(std::string_view name) {
    for (const any_rules& known : rule_sets())
        if (known.name == name) return known;
    fail("the rule set ", name, " is unknown; there are ", rule_set_names(),
         ", and for tare count hanlab_published");
}

}  // namespace tare::tool
