// SPDX-License-Identifier: MIT
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/core/random_fill.hpp>
#include <tare/quantize/smaq.hpp>

#include "conformance.hpp"
#include "golden_manifest.hpp"

using tare::smaq_encodable;
using tare::smaq_faithful;
using tare::smaq_nearest;
using tare::smaq_options;
using tare::smaq_stochastic;
using tare::smaq_truncating;

namespace {

// A golden case: name, options, input, how it is rounded and folded.
struct golden_case {
    std::string name;
    smaq_options options;
    std::string input;
    std::string draws;  ///< empty: not stochastic, or too small to be rounded
    bool stochastic = true;
    bool batch_norm = false;
    bool scalar_fold = false;
};

golden_case case_of(const nlohmann::json& about) {
    golden_case c{.name = about.at("name"), .options = {}, .input = about.at("input"), .draws = {}};
    if (!about.at("uniform").is_null()) c.draws = about["uniform"];
    c.batch_norm = about.at("batch_norm");
    c.options.all_positive = about.at("all_positive");
    smaq_options& o = c.options;
    for (const auto& [option, value] : about.at("options").items()) {
        if (option == "num_bits_main")
            o.main_bits = value;
        else if (option == "num_bits_outlier")
            o.outlier_bits = value;
        else if (option == "main_std_dev_threshold")
            o.main_threshold = value;
        else if (option == "outlier_std_dev_threshold")
            o.outlier_threshold = value;
        else if (option == "use_sample_stats")
            o.sample_statistics = value;
        else if (option == "num_samples")
            o.samples = value;
        else if (option == "use_range_std_dev")
            o.range_deviation = value;
        else if (option == "min_size")
            o.min_size = value;
        else if (option == "precision")
            o.half_precision = value == 16;
        else if (option == "stochastic_rounding")
            c.stochastic = value;
        else if (option == "bn_scalar_params")
            c.scalar_fold = value;
        else
            REQUIRE(option == "use_batch_norm");
    }
    return c;
}

// "Own statistics within 2e-6": mean against the larger of mean and deviation, since a mean near
// zero is a difference of sums as large as the deviation.
constexpr double statistics_tolerance = 2e-6;

template <class Q>
void run_case(const tare::io::npz_archive& golden, const golden_case& c, const Q& q) {
    CAPTURE(c.name);
    const std::string prefix = c.name + "/";
    const auto get = [&](const std::string& name) {
        return tare::testing::values<float>(golden, name);
    };
    const auto x = get(c.input);
    const auto& extents = tare::testing::array(golden, c.input).extents;
    const auto expected = get(prefix + "out");
    std::vector<float> y(x.size());
    tare::smaq_params p;
    std::vector<float> gamma, beta;
    tare::smaq_fold fold;
    if (golden.contains(prefix + "mean_std")) {
        const auto stored = get(prefix + "mean_std");
        p = {stored[0], stored[1]};

        tare::smaq_params own;
        if (golden.contains(prefix + "idx")) {
            own = q.fit_sample(x, tare::testing::values<std::int64_t>(golden, prefix + "idx"));
        } else {
            own = q.fit(x);
        }
        const double unit = std::abs(double(p.mean)) + std::abs(double(p.deviation));
        if (tare::is_finite(p.mean) && tare::is_finite(p.deviation)) {
            CHECK(std::abs(double(own.mean) - double(p.mean)) <= statistics_tolerance * unit);
            CHECK(std::abs(double(own.deviation) - double(p.deviation)) <=
                  statistics_tolerance * unit);
        } else {
            CHECK(tare::testing::differences(std::vector<float>{own.mean, own.deviation}, stored) ==
                  0);
        }
    }
    if (c.batch_norm) {
        gamma = get("gamma");
        beta = get("beta");
        if (c.scalar_fold) {
            const auto means = get(prefix + "gamma_beta_mean");
            gamma = {means[0]};
            beta = {means[1]};
        }
        fold = {gamma, beta, extents[2] * extents[3]};
    }
    std::vector<float> u;
    if (!c.draws.empty()) u = get(c.draws);
    if (fold.gamma.empty() && u.empty()) {
        q.fake_quantize(x, p, y);
    } else if (fold.gamma.empty()) {
        q.fake_quantize(x, p, u, y);
    } else {
        q.fake_quantize(x, p, u, fold, y);
    }
    CHECK(tare::testing::differences(y, expected) == 0);
    const auto logged = get(prefix + "ratio_new_orig");
    const auto size = q.reference_size(x, p, fold);
    CHECK(size.ratio() == logged[0]);
    CHECK(static_cast<float>(size.new_bits) == logged[1]);
    CHECK(static_cast<float>(size.original_bits) == logged[2]);
}

std::vector<float> normals(std::size_t n) {
    const tare::random_stream random(11, 0);
    std::vector<float> x(n);
    for (std::size_t i = 0; i < n; ++i)
        x[i] = 0.3F * random.normal(i) + 0.1F;
    return x;
}

// One element by the formulas of the header, in plain float arithmetic.
float plain(float x, const tare::smaq_params& p) {
    const float z = (x - p.mean) / p.deviation;
    const float side = z > 1.0F ? -1.0F : (z < -1.0F ? 1.0F : 0.0F);
    const float scale = side != 0.0F ? 42.0F : 15.0F;
    const float most = side != 0.0F ? 63.0F : 15.0F;
    float q = std::nearbyint((z + side) * scale);
    q = q > most ? most : (q < -most ? -most : q);
    return (q / scale - side) * p.deviation + p.mean;
}

}  // namespace

