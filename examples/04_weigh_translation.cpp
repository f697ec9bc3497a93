// SPDX-License-Identifier: MIT
// Weigh a searched translation network: as its authors count it, as the MicroNet rules count it,
// and what lies between.
#include <iomanip>
#include <iostream>

#include <tare/micronet/published_hat.hpp>
#include <tare/micronet/rules_difference.hpp>
#include <tare/micronet/weigh_translation.hpp>
#include <tare/models/hat_network.hpp>

int main() {
    using namespace tare;
    // HAT's network of 137.8 ms for IWSLT'14 German to English: 6 encoder and 4 decoder layers.
    constexpr hat_super_network all{.source_vocabulary = 8848, .target_vocabulary = 6632};
    constexpr hat_network found{.encoder_width = 512,
                                .encoder_inner = {1024, 1024, 1024, 1024, 1024, 1024},
                                .encoder_heads = {4, 4, 4, 4, 4, 4},
                                .decoder_width = 512,
                                .decoder_layers = 4,
                                .decoder_inner = {1024, 2048, 2048, 1024},
                                .decoder_self_heads = {4, 4, 4, 2},
                                .decoder_cross_heads = {4, 4, 4, 4},
                                .decoder_arbitrary = {2, -1, -1, -1}};
    constexpr extent words = 23;  // of a sentence, on both sides, as its authors time it
    const ledger book = micronet::weigh(sub_network_config(all, found), {}, words, words);

    std::cout << std::fixed << std::setprecision(0);
    const micronet::published_hat theirs;
    const micronet::official strict;
    const auto published = micronet::tally(book, theirs);
    const auto counted = micronet::tally(book, strict);
    std::cout << "                   parameters  operations of a sentence\n"
              << "as published       " << std::setw(10) << published.parameters() << std::setw(26)
              << published.operations() * words << "\nMicroNet rules     " << std::setw(10)
              << counted.parameters() << std::setw(26) << counted.operations() * words << "\n\n";
    for (const micronet::rules_difference& d : micronet::difference(book, theirs, strict)) {
        const double delta = d.group == "operations" ? d.delta * words : d.delta;
        std::cout << std::setw(12) << delta << "  " << d.group << ", " << d.item << '\n';
    }
}
