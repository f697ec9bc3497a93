// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/quantize/histogram_observer.hpp>
#include <tare/quantize/integer_grid.hpp>
#include <tare/quantize/range.hpp>

#include "golden_manifest.hpp"

using tare::code_range;
using tare::extent;
using tare::extremes;
using tare::histogram_observer;
using tare::integer_grid;
using tare::testing::values;

namespace {

// Scales and ranges are float32 results of the same few operations: the arrays' own tolerance.
void check_scale(float got, float want) {
    constexpr double relative = 1e-5;
    CHECK(std::fabs(double(got) - double(want)) <= relative * std::fabs(double(want)));
}

// What the observer of a case finds: one grid, or one for each row or column.
std::vector<integer_grid> observed(const std::string& observer, const std::vector<float>& x,
                                   extent rows, code_range codes) {
    const tare::matrix_view<const float> m(x.data(), rows, extent(x.size()) / rows);
    const bool affine = observer.ends_with("affine") || observer == "histogram";
    std::vector<extremes> ranges = {tare::range_of(x)};
    if (observer.starts_with("channel0")) ranges = tare::row_extremes(m);
    if (observer.starts_with("channel_last")) ranges = tare::column_extremes(m);
    if (observer == "histogram") {
        histogram_observer histogram(true);
        histogram.update(x);
        ranges = {histogram.best_range(256)};  // the published observer's, also for four bits
    }
    std::vector<integer_grid> out;
    for (const extremes& range : ranges)
        out.push_back(affine ? tare::affine_grid(range, codes)
                             : tare::symmetric_grid(range, codes));
    return out;
}

}  // namespace

TEST_CASE("observers find the scales, zero points and codes of the reference") {
    const auto golden = tare::testing::golden("daq/scalar_quant.npz");
    const auto cases = tare::testing::golden_cases("daq", "scalar_quant.npz");
    int checked = 0;
    for (const auto& [key, about] : cases.items()) {
        const auto& info = about.at("info");
        if (!info.contains("observer")) continue;
        const std::string name = key;
        CAPTURE(name);
        const std::string data = tare::message("data_", info.at("data").get<std::string>(), ".x");
        const auto x = values<float>(golden, data);
        const extent rows = tare::testing::array(golden, data).extents[0];
        const std::string observer = info.at("observer");
        const auto grids =
            observed(observer, x, rows, tare::unsigned_codes(info.at("bits").get<int>()));
        const auto scales = values<float>(golden, name + ".scale");
        const auto zeros = values<std::int64_t>(golden, name + ".zero_point");
        const auto codes = values<std::int64_t>(golden, name + ".codes");
        const auto kept = values<float>(golden, name + ".dequant");
        REQUIRE(grids.size() == scales.size());
        for (std::size_t i = 0; i < grids.size(); ++i) {
            check_scale(grids[i].scale, scales[i]);
            CHECK(grids[i].zero == zeros[i]);
        }
        const std::size_t columns = x.size() / std::size_t(rows);
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const integer_grid& grid = grids.size() == 1                  ? grids[0]
                                       : observer.starts_with("channel0") ? grids[i / columns]
                                                                          : grids[i % columns];
            const std::int32_t code = grid.code_of(x[i]);
            // Of the same scale the value is one product.
            const float scale = scales[grids.size() == 1 ? 0 : std::size_t(&grid - grids.data())];
            if (code != codes[i] || float(code - grid.zero) * scale != kept[i]) ++wrong;
        }
        CHECK(wrong == 0);
        ++checked;
    }
    CHECK(checked >= 10);
}

TEST_CASE("one tensor's histogram is that of the reference, bin for bin") {
    const auto golden = tare::testing::golden("daq/scalar_quant.npz");
    const auto cases = tare::testing::golden_cases("daq", "scalar_quant.npz");
    for (const auto& [key, about] : cases.items()) {
        const std::string name = key;
        if (golden.find(name + ".histogram") == golden.end() || name.starts_with("search"))
            continue;
        CAPTURE(name);
        const auto& info = about.at("info");
        histogram_observer histogram(true);
        histogram.update(values<float>(
            golden, tare::message("data_", info.at("data").get<std::string>(), ".x")));
        const auto want = values<std::int64_t>(golden, name + ".histogram");
        CHECK(std::ranges::equal(histogram.counts(), want,
                                 [](float a, std::int64_t b) { return a == float(b); }));
        CHECK(histogram.range().low == values<float>(golden, name + ".min_val")[0]);
        CHECK(histogram.range().high == values<float>(golden, name + ".max_val")[0]);
        const auto [first, last] = histogram.best_bins();
        CHECK(first == info.at("start_bin").get<int>());
        CHECK(last == info.at("end_bin").get<int>());
    }
}

