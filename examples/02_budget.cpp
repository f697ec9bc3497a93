// SPDX-License-Identifier: MIT
// A budget at compile time: a model that has grown too heavy does not compile.
// (Clang needs -fconstexpr-steps=20000000: weighing takes more steps than its default allows.)
#include <iostream>

#include <tare/micronet/rules.hpp>
#include <tare/micronet/weigh.hpp>

using namespace tare;

/// The published champion's sizes, quantized to 9 bits and not yet pruned.
constexpr transformer_xl_config champion() {
    transformer_xl_config config;
    config.cache = {.capacity = 3000, .theta = 0.0202, .lambda = 0.1539};
    return config;
}

constexpr micronet::totals weight(int bits) {
    return micronet::tally(micronet::weigh(champion(), micronet::compression{bits, {}},
                                           micronet::wikitext103_test_bins()),
                           micronet::official{});
}

static_assert(weight(9).score(micronet::wikitext103) < 0.062, "the model is over its budget");
static_assert(weight(9).parameters() < 2.6e6);

int main() {
    constexpr double score = weight(9).score(micronet::wikitext103);
    std::cout << "score " << score << ", known before the program ran\n";
}
