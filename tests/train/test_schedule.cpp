// SPDX-License-Identifier: MIT
// Learning rates against the reference.
#include <cstdio>

#include <doctest/doctest.h>

#include <tare/train/peak_schedule.hpp>
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

namespace {

template <class Rate>
void compare_doubles(const nlohmann::json& want, const std::vector<std::int64_t>& updates,
                     const Rate& rate) {
    REQUIRE(want.size() == updates.size());
    for (std::size_t i = 0; i < updates.size(); ++i) {
        // The reference computes in double too: a few roundings, and cosines near their zero.
        const double w = want[i].get<double>();
        CHECK(std::abs(rate(static_cast<extent>(updates[i])) - w) <= 1e-13 * w + 1e-16);
    }
}

}  // namespace

TEST_CASE("rates that rise to a peak equal the reference of translation models") {
    const std::vector<std::int64_t> updates =
        testing::values<std::int64_t>(testing::golden("daq/misc.npz"), "lr.updates");
    const nlohmann::json lr = testing::golden_cases("daq", "misc.npz").at("lr").at("info");
    const double low = lr["cosine"]["min"];
    const double high = lr["cosine"]["max"];
    const train::linear_rise rise{lr["warmup"], low};
    const extent last = lr["max_update"];
    compare_doubles(lr["cosine"]["values"], updates,
                    train::peaked_cosine::until(last, high, low, rise));
    compare_doubles(lr["cosine_max_update_0"]["values"], updates,
                    train::peaked_cosine{high, low, rise, -rise.steps});
    compare_doubles(lr["inverse_sqrt"]["values"], updates,
                    train::peaked_inverse_root{lr["inverse_sqrt"]["lr"], rise});

    const io::npz_archive pet = testing::golden("pet/schedule.npz");
    const std::vector<std::int64_t> done = testing::values<std::int64_t>(pet, "updates");
    for (const auto& [name, entry] : pet) {
        double peak = 0.0;
        long steps = 0;
        if (std::sscanf(name.c_str(), "lr_%lf_warmup_%ld_micro", &peak, &steps) != 2) continue;
        const std::vector<float> want = entry.as<float>();
        for (std::size_t i = 0; i < want.size(); ++i) {
            const double w = static_cast<double>(want[i]) * 1e-6;
            const double got = train::peaked_inverse_root{peak, {steps}}(done[i]);
            CHECK(std::abs(got - w) <= relative_tolerance * w);
        }
    }
}

TEST_CASE("a cosine that shrinks starts lower with each restart") {
    const train::peaked_cosine rate{1.0, 0.1, {2, 0.5}, 4, 0.5};
    CHECK(rate(1) == 0.75);
    CHECK(rate(2) == 1.0);
    CHECK(rate(4) == doctest::Approx(0.55));
    CHECK(rate(6) == doctest::Approx(0.5));
    CHECK(rate(8) == doctest::Approx(0.275));
    CHECK_THROWS_AS((void)train::peaked_cosine::until(10, 1.0, 0.0, {10}), error);
    CHECK_THROWS_AS((void)(train::peaked_cosine{1.0, 0.0, {}, 0}(3)), error);
    CHECK_THROWS_AS((void)(train::peaked_inverse_root{1.0, {0}}(3)), error);
    CHECK_THROWS_AS((void)(train::peaked_inverse_root{1.0, {5}}(-1)), error);
}
