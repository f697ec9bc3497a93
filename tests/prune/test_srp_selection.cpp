// SPDX-License-Identifier: MIT
// Selectively regularised pruning without its model: how many units go, which, and how they fade.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/prune/srp_selection.hpp>
#include <tare/prune/srp_shrinking.hpp>

#include "golden_manifest.hpp"

using namespace tare;

namespace {

/// Half a unit in the last place of a share below 1 that was stored as float32, and the float32
/// rounding of the rates, which moves the share by less.
constexpr double keep_tolerance = 1.2e-7;

/// The names of an archive that begin with `head`, without it.
std::vector<std::string> names_after(const io::npz_archive& archive, const std::string& head) {
    std::vector<std::string> out;
    for (const auto& entry : archive)
        if (entry.first.starts_with(head)) out.push_back(entry.first.substr(head.size()));
    return out;
}

prune::srp_counts counts_of(const std::vector<std::int64_t>& v) {
    REQUIRE(v.size() == 5);
    return {v[0], v[1], v[2], v[3], v[4]};
}

/// The gradients that the selections of the fixtures start from, and the sizes of that network.
struct scored_network {
    std::vector<std::string> labels;
    std::vector<std::vector<float>> gradients;
    prune::srp_sizes sizes;

    scored_network() {
        const io::npz_archive scores = testing::golden("pet/srp.npz");
        const auto about = testing::golden_manifest("pet").at("config");
        const std::string head = "w1.ones.gc.";
        labels = names_after(scores, head);
        extent encoder = 0;
        extent decoder = 0;
        extent inner = 0;
        for (const std::string& label : labels) {
            gradients.push_back(testing::values<float>(scores, head + label));
            if (!label.ends_with(".fc_c")) continue;
            inner += static_cast<extent>(gradients.back().size());
            (label.starts_with("encoder") ? encoder : decoder) += 1;
        }
        sizes = {about.at("d"), about.at("heads"), encoder,       decoder,
                 inner,         about.at("vs"),    about.at("vt")};
    }

    [[nodiscard]] std::vector<prune::mask> select(const prune::srp_counts& counts) const {
        std::vector<prune::connectivity_gradient> vectors;
        for (std::size_t i = 0; i < labels.size(); ++i)
            vectors.push_back({labels[i], gradients[i]});
        return prune::select_units(vectors, counts, prune::published_srp_slices);
    }
};

}  // namespace

TEST_CASE("the published counts at the published size are met for every rate") {
    const io::npz_archive golden = testing::golden("pet/selection.npz");
    const auto rates = testing::values<float>(golden, "iwslt.rates");
    const auto want = testing::values<float>(golden, "iwslt.keep_and_counts");
    const prune::srp_sizes sizes{512, 4, 6, 6, 12288, 8848, 6632};
    const prune::srp_parameters n = prune::published_srp_parameters(sizes);
    REQUIRE(want.size() == 6 * rates.size());
    for (std::size_t i = 0; i < rates.size(); ++i) {
        INFO("rate ", rates[i]);
        const double keep = prune::kept_fraction(n, static_cast<double>(rates[i]));
        CHECK(std::abs(keep - static_cast<double>(want[6 * i])) <= keep_tolerance);
        const prune::srp_counts got = prune::counts_for(sizes, keep);
        std::vector<std::int64_t> numbers;
        for (std::size_t j = 1; j < 6; ++j)
            numbers.push_back(static_cast<std::int64_t>(want[6 * i + j]));
        CHECK(got == counts_of(numbers));
    }
}