TEST_CASE("every golden case of the reference is reproduced bit for bit") {
    const auto golden = tare::testing::golden("smaq/smaq.npz");
    const auto cases = tare::testing::golden_cases("smaq", "smaq.npz");
    CHECK(cases.size() >= 30);
    for (const auto& about : cases) {
        const golden_case c = case_of(about);
        if (c.stochastic) {
            run_case(golden, c, tare::smaq<smaq_faithful, smaq_stochastic>(c.options));
        } else {
            run_case(golden, c, tare::smaq<smaq_faithful, smaq_truncating>(c.options));
        }
    }
}

TEST_CASE("encodable SmaQ conforms, for every rounding and many widths") {
    tare::testing::conforms(tare::smaq<>(), {.idempotent = false});
    tare::testing::conforms(tare::smaq<smaq_encodable, smaq_truncating>(), {.idempotent = false});
    tare::testing::conforms(tare::smaq<smaq_encodable, smaq_stochastic>(), {.idempotent = false});
    for (const auto& [main_bits, outlier_bits] :
         std::vector<std::pair<int, int>>{{5, 7}, {4, 6}, {3, 5}, {3, 3}, {2, 3}, {2, 2}, {16, 16}})
        tare::testing::conforms(tare::smaq<smaq_encodable, smaq_stochastic>(
                                    {.main_bits = main_bits, .outlier_bits = outlier_bits}),
                                {.idempotent = false});
    tare::testing::conforms(tare::smaq<>({.sample_statistics = true, .min_size = 0}),
                            {.idempotent = false});
    tare::testing::conforms(
        tare::smaq<>({.range_deviation = true, .all_positive = true, .min_size = 0}),
        {.idempotent = false});
}

TEST_CASE("the vector loop equals the plain formula") {
    const auto x = normals(4103);
    const tare::smaq<> q;
    const auto p = q.fit(x);
    std::vector<float> y(x.size());
    q.fake_quantize(x, p, y);
    for (std::size_t i = 0; i < x.size(); ++i)
        REQUIRE(y[i] == plain(x[i], p));
}

