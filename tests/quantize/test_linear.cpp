// SPDX-License-Identifier: MIT
#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/quantize/linear.hpp>

#include "conformance.hpp"
#include "golden.hpp"

using tare::testing::differences;
using tare::testing::fitted;

namespace {

// The codes of a fitted quantizer as signed integers, by the plain reference.
template <class Q>
std::vector<std::int64_t> codes(const Q& q, const std::vector<float>& x) {
    const auto p = q.fit(x);
    const auto size = static_cast<std::size_t>(q.group_size(static_cast<tare::extent>(x.size())));
    std::vector<std::int64_t> out;
    for (std::size_t i = 0; i < x.size(); ++i)
        out.push_back(static_cast<std::int64_t>(q.quantize(x[i], p.groups[i / size])));
    return out;
}

template <class Q>
void matches(const tare::io::npz_archive& golden, const std::string& prefix, int bits, const Q& q,
             const tare::linear_quantizer<tare::stored_range,
                                          std::remove_cvref_t<decltype(q.groups())>>& stored,
             const std::vector<float>& x) {
    CAPTURE(prefix);
    std::vector<float> scales;
    std::vector<float> steps;
    for (const auto& group : q.fit(x).groups)
        scales.push_back(group.scale);
    for (const auto& group : stored.fit(x).groups)
        steps.push_back(group.step);
    CHECK(q.bits() == bits);
    CHECK(differences(scales, tare::testing::values<float>(golden, prefix + ".scale")) == 0);
    CHECK(differences(codes(q, x), tare::testing::values<std::int64_t>(golden, prefix + ".q")) ==
          0);
    CHECK(differences(fitted(q, x),
                      tare::testing::values<float>(golden, prefix + ".dequantized")) == 0);
    CHECK(differences(steps,
                      tare::testing::values<float>(golden, prefix + ".inv_scale_truncated")) == 0);
    CHECK(differences(fitted(stored, x),
                      tare::testing::values<float>(golden, prefix + ".stored")) == 0);
}

}  // namespace

TEST_CASE("symmetric codes, scales and stored values equal the reference's, 2 to 9 bits") {
    const auto golden = tare::testing::golden("hanlab/linear_quant.npz");
    int cases = 0;
    for (const char* input : {"half", "x1", "x2", "zeros"})
        for (int bits = 2; bits <= 9; ++bits) {
            const auto x = tare::testing::values<float>(golden, input);
            const std::string prefix = tare::message("bits", bits, ".", input, ".");
            matches(golden, prefix + "tensor", bits, tare::linear_quantizer<>(bits),
                    tare::linear_quantizer<tare::stored_range>(bits), x);
            if (!golden.contains(prefix + "channel.q")) continue;
            const tare::per_row rows{tare::testing::array(golden, input).extents.columns()};
            matches(golden, prefix + "channel", bits,
                    tare::linear_quantizer<tare::symmetric_levels, tare::per_row>(bits, rows),
                    tare::linear_quantizer<tare::stored_range, tare::per_row>(bits, rows), x);
            ++cases;
        }
    CHECK(cases == 8);
}

TEST_CASE("full-range codes equal the golden ones, 2 to 9 bits") {
    const auto golden = tare::testing::golden("hanlab/linear_quant_full_range.npz");
    const auto x = tare::testing::values<float>(golden, "x2");
    for (int bits = 2; bits <= 9; ++bits) {
        const tare::linear_quantizer<tare::full_levels> q(bits);
        const std::string prefix = tare::message("bits", bits);
        CAPTURE(prefix);
        CHECK(q.fit(x).groups[0].scale ==
              tare::testing::values<float>(golden, prefix + ".scale")[0]);
        CHECK(differences(codes(q, x),
                          tare::testing::values<std::int64_t>(golden, prefix + ".q")) == 0);
    }
}

TEST_CASE("linear quantizers conform") {
    for (const int bits : {2, 3, 4, 8, 9, 16}) {
        tare::testing::conforms(tare::linear_quantizer<>(bits));
        // From 12 bits on, the cut step moves the outer values by more than half a code.
        tare::testing::conforms(tare::linear_quantizer<tare::stored_range>(bits),
                                {.idempotent = bits < 12});
        tare::testing::conforms(tare::linear_quantizer<tare::affine_range>(bits));
        tare::testing::conforms(tare::linear_quantizer<tare::full_levels>(bits));
    }
    tare::testing::conforms(tare::linear_quantizer<tare::symmetric_levels, tare::per_row>(5, {7}),
                            {.multiple_of = 7});
    tare::testing::conforms(tare::linear_quantizer<tare::affine_range, tare::per_block<32>>(4));
    tare::testing::conforms(tare::linear_quantizer<tare::symmetric_levels, tare::per_block<33>>(3));
}