TEST_CASE("all parameters are counted, the published code leaves biases out") {
    const prune::srp_sizes sizes{512, 4, 6, 6, 12288, 8848, 6632};
    const prune::srp_parameters whole = prune::srp_parameters_of(sizes);
    const prune::srp_parameters published = prune::published_srp_parameters(sizes);
    CHECK(whole.all() == 39'469'056);
    CHECK(published.all() == 39'442'944);
    CHECK(whole.square == published.square);
    // The defining equation, and the ends of its range.
    for (const double rate : {0.05, 0.2, 0.5, 0.999}) {
        const double k = prune::kept_fraction(whole, rate);
        const double left =
            static_cast<double>(whole.square) * k * k + static_cast<double>(whole.linear) * k;
        CHECK(std::abs(left / static_cast<double>(whole.all()) - rate) <= 1e-14);
    }
    CHECK(prune::kept_fraction(whole, 1.0) == doctest::Approx(1.0).epsilon(1e-14));
    CHECK(prune::counts_for(sizes, 1.0) == prune::srp_counts{});
}

TEST_CASE("counts of several iterations leave the wanted share together") {
    const prune::srp_sizes sizes{512, 4, 6, 6, 12288, 8848, 6632};
    const prune::srp_counts thirds = prune::counts_for(sizes, 0.125, 3);  // a half in each
    CHECK(thirds == prune::srp_counts{256, 256, 6144, 64, 64});
    CHECK(thirds.columns_only() == prune::srp_counts{256, 256, 0, 0, 0});
    CHECK(thirds.insides_only() == prune::srp_counts{0, 0, 6144, 64, 64});
}

TEST_CASE("shares, counts and masks equal the reference in every stage") {
    const io::npz_archive golden = testing::golden("pet/selection.npz");
    const scored_network network;
    const auto rates = testing::values<float>(golden, "rates");
    const prune::srp_parameters n = prune::published_srp_parameters(network.sizes);
    std::size_t masks_seen = 0;
    for (std::size_t r = 0; r < rates.size(); ++r) {
        const std::string head = message('r', r, '.');
        if (names_after(golden, head + "keep").empty()) continue;
        const auto keep = testing::values<float>(golden, head + "keep");
        const double got_keep = prune::kept_fraction(n, static_cast<double>(rates[r]));
        CHECK(std::abs(got_keep - static_cast<double>(keep[0])) <= keep_tolerance);
        const prune::srp_counts all = prune::counts_for(network.sizes, got_keep);
        const prune::srp_counts stages[] = {all, all.columns_only(), all.insides_only()};
        for (std::size_t stage = 0; stage < 3; ++stage) {
            const std::string where = message(head, "stage", stage, '.');
            INFO(where);
            if (names_after(golden, where + "counts").empty()) continue;
            CHECK(stages[stage] ==
                  counts_of(testing::values<std::int64_t>(golden, where + "counts")));
            const std::vector<prune::mask> masks = network.select(stages[stage]);
            for (std::size_t i = 0; i < network.labels.size(); ++i) {
                INFO(network.labels[i]);
                const auto want = testing::values<std::int64_t>(
                    golden, message(where, "mask.", network.labels[i]));
                CHECK(std::equal(want.begin(), want.end(), masks[i].begin(), masks[i].end(),
                                 [](std::int64_t pruned, std::uint8_t kept) {
                                     return (pruned != 0) == (kept == 0);
                                 }));
                ++masks_seen;
            }
        }
    }
    CHECK(masks_seen >= 3 * network.labels.size());
}

TEST_CASE("equal gradients: the earlier unit of a slice goes, inner units stay at the threshold") {
    const std::vector<float> g{2.0F, 2.0F, 1.0F, 2.0F, 5.0F, 5.0F, 5.0F, 5.0F};
    CHECK(prune::mask_of_largest(g, 2) == prune::mask{1, 1, 1, 1, 0, 0, 1, 1});
    CHECK(prune::mask_of_largest(g, 2, 2) == prune::mask{0, 0, 1, 1, 0, 0, 1, 1});
    const std::vector<std::span<const float>> pools{std::span(g).first(4), std::span(g).last(4)};
    const auto four = prune::masks_above_common_threshold(pools, 4);
    CHECK(four[0] == prune::mask{1, 1, 1, 1});
    CHECK(four[1] == prune::mask{0, 0, 0, 0});
    CHECK(prune::masks_above_common_threshold(pools, 3)[1] == prune::mask{1, 1, 1, 1});
    CHECK(prune::masks_above_common_threshold(pools, 0)[1] == prune::mask{1, 1, 1, 1});
}

