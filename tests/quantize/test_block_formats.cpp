// SPDX-License-Identifier: MIT
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/quantize/block_float.hpp>
#include <tare/quantize/ggml_blocks.hpp>
#include <tare/quantize/mx.hpp>
#include <tare/quantize/nf4.hpp>
#include <tare/quantize/nvfp4.hpp>

#include "conformance.hpp"
#include "golden.hpp"

using tare::testing::differences;
using tare::testing::fitted;

namespace {

template <class Element>
void matches(const char* element) {
    const auto golden = tare::testing::golden("smaq/beyond.npz");
    const auto x = tare::testing::values<float>(golden, "x");
    const tare::extent columns = tare::testing::array(golden, "x").extents.columns();
    const std::string prefix = tare::message("mx_", element);
    CAPTURE(prefix);
    CHECK(differences(fitted(tare::mx<Element>(columns), x),
                      tare::testing::values<float>(golden, prefix + "_even")) == 0);
    using away = typename Element::template with_rounding<tare::nearest_away>;
    CHECK(differences(fitted(tare::mx<away>(columns), x),
                      tare::testing::values<float>(golden, prefix + "_nearest")) == 0);
}

}  // namespace

TEST_CASE("MX formats equal the public emulator, ties to even and away") {
    matches<tare::fp8_e4m3>("fp8_e4m3");
    matches<tare::fp8_e5m2>("fp8_e5m2");
    matches<tare::fp6_e3m2>("fp6_e3m2");
    matches<tare::fp6_e2m3>("fp6_e2m3");
    matches<tare::fp4_e2m1>("fp4_e2m1");
    matches<tare::mx_int8_element<>>("int8");
}

TEST_CASE("NVFP4 scales, elements and values equal the golden ones") {
    const auto golden = tare::testing::golden("smaq/beyond.npz");
    const auto get = [&](const char* name) { return tare::testing::values<float>(golden, name); };
    const auto x = get("x");
    const tare::nvfp4 q(tare::testing::array(golden, "x").extents.columns());
    const auto p = q.fit(x);
    CHECK(p.tensor.scale == get("nvfp4_tensor_scale")[0]);
    std::vector<float> scales;
    for (const auto& group : p.groups)
        scales.push_back(group.scale);
    CHECK(differences(scales, get("nvfp4_block_scale")) == 0);
    std::vector<std::uint16_t> codes(16);
    const auto elements = get("nvfp4_q");
    for (std::size_t g = 0; g < p.groups.size(); ++g) {
        q.coder(p.tensor).encode_values(x.data() + 16 * g, 16, p.groups[g], codes.data());
        for (std::size_t i = 0; i < 16; ++i)
            CHECK(tare::fp4_e2m1::decode(static_cast<std::uint8_t>(codes[i])) ==
                  elements[16 * g + i]);
    }
    CHECK(differences(fitted(q, x), get("nvfp4_out")) == 0);
}

TEST_CASE("NF4 levels, scales, codes and values equal the golden ones") {
    const auto golden = tare::testing::golden("smaq/beyond.npz");
    const auto x = tare::testing::values<float>(golden, "x");
    const tare::nf4_blocks q;
    const auto p = q.fit(x);
    CHECK(differences(std::vector<float>(tare::nf4_levels.begin(), tare::nf4_levels.end()),
                      tare::testing::values<float>(golden, "decode_nf4")) == 0);
    std::vector<float> scales;
    for (const auto& group : p.groups)
        scales.push_back(group.scale);
    CHECK(differences(scales, tare::testing::values<float>(golden, "nf4_absmax")) == 0);
    std::vector<std::uint32_t> codes(x.size());
    for (std::size_t i = 0; i < x.size(); ++i)
        q.coder(p.tensor).encode_values(x.data() + i, 1, p.groups[i / 64], codes.data() + i);
    CHECK(differences(codes, tare::testing::values<std::int64_t>(golden, "nf4_code")) == 0);
    CHECK(differences(fitted(q, x), tare::testing::values<float>(golden, "nf4_out")) == 0);
}

TEST_CASE("block formats conform") {
    // A NaN has no code in most elements and takes its block with it.
    const tare::testing::quantizer_promises block_nan{.isolates_bad_elements = false};
    tare::testing::conforms(tare::mxfp8_e4m3<>(), block_nan);
    tare::testing::conforms(tare::mxfp8_e5m2<>(), block_nan);
    tare::testing::conforms(tare::mxfp6_e3m2<>(), block_nan);
    tare::testing::conforms(tare::mxfp6_e2m3<>(), block_nan);
    tare::testing::conforms(tare::mxfp4<>(), block_nan);
    tare::testing::conforms(tare::mxint8<>(), block_nan);
    tare::testing::conforms(tare::mxfp8_e4m3<tare::scale_ceil>(), block_nan);
    tare::testing::conforms(tare::mxfp4<tare::scale_even>(), block_nan);
    tare::testing::conforms(tare::mxfp6_e3m2<tare::scale_rceil>(), block_nan);
    tare::testing::conforms(tare::mxfp4<>(45), {.isolates_bad_elements = false, .multiple_of = 45});
    tare::testing::conforms(tare::nvfp4(), {.idempotent = false});
    tare::testing::conforms(tare::nvfp4(20), {.idempotent = false, .multiple_of = 20});
    tare::testing::conforms(tare::nf4_blocks());
    tare::testing::conforms(tare::nf4_nested(), {.idempotent = false});
    // Codes use the scale before its rounding to half precision, values the one after.
    tare::testing::conforms(tare::q4_0(), {.idempotent = false});
    tare::testing::conforms(tare::q8_0(), {.idempotent = false});
    for (const int bits : {2, 4, 8, 16})
        tare::testing::conforms(tare::block_float<>(bits));
    tare::testing::conforms(tare::block_float<tare::per_block<24>>(6));
}

