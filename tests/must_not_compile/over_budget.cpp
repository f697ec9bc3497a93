// SPDX-License-Identifier: MIT
// expect: the model is over its budget
#include <tare/micronet/rules.hpp>
#include <tare/micronet/weigh.hpp>

using namespace tare;

constexpr double score() {
    transformer_xl_config config;
    config.layers = 2;
    return micronet::tally(micronet::weigh(config, micronet::compression{9, {}},
                                           micronet::wikitext103_test_bins()),
                           micronet::official{})
        .score(micronet::wikitext103);
}
static_assert(score() < 0.02, "the model is over its budget");