TEST_CASE("selections that leave nothing or have no order are refused") {
    const std::vector<float> g{1.0F, 2.0F, 3.0F, 4.0F};
    const std::vector<float> bad{1.0F, std::numeric_limits<float>::quiet_NaN()};
    const std::vector<std::span<const float>> pool{g};
    CHECK_THROWS_AS(static_cast<void>(prune::mask_of_largest(g, 4)), error);
    CHECK_THROWS_AS(static_cast<void>(prune::mask_of_largest(g, 2, 2)), error);
    CHECK_THROWS_AS(static_cast<void>(prune::mask_of_largest(g, 1, 3)), error);
    CHECK_THROWS_AS(static_cast<void>(prune::mask_of_largest(bad, 1)), error);
    CHECK_THROWS_AS(static_cast<void>(prune::masks_above_common_threshold(pool, 4)), error);
    const std::vector<prune::connectivity_gradient> other{{"encoder.layers.0.fc1.weight", g}};
    CHECK_THROWS_AS(static_cast<void>(prune::select_units(other, {}, 4)), error);
    CHECK_THROWS_AS(static_cast<void>(prune::kept_fraction({10, 1}, 0.0)), error);
    CHECK_THROWS_AS(static_cast<void>(prune::counts_for({10, 4, 1, 1, 8, 5, 5}, 0.5)), error);
}

TEST_CASE("connectivity parameters fade as the reference's do, bit for bit") {
    const io::npz_archive golden = testing::golden("pet/shrink.npz");
    using prune::srp_shrinking;
    for (const std::string& name : names_after(golden, "")) {
        if (!name.ends_with(".rate")) continue;
        const std::string head = name.substr(0, name.size() - 4);
        INFO(head);
        const extent period = std::stol(head.substr(head.find("period") + 6));
        constexpr extent steps = prune::published_srp_steps_per_epoch;
        const srp_shrinking fall =
            (head.starts_with("sa")   ? srp_shrinking::arithmetic_steps(period, steps)
             : head.starts_with("sg") ? srp_shrinking::geometric_steps(period, steps)
             : head.starts_with("ea") ? srp_shrinking::arithmetic_epochs(period)
                                      : srp_shrinking::geometric_epochs(period))
                .as_published();
        CHECK(fall.rate() == testing::values<float>(golden, name)[0]);
        CHECK(fall.due(1) == head.starts_with("s"));
        const auto at = testing::values<std::int64_t>(golden, head + "step");
        const auto want = testing::values<float>(golden, head + "c");
        std::vector<float> c{1.0F, 1.0F};
        const prune::mask keep{1, 0};
        std::int64_t done = 0;
        for (std::size_t i = 0; i < at.size(); ++i) {
            for (; done < at[i]; ++done)
                fall.apply(c, keep);
            REQUIRE(c[1] == want[i]);
        }
        CHECK(c[0] == 1.0F);
    }
}

TEST_CASE("a fading unit stops at zero unless the published way is asked for") {
    using prune::srp_shrinking;
    std::vector<float> c{1.0F};
    const srp_shrinking fall = srp_shrinking::arithmetic_steps(1, 5);  // rho = 1 / 4
    for (int i = 0; i < 5; ++i)
        fall.apply(c, prune::mask{0});
    CHECK(c[0] == 0.0F);
    fall.as_published().apply(c, prune::mask{0});
    CHECK(c[0] == -0.25F);
    CHECK_THROWS_AS(static_cast<void>(srp_shrinking::arithmetic_steps(1, 1)), error);
    CHECK_THROWS_AS(static_cast<void>(srp_shrinking::geometric_epochs(0)), error);
    CHECK_THROWS_AS(fall.apply(c, prune::mask{0, 1}), error);
}