TEST_CASE("declared sizes are those of the tables") {
    CHECK(tare::mxfp8_e4m3<>().storage(320, 320).total_bits() == 2640);  // 8.25
    CHECK(tare::mxfp6_e3m2<>().storage(320, 320).total_bits() == 2000);  // 6.25
    CHECK(tare::mxfp4<>().storage(320, 320).total_bits() == 1360);       // 4.25
    CHECK(tare::nvfp4().storage(320, 320).total_bits() == 1440 + 32);    // 4.5 + 32/n
    CHECK(tare::nf4_blocks().storage(640, 640).total_bits() == 2880);    // 4.5
    CHECK(tare::q4_0().storage(320, 320).total_bits() == 1440);          // 4.5
    CHECK(tare::q8_0().storage(320, 320).total_bits() == 2720);          // 8.5
    // A byte of scale for 64, a float for 256 of these, and their offset: 4.127 bits.
    CHECK(tare::nf4_nested().storage(1 << 24, 1 << 24).total_bits() ==
          (4 << 24) + (8 << 18) + (32 << 10) + 32);
    CHECK(tare::mxfp4<>(40).storage(80, 80).scale_bits == 32);  // two blocks a row
}

TEST_CASE("scale rules order as their names say") {
    const std::vector<float> x{1.9F, 0.1F};  // E2M1: emax 2, largest 6
    const auto exponent = [&](const auto& q) { return int(q.fit(x).groups[0].scale) - 127; };
    CHECK(exponent(tare::mxfp4<tare::scale_floor>()) == -2);
    CHECK(exponent(tare::mxfp4<tare::scale_ceil>()) == -1);
    CHECK(exponent(tare::mxfp4<tare::scale_even>()) == -1);   // 1.9 rounds to 2
    CHECK(exponent(tare::mxfp4<tare::scale_rceil>()) == -1);  // 1.9 / 6 = 0.317
    const std::vector<float> y{1.4F};
    CHECK(int(tare::mxfp4<tare::scale_even>().fit(y).groups[0].scale) - 127 == -2);
    CHECK(int(tare::mxfp4<tare::scale_rceil>().fit(y).groups[0].scale) - 127 == -2);
    CHECK(int(tare::mxfp4<>().fit(std::vector<float>{0.0F}).groups[0].scale) == 0);
}

TEST_CASE("NaN and, on request, infinity take their MX block and no other") {
    std::vector<float> x(96, 1.0F);
    x[3] = std::numeric_limits<float>::quiet_NaN();
    x[40] = std::numeric_limits<float>::infinity();
    const auto y = fitted(tare::mxfp4<>(), x);
    CHECK(y[0] != y[0]);
    CHECK(y[33] == 1.0F);
    CHECK(y[40] == 1.5F);  // the largest element under the scale of the others
    const auto z = fitted(tare::mxfp4<>(0, true), x);
    CHECK(z[33] != z[33]);
    CHECK(z[64] == 1.0F);
}

TEST_CASE("Q4_0 and Q8_0 by hand") {
    std::vector<float> x(32, 0.0F);
    x[0] = -8.0F;
    x[1] = 7.0F;
    x[2] = 0.5F;
    x[3] = 7.9F;
    const auto y = fitted(tare::q4_0(), x);  // d = 1
    CHECK(y[0] == -8.0F);
    CHECK(y[1] == 7.0F);
    CHECK(y[2] == 1.0F);  // int(0.5 + 8.5) = 9
    CHECK(y[3] == 7.0F);
    x[0] = 127.0F;
    x[1] = 2.5F;
    x[2] = -2.5F;
    const auto z = fitted(tare::q8_0(), x);
    CHECK(z[1] == 3.0F);
    CHECK(z[2] == -3.0F);
}

TEST_CASE("block floating point rounds to its step, ties upward, and stays below 2^(e+1)") {
    const std::vector<float> x{1.0F, 0.25F, 0.125F, -0.125F, 1.99F, -1.99F};
    // e = 0, 4 bits: step 1/4
    CHECK(fitted(tare::block_float<>(4), x) ==
          std::vector<float>{1.0F, 0.25F, 0.25F, 0.0F, 1.75F, -1.75F});
}

TEST_CASE("the dynamic map has 256 ascending values from -0.993 to 1") {
    const auto& map = tare::dynamic_map();
    CHECK(std::is_sorted(map.begin(), map.end()));
    CHECK(std::adjacent_find(map.begin(), map.end()) == map.end());
    CHECK(map.back() == 1.0F);
    CHECK(map.front() == static_cast<float>(-(1.0 - 0.45 / 64)));
    CHECK(map[127] == 0.0F);
}