TEST_CASE("within its range SmaQ is off by at most half a step, beyond it it saturates") {
    // Half a step in deviations, plus eight float32 roundings of numbers up to 2.5.
    constexpr double rounding = 8 * 2.5 * 0x1p-24;
    const auto x = normals(5000);
    const tare::smaq<> q;
    const auto p = q.fit(x);
    std::vector<float> y(x.size());
    q.fake_quantize(x, p, y);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double z = (double(x[i]) - double(p.mean)) / double(p.deviation);
        const double w = (double(y[i]) - double(p.mean)) / double(p.deviation);
        if (std::abs(z) <= 1.0) REQUIRE(std::abs(w - z) <= 0.5 / 15 + rounding);
        if (std::abs(z) > 1.0 && std::abs(z) <= 2.5)
            REQUIRE(std::abs(w - z) <= 0.5 / 42 + rounding);
        if (std::abs(z) > 2.5) REQUIRE(std::abs(std::abs(w) - 2.5) <= rounding);
    }
}

TEST_CASE("differences beyond float32 and infinities get the outermost code") {
    const float infinity = std::numeric_limits<float>::infinity();
    // Deviations for which FLT_MAX is 1.5, 4 and 2^64 deviations away, and a smaller one.
    for (const float deviation : {0x1.5p127F, 0x1p126F, 0x1p64F, 0x1p30F})
        for (const int bits : {2, 8}) {
            const tare::smaq<> q({.outlier_bits = bits});
            const tare::smaq_params p{-0x1p127F, deviation};
            const std::vector<float> x{0x1.FFp127F, infinity, -infinity, 0x1.FFp127F,
                                       -0x1p127F,   infinity, -infinity, 0.0F};
            std::vector<float> y(x.size()), unpacked(x.size());
            q.fake_quantize(x, p, y);
            // Of two bits none is left for a magnitude: outliers are one deviation away.
            const double reach = (bits == 8 ? 2.5 : 1.0) * double(deviation);
            const double largest = double(std::numeric_limits<float>::max());
            // Quotient, product and two sums of numbers up to |mean| + reach, rounded to float32.
            const double rounding = 4 * 0x1p-24 * (std::abs(double(p.mean)) + reach);
            const auto near = [&](float value, double exact) {
                return std::abs(double(value) - std::clamp(exact, -largest, largest)) <= rounding;
            };
            CHECK(near(y[1], double(p.mean) + reach));
            CHECK(near(y[2], double(p.mean) - reach));
            CHECK(y[0] == y[1]);
            const auto packed = q.encode(x, p);
            CHECK(packed.bits == q.storage(x, p).total_bits());
            q.decode(packed, unpacked);
            CHECK(unpacked == y);
        }
}

TEST_CASE("folded values stay within float32") {
    const float largest = std::numeric_limits<float>::max();
    const std::vector<float> x(8, largest);
    std::vector<float> y(8);
    // 2.492 deviations of 2^125 become 2.5, and times gamma 8.025 2^125.
    const std::vector<float> gamma{3.21F}, beta{0.0F};
    tare::smaq<>().fake_quantize(x, {0.0F, 0x1p125F}, {}, {gamma, beta, 1}, y);
    CHECK(y == x);
}

TEST_CASE("stochastic rounding is unbiased and belongs to the element, not to the call") {
    const tare::smaq<smaq_encodable, smaq_stochastic> q({.seed = 77});
    const std::vector<float> x(20000, 0.31F);  // 0.31 * 15 = 4.65
    const tare::smaq_params p{0.0F, 1.0F};
    std::vector<float> y(x.size());
    q.fake_quantize(x, p, y);
    double sum = 0.0;
    for (const float v : y)
        sum += double(v);
    // Standard error of the mean of 20,000 draws of a step of 1/15 with p = 0.65, five times.
    constexpr double five_errors = 5 * 0.477 / 15 / 141.4;
    CHECK(std::abs(sum / 20000 - 0.31) <= five_errors);
    std::vector<float> draws(x.size());
    const tare::random_stream random(77, 0);
    for (std::size_t i = 0; i < draws.size(); ++i)
        draws[i] = tare::uniform_16(random, i);
    std::vector<float> again(x.size());
    q.fake_quantize(x, p, draws, again);
    CHECK(y == again);
}

