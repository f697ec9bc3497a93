// SPDX-License-Identifier: MIT
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/quantize/smaq_fpga.hpp>

#include "conformance.hpp"
#include "golden.hpp"

using tare::testing::differences;

TEST_CASE("the plain kernel equals the reference's, compiled for a processor") {
    const auto golden = tare::testing::golden("smaq/hw.npz");
    const auto x = tare::testing::values<float>(golden, "plain/x");
    const auto expected = tare::testing::values<float>(golden, "plain/mean_std");
    const tare::fpga_statistics s = tare::fpga_fit(x);
    CHECK(s.mean == expected[0]);
    CHECK(s.deviation == expected[1]);
    std::vector<std::int32_t> codes(x.size());
    std::vector<float> y(x.size());
    tare::fpga_encode(x, s, codes);
    CHECK(differences(codes, tare::testing::values<std::int64_t>(golden, "plain/code")) == 0);
    tare::fpga_decode(codes, s, y);
    CHECK(differences(y, tare::testing::values<float>(golden, "plain/out")) == 0);
}

TEST_CASE("the batch-norm kernel equals the reference's, sampled and whole") {
    const auto golden = tare::testing::golden("smaq/hw.npz");
    const auto x = tare::testing::values<float>(golden, "bn/x");
    for (const std::string name : {"bn", "bn_identity", "bn_sampled"}) {
        CAPTURE(name);
        const auto get = [&](const char* part) {
            return tare::testing::values<float>(golden, name + "/" + part);
        };
        const auto statistics = get("mean_rstd");
        const tare::fpga_fold fold{get("shift_scalar")[0], get("shift_scalar")[1]};
        const tare::fpga_statistics own = tare::fpga_fit(x, name == "bn_sampled" ? 16 : 0);
        CHECK(own.mean == statistics[0]);
        CHECK(1.0F / own.deviation == statistics[1]);
        std::vector<std::int32_t> codes(x.size());
        std::vector<float> y(x.size());
        tare::fpga_encode(x, statistics[0], statistics[1], fold, codes);
        CHECK(differences(codes, tare::testing::values<std::int64_t>(golden, name + "/code")) == 0);
        tare::fpga_decode(codes, {statistics[0], 1.0F / statistics[1]}, fold, y);
        CHECK(differences(y, get("out")) == 0);
    }
}

TEST_CASE("what has no integer gets code 0, and no tensor is refused but the empty one") {
    const std::vector<float> x{std::numeric_limits<float>::quiet_NaN(),
                               std::numeric_limits<float>::infinity(), 1e30F};
    std::vector<std::int32_t> codes(3);
    tare::fpga_encode(x, {0.0F, 1.0F}, codes);
    CHECK(codes == std::vector<std::int32_t>{0, 0, 0});
    CHECK_THROWS_AS((void)tare::fpga_fit({}), tare::error);
}