TEST_CASE("histograms of several tensors are put together as the reference does") {
    const auto golden = tare::testing::golden("daq/scalar_quant.npz");
    const auto batches = values<float>(golden, "moving_average.batches");
    const std::size_t size = batches.size() / 4;
    const auto ends = values<float>(golden, "histogram_batches.min_max");
    const auto histograms = values<float>(golden, "histogram_batches.histograms");
    histogram_observer histogram(true);
    for (std::size_t i = 0; i < 3; ++i) {
        CAPTURE(i);
        histogram.update(std::span(batches).subspan(i * size, size));
        check_scale(histogram.range().low, ends[2 * i]);
        check_scale(histogram.range().high, ends[2 * i + 1]);
        std::size_t wrong = 0;
        for (std::size_t bin = 0; bin < 2048; ++bin) {
            // The reference takes differences of sums of counts, of which one is rounded to
            // float32; so are a bin's old and new counts, by both.
            const double rounding = 4.0 * double((i + 1) * size) * 0x1p-24;
            const double off = double(histogram.counts()[bin]) - double(histograms[i * 2048 + bin]);
            if (std::fabs(off) > rounding) ++wrong;
        }
        CHECK(wrong == 0);
    }
    const extremes best = histogram.best_range();
    check_scale(best.low, values<float>(golden, "histogram_batches.new_min")[0]);
    check_scale(best.high, values<float>(golden, "histogram_batches.new_max")[0]);
    const integer_grid grid = tare::affine_grid(best);
    check_scale(grid.scale, values<float>(golden, "histogram_batches.scale")[0]);
    CHECK(grid.zero == values<std::int64_t>(golden, "histogram_batches.zero_point")[0]);
}

TEST_CASE("the published count of one value repeated has it in the middle") {
    // Version 1.13 counts these between 0 and 0, which its histogram takes for "1 to either side".
    histogram_observer histogram(true);
    histogram.update(std::vector<float>{0.25F, 0.5F});
    histogram.update(std::vector<float>{0.375F, 0.375F});
    CHECK(histogram.counts()[0] == 1.0F);
    CHECK(histogram.counts()[1024] == 2.0F);
    CHECK(histogram.counts()[2047] == 1.0F);
}

TEST_CASE("the search for the range ends where the reference's does") {
    const auto golden = tare::testing::golden("daq/scalar_quant.npz");
    const auto cases = tare::testing::golden_cases("daq", "scalar_quant.npz");
    for (const char* const name : {"search_narrow", "search_skewed"}) {
        CAPTURE(name);
        const auto get = [&](const char* array) {
            return values<float>(golden, tare::message(name, '.', array));
        };
        const auto ends = get("min_max");
        const histogram_observer histogram(get("histogram"), {ends[0], ends[1]});
        const auto& info = cases.at(name).at("info");
        const auto [first, last] = histogram.best_bins();
        CHECK(first == info.at("start_bin").get<int>());
        CHECK(last == info.at("end_bin").get<int>());
        const extremes best = histogram.best_range();
        check_scale(best.low, get("new_min")[0]);
        check_scale(best.high, get("new_max")[0]);
        check_scale(tare::affine_grid(best).scale, get("scale")[0]);
        // The reference sums 2048 terms in float32, with cancellation in each.
        constexpr double float_sum = 1e-3;
        const auto errors = get("errors");
        for (std::size_t i = 0; i < errors.size(); ++i) {
            const auto& bins = info.at("error_of")[i];
            CHECK(histogram.error_of(bins[0], bins[1]) ==
                  doctest::Approx(double(errors[i])).epsilon(float_sum));
        }
    }
}

TEST_CASE("moving averages of ranges follow the reference") {
    const auto golden = tare::testing::golden("daq/scalar_quant.npz");
    const auto cases = tare::testing::golden_cases("daq", "scalar_quant.npz");
    const auto batches = values<float>(golden, "moving_average.batches");
    const auto ends = values<float>(golden, "moving_average.min_max");
    const auto constant = [&](const char* name) {
        return cases.at(name).at("info").at("averaging_constant").get<float>();
    };
    tare::moving_extremes average(constant("moving_average"));
    const std::size_t size = batches.size() / 4;
    for (std::size_t i = 0; i < 4; ++i) {
        average.update(std::span(batches).subspan(i * size, size));
        check_scale(average.range().low, ends[2 * i]);
        check_scale(average.range().high, ends[2 * i + 1]);
    }
    const integer_grid grid = tare::affine_grid(average.range());
    check_scale(grid.scale, values<float>(golden, "moving_average.scale")[0]);
    CHECK(grid.zero == values<std::int64_t>(golden, "moving_average.zero_point")[0]);

    const auto low = values<float>(golden, "moving_average_channel.min_val");
    const auto high = values<float>(golden, "moving_average_channel.max_val");
    const auto scales = values<float>(golden, "moving_average_channel.scale");
    const std::size_t columns = size / low.size();
    for (std::size_t row = 0; row < low.size(); ++row) {
        tare::moving_extremes one(constant("moving_average_channel"));
        for (std::size_t i = 0; i < 4; ++i)
            one.update(std::span(batches).subspan(i * size + row * columns, columns));
        check_scale(one.range().low, low[row]);
        check_scale(one.range().high, high[row]);
        const integer_grid symmetric = tare::symmetric_grid(one.range(), {-128, 127});
        check_scale(symmetric.scale, scales[row]);
        CHECK(symmetric.zero == 0);
    }
}

