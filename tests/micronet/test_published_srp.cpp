// SPDX-License-Identifier: MIT
// The operations that the code of selectively regularised pruning counts, as integers.
#include <vector>

#include <doctest/doctest.h>

#include <tare/micronet/published_srp.hpp>

#include "golden.hpp"

using namespace tare;
using micronet::srp_layer_widths;

namespace {

/// 2 layers of each side; a length of 2, residual width 3, 1 head, 5 target words.
constexpr extent by_hand(extent q, extent v, extent f) {
    const extent attention =
        2 * ((6 * q + q) + 4 * q + 13 * 2 + 12 + 18 + 3 + 12 + 3 + 5 + (6 * q + q) + (6 * v + v));
    const extent feed_forward = 2 * (6 * f + 8 * f + f + 6 * f + 3 + 12 + 3 + 15);
    return 2 * (attention + feed_forward) + 2 * 2 * (2 * attention + feed_forward) + 2 * (30 + 5);
}

}  // namespace

TEST_CASE("the counter equals the reference as integers") {
    const io::npz_archive golden = testing::golden("pet/flops.npz");
    const auto cases = testing::values<std::int64_t>(golden, "cases");
    const auto want = testing::values<std::int64_t>(golden, "flops");
    const auto parts = testing::values<std::int64_t>(golden, "flops.parts");
    REQUIRE(want.size() >= 2);
    for (std::size_t i = 0; i < want.size(); ++i) {
        const auto* c = cases.data() + 8 * i;
        const std::vector<srp_layer_widths> layers(static_cast<std::size_t>(c[6]),
                                                   {c[3], c[4], c[5]});
        const auto got = micronet::published_srp_count({c[0], c[1], c[2], c[7], layers, layers});
        CHECK(got ==
              micronet::published_srp_operations{parts[3 * i], parts[3 * i + 1], parts[3 * i + 2]});
        CHECK(got.all() == want[i]);
    }
}

TEST_CASE("layers of different widths are counted one by one") {
    static constexpr srp_layer_widths layers[] = {{2, 4, 6}, {2, 4, 6}};
    static_assert(micronet::published_srp_count({2, 3, 1, 5, layers, layers}).all() ==
                  by_hand(2, 4, 6));
    static constexpr srp_layer_widths narrow[] = {{1, 4, 6}, {2, 3, 5}};
    const extent all = micronet::published_srp_count({2, 3, 1, 5, narrow, narrow}).all();
    CHECK(2 * all == by_hand(1, 4, 6) + by_hand(2, 3, 5));
    CHECK_THROWS_AS(static_cast<void>(micronet::published_srp_count({0, 3, 1, 5, {}, {}})), error);
}
