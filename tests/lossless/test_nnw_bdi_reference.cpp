// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/lossless/nnw_bdi_reference.hpp>

#include "golden_manifest.hpp"

namespace {

using tare::nnw_bdi_config;
using tare::nnw_bdi_options;

// A case of tests/golden/smaq/manifest.json.
struct golden_case {
    std::string name;
    std::string input;
    std::vector<nnw_bdi_config> configs;
    std::vector<std::int64_t> immediates{0};
    std::size_t chunk = 64;
    float scale = 1.0F;
    std::int32_t zero_point = 0;
    int init_shift = 0;
    int base_shift = 0;
    int delta_shift = 0;
    bool zeros = true;
    bool stochastic = false;
    bool random_bases = false;
    std::int64_t total_bits = 0;  // 0: no configuration fits
};

golden_case case_of(const nlohmann::json& about) {
    golden_case c{.name = about.at("name"), .input = about.at("input"), .configs = {}};
    for (const auto& one : about.at("configs"))
        c.configs.push_back({one.at("num_bases"), one.at("base_size"), one.at("delta_size")});
    c.immediates = about.at("immediates").get<std::vector<std::int64_t>>();
    c.chunk = about.at("batch_size");
    c.scale = about.at("scale");
    c.zero_point = about.at("zero_point");
    c.init_shift = about.at("scale_factor_init");
    c.base_shift = about.at("scale_factor_base");
    c.delta_shift = about.at("scale_factor_delta");
    c.zeros = about.at("zero_compression");
    c.stochastic = about.at("stochastic");
    c.random_bases = about.at("random_base");
    if (!about.at("fails").get<bool>()) c.total_bits = about.at("total_bits");
    return c;
}

// Draws recorded from the reference: kind 0 is uniform, kind 1 an integer below a bound.
class recorded_draws {
  public:
    explicit recorded_draws(const tare::io::npz_archive& archive, const std::string& name) {
        if (archive.count(name + "/draw_kind") == 0) return;
        kind_ = tare::testing::values<std::int64_t>(archive, name + "/draw_kind");
        uniform_ = tare::testing::values<float>(archive, name + "/draw_u");
        integer_ = tare::testing::values<std::int64_t>(archive, name + "/draw_int");
    }
    float uniform() { return uniform_.at(take(0)); }
    std::uint32_t below(std::uint32_t bound) {
        const auto r = static_cast<std::uint32_t>(integer_.at(take(1)));
        REQUIRE(r < bound);
        return r;
    }
    [[nodiscard]] bool used_up() const { return next_ == kind_.size(); }

  private:
    std::size_t take(std::int64_t kind) {
        REQUIRE(next_ < kind_.size());
        REQUIRE(kind_[next_] == kind);
        return next_++;
    }
    std::vector<std::int64_t> kind_;
    std::vector<float> uniform_;
    std::vector<std::int64_t> integer_;
    std::size_t next_ = 0;
};

template <class Value>
void check_case(const tare::io::npz_archive& archive, const golden_case& c) {
    CAPTURE(c.name);
    std::vector<Value> input;
    for (const std::int64_t v : tare::testing::values<std::int64_t>(archive, c.input))
        input.push_back(static_cast<Value>(v));
    nnw_bdi_options o;
    o.chunk = c.chunk;
    o.configs = c.configs;
    o.immediates = c.immediates;
    o.init_shift = c.init_shift;
    o.base_shift = c.base_shift;
    o.delta_shift = c.delta_shift;
    o.zero_compression = c.zeros;
    o.stochastic_rounding = c.stochastic;
    o.random_bases = c.random_bases;
    recorded_draws draws(archive, c.name);
    if (c.total_bits == 0) {
        CHECK_THROWS_AS((void)tare::nnw_bdi_reference<Value>(input, o, draws), tare::error);
        return;
    }
    const auto chunks = tare::nnw_bdi_reference<Value>(input, o, draws);
    CHECK(draws.used_up());

    std::vector<std::int64_t> size, config, mask, n_bases, bases, kind, base, delta;
    std::vector<float> decoded;
    for (const auto& chunk : chunks) {
        size.push_back(chunk.bits);
        config.push_back(static_cast<std::int64_t>(chunk.config));
        n_bases.push_back(static_cast<std::int64_t>(chunk.bases.size()));
        bases.insert(bases.end(), chunk.bases.begin(), chunk.bases.end());
        std::uint64_t bits = 0;
        for (std::size_t i = 0; i < chunk.elements.size(); ++i) {
            const auto& e = chunk.elements[i];
            bits |= std::uint64_t{!e.zero} << i;
            kind.push_back(!e.zero);
            base.push_back(e.base);
            delta.push_back(e.delta);
            decoded.push_back(tare::dequantized(tare::decoded_value(e, o), c.zero_point, c.scale));
        }
        mask.push_back(c.zeros ? static_cast<std::int64_t>(bits) : -1);
    }
    const auto stored = [&](const char* what) {
        return tare::testing::values<std::int64_t>(archive, c.name + what);
    };
    CHECK(size == stored("/size"));
    CHECK(config == stored("/config"));
    CHECK(mask == stored("/zero_mask"));
    CHECK(n_bases == stored("/n_bases"));
    CHECK(bases == stored("/bases"));
    CHECK(kind == stored("/kind"));
    CHECK(base == stored("/base"));
    CHECK(delta == stored("/delta"));
    CHECK(decoded == tare::testing::values<float>(archive, c.name + "/decoded"));
    std::int64_t total = 0;
    for (const std::int64_t bits : size)
        total += bits;
    CHECK(total == c.total_bits);
    if (!c.stochastic && !c.random_bases)
        CHECK(tare::reference_size<Value>(input, o) == c.total_bits);
}

}  // namespace

