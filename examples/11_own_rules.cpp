// SPDX-License-Identifier: MIT
// A rule set of your own: what one line of the ledger is worth. Here: multiply-accumulates only,
// and storage in bytes of values alone, as many papers count.
#include <iostream>

#include <tare/micronet/report.hpp>
#include <tare/micronet/weigh.hpp>

namespace mine {

struct macs_only {
    static constexpr std::string_view name = "macs_only";

    constexpr double operation_bits(const tare::ledger_module&, const tare::ledger_entry& entry,
                                    const tare::charge& line) const {
        const bool product = entry.inner > 0 && line.kind == tare::math::multiplication;
        return product ? 32.0 * static_cast<double>(line.count) : 0.0;
    }
    constexpr double storage_bits(const tare::ledger_item& item) const {
        return static_cast<double>(item.cost.value_bits);
    }
};
static_assert(tare::micronet::rule_set<macs_only>);

}  // namespace mine

int main() {
    using namespace tare;
    const ledger book = micronet::weigh(transformer_xl_config{}, micronet::compression{},
                                        micronet::wikitext103_test_bins());
    const auto sums = micronet::tally(book, mine::macs_only{});
    std::cout << "multiply-accumulates per token " << sums.operations() << '\n';
    std::cout << "megabytes                      " << sums.storage_bits / 8e6 << '\n';
}
