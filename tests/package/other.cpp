// SPDX-License-Identifier: MIT
#include <tare/formats.hpp>
#include <tare/tare.hpp>
#include <tare/train.hpp>

double other_score() {
    using namespace tare;
    const auto book = micronet::weigh(transformer_xl_config{}, micronet::compression{},
                                      micronet::wikitext103_test_bins());
    return micronet::tally(book, micronet::official{}).score(micronet::wikitext103);
}
