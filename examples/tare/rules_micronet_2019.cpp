// SPDX-License-Identifier: MIT
// The rules of the NeurIPS 2019 MicroNet Challenge, and what they leave open.
#include "rule_sets.hpp"

namespace {

using namespace tare;

/// The strict rules with the maximum of every softmax counted: finding and subtracting it.
struct with_softmax_maximum {
    static constexpr std::string_view name = "micronet_2019_softmax_maximum";
    micronet::official rules{.count_softmax_maximum = true, .count_conversions = false};

    [[nodiscard]] extent operation_bits(const ledger_module& m, const ledger_entry& e,
                                        const charge& c) const {
        return rules.operation_bits(m, e, c);
    }
    [[nodiscard]] extent storage_bits(const ledger_item& item) const {
        return rules.storage_bits(item);
    }
};

const tool::rules_registration strict{micronet::official{}, "the rules as they are written"};
const tool::rules_registration half{micronet::official_16_bit{},
                                    "the same for entries that quantize nothing below 16 bits"};
const tool::rules_registration maximum{with_softmax_maximum{},
                                       "the rules, counting the maximum in every softmax"};

}  // namespace
