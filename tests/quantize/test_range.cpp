// SPDX-License-Identifier: MIT
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/quantize/linear.hpp>
#include <tare/quantize/range.hpp>

#include "conformance.hpp"
#include "golden.hpp"

TEST_CASE("tracked ranges, scales, values and gradients equal the reference's over four steps") {
    const auto golden = tare::testing::golden("hanlab/linear_quant.npz");
    for (const int bits : {4, 8, 9}) {
        tare::moving_average_tracker tracker;
        for (int step = 0; step < 4; ++step) {
            const std::string prefix = tare::message("bits", bits, ".ema.step", step, ".");
            CAPTURE(prefix);
            const auto get = [&](const char* name) {
                return tare::testing::values<float>(golden, prefix + name);
            };
            const auto x = get("x");
            tracker.update(x);
            const tare::extremes range = tracker.range();
            CHECK(range.low == get("min")[0]);
            CHECK(range.high == get("max")[0]);
            const float m = range.magnitude();
            const auto group = tare::symmetric_levels::from_magnitude(m, bits);
            CHECK(group.scale == get("scale")[0]);
            const tare::linear_quantizer<> q(bits);
            std::vector<float> y(x.size());
            q.fake_quantize(x, {{group}}, y);
            CHECK(tare::testing::differences(y, get("y")) == 0);
            const auto gradient = get("grad");
            for (std::size_t i = 0; i < x.size(); ++i)
                CHECK(gradient[i] == (x[i] >= -m && x[i] <= m ? 1.0F : 0.0F));
        }
    }
}

TEST_CASE("the extremes of a tensor skip NaN and infinities, for any size") {
    const tare::random_stream random(1, 2);
    for (const std::size_t n :
         std::initializer_list<std::size_t>{1, 2, 15, 16, 17, 4095, 4096, 4097, 10007}) {
        std::vector<float> x(n);
        for (std::size_t i = 0; i < n; ++i)
            x[i] = random.normal(i) + 3.0F;
        x[n / 3] = -7.5F;
        if (n > 2) {
            x[0] = std::numeric_limits<float>::infinity();
            x[n - 1] = std::numeric_limits<float>::quiet_NaN();
        }
        float low = 1e30F, high = -1e30F;
        for (const float v : x)
            if (tare::is_finite(v)) {
                low = std::min(low, v);
                high = std::max(high, v);
            }
        const tare::extremes range = tare::range_of(x);
        CHECK(range.low == low);
        CHECK(range.high == high);
        CHECK(tare::largest_magnitude(x) == std::max(-low, high));
    }
    CHECK(tare::range_of({}) == tare::extremes{});
}

TEST_CASE("mean and deviation agree with the two-pass formula in long double") {
    const tare::random_stream random(4, 2);
    for (const std::size_t n : std::initializer_list<std::size_t>{2, 3, 17, 4096, 4097, 30011})
        for (const float offset : {0.0F, 1.0F, -1000.0F}) {
            std::vector<float> x(n);
            for (std::size_t i = 0; i < n; ++i)
                x[i] = random.normal(i) + offset;
            long double mean = 0.0L, squares = 0.0L;
            for (const float v : x)
                mean += v;
            mean /= static_cast<long double>(n);
            for (const float v : x)
                squares += (v - mean) * (v - mean);
            // Of the blocked sums (see moments_of).
            const double tolerance = double(n) * 0x1p-48;
            const tare::moments m = tare::moments_of(x);
            CHECK(m.count == static_cast<tare::extent>(n));
            CHECK(std::abs(m.mean - double(mean)) <= tolerance * (1.0 + std::abs(double(offset))));
            CHECK(std::abs(m.squares - double(squares)) <= tolerance * double(squares));
            tare::set_threads(4);
            CHECK(tare::moments_of(x).squares == m.squares);
            tare::set_threads(1);
        }
    const std::vector<float> tenth(1000, 0.1F);
    CHECK(tare::moments_of(tenth).squares == 0.0);
    CHECK(tare::moments_of(tenth).mean == double(0.1F));
}

TEST_CASE("a moving average starts at the first range and forgets at its decay") {
    tare::moving_average_tracker tracker(0.5F);
    CHECK(tracker.range() == tare::extremes{});
    tracker.update(tare::extremes{-1.0F, 2.0F});
    CHECK(tracker.range() == tare::extremes{-1.0F, 2.0F});
    tracker.update(tare::extremes{-4.0F, 2.0F});
    CHECK(tracker.range() == tare::extremes{-3.0F, 2.0F});  // (0.25 * -1 + 0.5 * -4) / 0.75
    CHECK_THROWS_AS(tare::moving_average_tracker(1.0F), tare::error);
}

TEST_CASE("the histogram keeps every value while it grows, and clips tails") {
    tare::histogram_tracker tracker(64);
    const tare::random_stream random(9, 0);
    std::vector<float> x(5000);
    for (int round = 0; round < 4; ++round) {
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] = random.normal(i) * static_cast<float>(1 << round);
        tracker.update(x);
    }
    CHECK(tracker.total() == 20000);
    std::int64_t sum = 0;
    for (const std::int64_t c : tracker.counts())
        sum += c;
    CHECK(sum == 20000);
    const float all = tracker.range().high;
    CHECK(all >= tare::largest_magnitude(x));
    CHECK(all <= tare::largest_magnitude(x) + static_cast<float>(tracker.bin_width()));
    // A tenth of the values lies beyond 7.6, 0.95 deviations of the last round; the largest of its
    // 5000 lies beyond three of them.
    CHECK(tracker.range(0.9).high < 0.6F * all);
    // Few levels are worth clipping for, many are not.
    CHECK(tracker.best_range(2).high < tracker.best_range(8).high);
    CHECK(tare::histogram_tracker().range() == tare::extremes{});
    CHECK_THROWS_AS(tare::histogram_tracker(3), tare::error);
    CHECK_THROWS_AS((void)tracker.range(0.0), tare::error);
}

TEST_CASE("min and max are kept over all updates") {
    tare::minmax_tracker tracker;
    tracker.update(tare::extremes{1.0F, 2.0F});
    tracker.update(tare::extremes{-1.0F, 1.5F});
    CHECK(tracker.range() == tare::extremes{-1.0F, 2.0F});
}
