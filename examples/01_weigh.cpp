// SPDX-License-Identifier: MIT
// Weigh a compressed language model: what it stores, what one token costs, its MicroNet score.
#include <iostream>

#include <tare/micronet/report.hpp>
#include <tare/micronet/weigh.hpp>

int main() {
    using namespace tare;
    // Eight layers of 256 over the WikiText-103 vocabulary, with a cache of 2000 ...
    transformer_xl_config config;
    config.cache.capacity = 2000;
    // ... quantized to 8 bits, the feed-forward weights of one layer pruned to half.
    micronet::compression how{8, {{"layers.0.fc.0.weight", 768 * 256 / 2, -1}}};

    const ledger book = micronet::weigh(config, how, micronet::wikitext103_test_bins());
    const auto sums = micronet::tally(book, micronet::official{});
    std::cout << "parameters " << sums.parameters() << "\noperations " << sums.operations()
              << "\nscore      " << sums.score(micronet::wikitext103) << "\n\n";

    // The same ledger, module by module.
    const auto report = micronet::make_report(book, micronet::official{}, micronet::wikitext103);
    for (const micronet::report_row& row : report.rows)
        if (row.label.starts_with("layers.0"))
            std::cout << row.label << ": " << row.sums.parameters() << " parameters, "
                      << row.sums.operations() << " operations\n";
}