TEST_CASE("a histogram loses no value and its range holds every one") {
    const tare::random_stream random(7, 0);
    histogram_observer histogram;
    std::size_t total = 0;
    float most = 0.0F;
    for (const float size : {0.01F, 1.0F, 0.1F, 30.0F}) {
        std::vector<float> x(500);
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] = size * random.normal(total + i);
        x[3] = std::numeric_limits<float>::quiet_NaN();
        x[4] = std::numeric_limits<float>::infinity();
        histogram.update(x);
        total += x.size() - 2;
        most = std::max(most, tare::range_of(x).high);
        double sum = 0.0;
        for (const float c : histogram.counts())
            sum += double(c);
        // Each update rounds a bin's spread count and its sum to float32.
        constexpr double rounding = 4 * 2 * 0x1p-24;
        CHECK(std::fabs(sum - double(total)) <= rounding * double(total));
        CHECK(histogram.range().high >= most);
    }
    // A range around a bell leaves out one value far away from it.
    std::vector<float> bell(20000);
    for (std::size_t i = 0; i < bell.size(); ++i)
        bell[i] = random.normal(i);
    bell[7] = 100.0F;
    histogram_observer one;
    one.update(bell);
    CHECK(one.range().high == 100.0F);
    CHECK(one.best_range(16).high < 20.0F);
    CHECK(one.best_range(16).low == one.range().low);

    histogram_observer constant;
    for (int i = 0; i < 2; ++i)
        constant.update(std::vector<float>(10, 2.0F));
    CHECK(constant.range() == extremes{2.0F, 2.0F});
    constant.update(std::vector<float>{0.0F, 4.0F});
    CHECK(constant.counts()[1024] == 20.0F);
    CHECK(constant.counts()[2047] == 1.0F);
    CHECK_THROWS_AS(histogram_observer(std::vector<float>(5), extremes{}), tare::error);
    CHECK_THROWS_AS(tare::moving_extremes(0.0F), tare::error);
    CHECK_THROWS_AS(static_cast<void>(tare::unsigned_codes(0)), tare::error);
}

TEST_CASE("grids hold zero exactly and clamp at their ends") {
    for (const int bits : {1, 2, 4, 8, 16})
        for (const extremes range : {extremes{-1.0F, 3.0F}, {0.5F, 2.0F}, {-2.0F, -1.0F}, {}}) {
            const code_range codes = tare::unsigned_codes(bits);
            for (const integer_grid& grid :
                 {tare::affine_grid(range, codes), tare::symmetric_grid(range, codes)}) {
                CHECK(grid.bits() == bits);
                CHECK(grid.value_of(grid.code_of(0.0F)) == 0.0F);
                CHECK(grid.code_of(1e30F) == codes.high);
                CHECK(grid.code_of(-1e30F) == codes.low);
                CHECK(grid.code_of(std::numeric_limits<float>::quiet_NaN()) == grid.zero);
                for (std::int32_t c = codes.low; c <= codes.high; c += 1 + codes.high / 99)
                    CHECK(grid.code_of(grid.value_of(c)) == c);
            }
        }
}

TEST_CASE("ranges from the least float to the largest give finite ranges and values") {
    constexpr float most = std::numeric_limits<float>::max();
    const std::vector<std::vector<float>> tensors{
        {1e-45F, -1e-45F}, {1.0F, -2.0F, 0.5F}, {most, 1.0F}, {-most, most, 0.0F}, {3.0F}};
    tare::histogram_observer histogram;
    tare::histogram_tracker tracker(64);
    tare::moving_extremes moving(0.5F);
    tare::minmax_tracker both;
    float count = 0.0F;
    for (const std::vector<float>& x : tensors) {
        for (const float v : x)
            count += tare::is_finite(v) ? 1.0F : 0.0F;
        histogram.update(x);
        tracker.update(x);
        moving.update(x);
        both.update(x);
        float counted = 0.0F;
        for (const float c : histogram.counts())
            counted += c;
        CHECK(counted == count);
        for (const tare::extremes range : {histogram.best_range(), histogram.range(),
                                           tracker.range(), moving.range(), both.range()}) {
            CAPTURE(range.low);
            CAPTURE(range.high);
            CHECK(tare::is_finite(range.low));
            CHECK(tare::is_finite(range.high));
            for (const tare::integer_grid& grid :
                 {tare::affine_grid(range), tare::symmetric_grid(range),
                  tare::affine_grid(range, tare::unsigned_codes(1))})
                for (const float v : {0.0F, 1.0F, most, -most, std::numeric_limits<float>::min()})
                    CHECK(tare::is_finite(grid.round_trip(v)));
        }
    }
}
