// SPDX-License-Identifier: MIT
// Learning rates against the reference.
#include <doctest/doctest.h>

#include <tare/train/schedule.hpp>

#include "hanlab_model.hpp"

using namespace tare;

namespace {

/// The fixtures are float32: half a unit in the last place, and the double formula's own roundings.
constexpr double relative_tolerance = 2e-7;
/// A cosine near its zero loses digits to cancellation: both sides are off by 2^-53 of the rate
/// there, the fixture is stored with 24 bits of a number that is itself cancelled in float64.
constexpr double absolute_tolerance = 1e-12;

template <class Rate>
void compare(const char* name, const Rate& rate) {
    INFO(name);
    const std::vector<float> want =
        testing::values<float>(testing::golden("hanlab/optim.npz"), name);
    for (std::size_t s = 0; s < want.size(); ++s) {
        const double w = static_cast<double>(want[s]);
        CHECK(std::abs(rate(static_cast<extent>(s)) - w) <=
              relative_tolerance * w + absolute_tolerance);
    }
}

}  // namespace

TEST_CASE("schedules equal the reference") {
    compare("lr.cosine_warmup", train::cosine_rate{1e-3, 60, {10}});
    compare("lr.cosine_prune", train::cosine_rate{1e-4, 40, {-1}});
    compare("lr.rsqrt", train::inverse_root_rate{1e-2, {8}});
    compare("lr.constant", train::constant_rate{2e-3, {-1}});
    compare("lr.constant_warmup", train::constant_rate{2e-3, {5}});
}

TEST_CASE("a cosine of no steps is refused") {
    CHECK_THROWS_AS(static_cast<void>(train::cosine_rate{1e-3, 0, {-1}}(1)), error);
}