TEST_CASE("the published accounting of unsigned values is reproduced bit for bit") {
    const auto archive = tare::testing::golden("smaq/bdi_rust.npz");
    for (const auto& about : tare::testing::golden_cases("smaq", "bdi_rust.npz"))
        check_case<std::uint32_t>(archive, case_of(about));
}

TEST_CASE("the published accounting of signed values is reproduced bit for bit") {
    const auto archive = tare::testing::golden("smaq/bdi_rust_i32.npz");
    for (const auto& about : tare::testing::golden_cases("smaq", "bdi_rust_i32.npz"))
        check_case<std::int32_t>(archive, case_of(about));
}

TEST_CASE("the published quirks have a consistent counterpart") {
    nnw_bdi_options o;
    o.configs = {{1, 32, 8}};
    o.immediates = {};
    o.base_shift = 4;
    o.delta_shift = 4;
    const std::vector<std::uint32_t> values{1000, 1010, 1100};
    tare::sequential_draws draws(1);
    // As published the delta is taken from 1000 >> 4 = 62 and the base comes back as 992.
    const auto published = tare::nnw_bdi_reference<std::uint32_t>(values, o, draws);
    CHECK(tare::decoded_value(published[0].elements[0], o) == 992 + (1000 - 62) / 16 * 16);
    const auto sane = tare::nnw_bdi_reference<std::uint32_t>(
        values, o, draws, {.reversed_rounding = false, .shifted_base_delta = false});
    for (std::size_t i = 0; i < values.size(); ++i)
        CHECK(tare::decoded_value(sane[0].elements[i], o) == values[i] / 16 * 16);
}

TEST_CASE("unbiased rounding of deltas has the right mean, the published one does not round") {
    nnw_bdi_options o;
    o.configs = {{0, 32, 16}};
    o.delta_shift = 4;
    o.stochastic_rounding = true;
    const std::vector<std::uint32_t> values(8192, 100 * 16 + 4);
    const auto mean = [&](const tare::nnw_bdi_quirks& quirks) {
        tare::sequential_draws draws(5);
        double sum = 0;
        for (const auto& chunk : tare::nnw_bdi_reference<std::uint32_t>(values, o, draws, quirks))
            for (const auto& e : chunk.elements)
                sum += e.delta;
        return sum / static_cast<double>(values.size());
    };
    // Deviation of the mean of 8192 draws with p = 1/4 is sqrt(3/16/8192) = 0.0048; six of them.
    constexpr double six_sigma = 0.029;
    CHECK(mean({}) == 100.0);
    CHECK(std::abs(mean({.reversed_rounding = false}) - 100.25) < six_sigma);
}

TEST_CASE("options out of range are errors that name the option") {
    const std::vector<std::uint32_t> values{1, 2, 3};
    nnw_bdi_options o;
    o.configs = {{0, 32, 33}};
    CHECK_THROWS_AS((void)tare::reference_size<std::uint32_t>(values, o), tare::error);
    o.configs = {{0, 32, 32}};
    CHECK(tare::reference_size<std::uint32_t>(values, o) == 3 + 3 * 32);
    o.immediates = {-1};
    CHECK_THROWS_AS((void)tare::reference_size<std::uint32_t>(values, o), tare::error);
    o.immediates = {0};
    o.chunk = 0;
    CHECK_THROWS_AS((void)tare::reference_size<std::uint32_t>(values, o), tare::error);
    o.chunk = 64;
    o.delta_shift = 32;
    CHECK_THROWS_AS((void)tare::reference_size<std::uint32_t>(values, o), tare::error);
    CHECK(tare::nnw_bdi_options::reference_defaults().random_bases);
}
