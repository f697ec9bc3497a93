// SPDX-License-Identifier: MIT
#include <cstdio>

#include <tare/formats.hpp>
#include <tare/tare.hpp>
#include <tare/train.hpp>

double other_score();

int main() {
    using namespace tare;
    const auto book = micronet::weigh(transformer_xl_config{}, micronet::compression{},
                                      micronet::wikitext103_test_bins());
    const double here = micronet::tally(book, micronet::official{}).score(micronet::wikitext103);
    std::printf("%.6f %.6f\n", here, other_score());
    return here == other_score() ? 0 : 1;
}