TEST_CASE("the vector loop equals the plain reference") {
    const tare::random_stream random(5, 0);
    std::vector<float> x(4099);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = random.normal(i);
    const auto compare = [&](const auto& q) {
        const auto p = q.fit(x);
        std::vector<float> y(x.size());
        q.fake_quantize(x, p, y);
        for (std::size_t i = 0; i < x.size(); ++i)
            REQUIRE(y[i] == q.dequantize(q.quantize(x[i], p.groups[0]), p.groups[0]));
    };
    for (int bits = 2; bits <= 16; ++bits) {
        compare(tare::linear_quantizer<>(bits));
        compare(tare::linear_quantizer<tare::full_levels>(bits));
        compare(tare::linear_quantizer<tare::stored_range>(bits));
        compare(tare::linear_quantizer<tare::affine_range>(bits));
    }
}

TEST_CASE("a value is at most half a step from its code") {
    // Half a step, plus two roundings of the scale and one of the division, each 2^-24 relative.
    constexpr double slack = 1.0 + 4.0 * 0x1p-24 * 65535.0;
    const tare::random_stream random(6, 0);
    std::vector<float> x(997);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = random.normal(i) + 0.5F;
    const auto check = [&](const auto& q) {
        const auto p = q.fit(x);
        const auto y = fitted(q, x);
        for (std::size_t i = 0; i < x.size(); ++i)
            REQUIRE(std::abs(double(y[i]) - double(x[i])) <=
                    0.5 * slack / double(p.groups[0].scale));
    };
    for (int bits = 2; bits <= 16; ++bits) {
        check(tare::linear_quantizer<>(bits));
        check(tare::linear_quantizer<tare::affine_range>(bits));
    }
}

TEST_CASE("the stored form is exact: an integer times a short float") {
    std::vector<float> x{0.3F, -1.7F, 0.9F, 1.1F};
    const tare::linear_quantizer<tare::stored_range> q(9);
    const auto p = q.fit(x);
    for (const float v : fitted(q, x)) {
        const double code = double(v) / double(p.groups[0].step);
        CHECK(code == std::nearbyint(code));
    }
}

TEST_CASE("storage of linear quantizers is exact in bits") {
    const tare::linear_quantizer<tare::symmetric_levels, tare::per_row> rows(9, {16});
    CHECK(rows.storage(160, 160) == tare::storage_cost{.value_bits = 1440, .scale_bits = 320});
    CHECK(rows.storage(160, 40) ==
          tare::storage_cost{.value_bits = 360, .mask_bits = 160, .scale_bits = 320});
    CHECK(tare::linear_quantizer<tare::affine_range>(8).storage(10, 10).scale_bits == 40);
    CHECK(tare::linear_quantizer<>(8).storage(0, 0).total_bits() == 0);
}

TEST_CASE("misuse of linear quantizers is named") {
    CHECK_THROWS_WITH_AS(tare::linear_quantizer<>(1), "linear_symmetric: 1 bits; choose 2 to 16",
                         tare::error);
    CHECK_THROWS_AS(tare::linear_quantizer<>(17), tare::error);
    std::vector<float> x(10, 1.0F);
    const tare::linear_quantizer<tare::symmetric_levels, tare::per_row> q(8, {3});
    CHECK_THROWS_WITH_AS((void)q.fit(x), "per_row: 10 elements are not whole rows of 3 columns",
                         tare::error);
    tare::linear_quantizer<>::params_type none;
    CHECK_THROWS_AS(tare::linear_quantizer<>(8).fake_quantize(x, none, x), tare::error);
    tare::packed_tensor packed =
        tare::linear_quantizer<>(8).encode(x, tare::linear_quantizer<>(8).fit(x));
    for (std::size_t i = 10; i < 14; ++i)
        packed.bytes[i] = std::byte{0};
    CHECK_THROWS_AS(tare::linear_quantizer<>(8).decode(packed, x), tare::error);
}

TEST_CASE("parameters of many groups are packed as those of one, by any number of threads") {
    // So many groups of 37 bits that threads share them, and the last byte is not full.
    const tare::linear_quantizer<tare::affine_range, tare::per_block<16>> q(5);
    std::vector<float> x(16 * 20'003);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = static_cast<float>((i * 7919) % 1009) - static_cast<float>(i / 16 % 700);
    const auto p = q.fit(x);
    const tare::packed_tensor packed = q.encode(x, p);
    tare::packed_tensor groups;
    tare::code_writer writer(groups);
    for (const auto& group : p.groups)
        q.put_group(writer, group);
    REQUIRE(packed.bits == static_cast<std::int64_t>(5 * x.size()) + groups.bits);
    REQUIRE(groups.bits % 8 != 0);
    CHECK(std::equal(groups.bytes.begin(), groups.bytes.end(),
                     packed.bytes.end() - static_cast<std::ptrdiff_t>(groups.bytes.size())));
    tare::set_threads(3);
    CHECK(q.encode(x, p) == packed);
    tare::set_threads(1);
}