TEST_CASE("drawn rounding is the rounding by the fraction") {
    constexpr auto lanes = static_cast<std::uint64_t>(tare::simd::lanes);
    const tare::random_stream random(5, 0);
    std::vector<float> y(tare::simd::lanes), u(y), way(y), other(y);
    for (std::uint64_t i = 0; i < 400000; i += lanes) {
        for (std::uint64_t lane = 0; lane < lanes; ++lane) {
            u[lane] = tare::uniform_16(random, i + lane);
            // Where the draw decides, an ulp of y or a few to either side; anywhere; next to 0.
            const std::uint32_t bits = random.bits(i + lane);
            const int whole = static_cast<int>(bits % 254) - 127;
            const int off = static_cast<int>(bits >> 8 & 7) - 4;
            const float decides = static_cast<float>((bits >> 11 & 1) != 0 ? whole : -1) + u[lane];
            const float near = std::bit_cast<float>(std::bit_cast<std::int32_t>(decides) + off);
            const float any = random.uniform(i + lane + 1) * 254.0F - 127.0F;
            const float small = std::ldexp(any, -static_cast<int>(bits >> 20 & 127));
            y[lane] = (bits >> 12 & 3) == 0 ? small : ((bits >> 12 & 3) == 1 ? any : near);
        }
        const tare::simd::floats v = tare::simd::load(y.data()), draw = tare::simd::load(u.data());
        tare::simd::store(way.data(), smaq_stochastic::round_small(v, draw));
        tare::simd::store(other.data(), smaq_stochastic::round_drawn(v, draw));
        REQUIRE(tare::testing::differences(other, way) == 0);
        tare::simd::store(other.data(),
                          tare::simd::to_floats(smaq_stochastic::round_drawn_to_int(v, draw)));
        REQUIRE(other == way);
    }
}

TEST_CASE("a sample has distinct indices, and depends on the seed alone") {
    for (const tare::extent n : {1, 5, 16, 17, 1000, 1 << 20}) {
        auto picked = tare::sample_indices(n, 16, 3);
        CHECK(picked == tare::sample_indices(n, 16, 3));
        CHECK(static_cast<tare::extent>(picked.size()) == std::min<tare::extent>(n, 16));
        std::sort(picked.begin(), picked.end());
        CHECK(std::adjacent_find(picked.begin(), picked.end()) == picked.end());
        CHECK(picked.front() >= 0);
        CHECK(picked.back() < n);
    }
}

TEST_CASE("normal values take 6.63 bits each, as the literature says") {
    const auto x = normals(200000);
    const tare::smaq<> q;
    const auto cost = q.storage(x, q.fit(x));
    // Share of outliers 0.3173; its standard error over 200,000 values is 0.001, taken five times.
    CHECK(double(cost.value_bits) / 200000 == doctest::Approx(6.6346).epsilon(0.01 / 6.63));
    CHECK(cost.scale_bits == 64);
}

TEST_CASE("a tensor without elements has a ratio, and not NaN") {
    const tare::smaq<smaq_faithful> q;
    const auto size = q.reference_size({}, q.fit({}), {});
    CHECK(size.new_bits == 0);
    CHECK(size.ratio() == 1.0F);
}

TEST_CASE("misuse of SmaQ is named") {
    CHECK_THROWS_AS(tare::smaq<>({.main_bits = 1}), tare::error);
    CHECK_THROWS_AS(tare::smaq<>({.main_threshold = 3.0}), tare::error);
    const std::vector<float> x(20, 1.0F);
    std::vector<float> y(20);
    const std::vector<float> draws(19);
    CHECK_THROWS_WITH_AS(tare::smaq<>().fake_quantize(x, {}, draws, y),
                         "smaq: 19 draws for 20 elements", tare::error);
    const std::vector<tare::extent> beyond{20};
    CHECK_THROWS_AS((void)tare::smaq<>().fit_sample(x, beyond), tare::error);
    CHECK_THROWS_AS(tare::smaq<>().fake_quantize(x, {}, {}, {draws, x, 3}, y), tare::error);
}
