// SPDX-License-Identifier: MIT
// Every built-in format and quantizer gives the same bits in every build: with AVX-512, with AVX2,
// without SIMD, from either compiler. The hashes below were computed once; a change of any bit of
// any result, on purpose or not, shows here by name.
#include <bit>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tare/core/random.hpp>
#include <tare/formats/builtin.hpp>
#include <tare/formats/convert.hpp>
#include <tare/quantize/builtin.hpp>

namespace {

// FNV-1a. Source: Fowler, Noll, Vo, draft-eastlake-fnv.
class hash {
  public:
    void add(std::uint32_t word) {
        for (int byte = 0; byte < 4; ++byte) {
            state_ ^= word >> (8 * byte) & 0xFFU;
            state_ *= 0x100000001B3U;
        }
    }
    void add(float v) { add(v != v ? 0x7FC00000U : std::bit_cast<std::uint32_t>(v)); }
    [[nodiscard]] std::uint64_t value() const { return state_; }

  private:
    std::uint64_t state_ = 0xCBF29CE484222325U;
};

/// 37 rows of 96 values: bell-shaped by sums of uniform draws (no library function, whose last bit
/// could differ), with a heavy tail, zeros of both signs, denormals and both ends of the range.
std::vector<float> tensor(bool with_specials) {
    const tare::random_stream random(20191, 0);
    std::vector<float> x(37 * 96);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const float bell = random.uniform(4 * i) + random.uniform(4 * i + 1) +
                           random.uniform(4 * i + 2) + random.uniform(4 * i + 3) - 2.0F;
        x[i] = (i % 50 == 7 ? 6.0F : 0.4F) * bell;
    }
    x[5] = 0.0F;
    x[6] = -0.0F;
    if (!with_specials) return x;
    constexpr float most = std::numeric_limits<float>::max();
    constexpr float infinite = std::numeric_limits<float>::infinity();
    const float specials[] = {1e-40F,
                              -1e-44F,
                              most,
                              -most,
                              infinite,
                              -infinite,
                              std::numeric_limits<float>::quiet_NaN(),
                              65520.0F,
                              464.0F,
                              61440.0F};
    for (std::size_t i = 0; i < std::size(specials); ++i)
        x[200 + 11 * i] = specials[i];
    return x;
}

template <tare::numeric_format F>
std::uint64_t format_hash() {
    hash h;
    const std::vector<float> x = tensor(true);
    std::vector<float> scaled(x.size());
    for (const float scale : {1.0F, 0.0625F, 100.0F}) {
        for (std::size_t i = 0; i < x.size(); ++i)
            scaled[i] = x[i] * scale;
        std::vector<float> y(x.size());
        tare::round_trip<F>(scaled, y);
        std::vector<typename F::code_type> codes(x.size());
        tare::encode<F>(scaled, codes);
        for (std::size_t i = 0; i < x.size(); ++i) {
            h.add(y[i]);
            h.add(x[i] != x[i] ? 0U : static_cast<std::uint32_t>(codes[i]));
        }
    }
    return h.value();
}

template <class Q>
std::uint64_t quantizer_hash(const Q& q) {
    hash h;
    for (const bool with_specials : {false, true}) {
        std::vector<float> x = tensor(with_specials);
        if (with_specials)  // magnitudes that leave other values some codes
            for (float& v : x)
                v = v > 1e30F || v < -1e30F ? v * 1e-35F : v;
        const auto p = q.fit(x);
        std::vector<float> y(x.size());
        q.fake_quantize(x, p, y);
        for (const float v : y)
            h.add(v);
        for (const std::byte b : q.encode(x, p).bytes)
            h.add(std::to_integer<std::uint32_t>(b));
    }
    return h.value();
}

const std::map<std::string, std::uint64_t> expected{
    {"format fp32", 0xF40DB0DFCF42649CU},
    {"format fp16", 0xD214DC313185F870U},
    {"format bf16", 0xF0253AFD9EF2D0F8U},
    {"format fp8_e4m3", 0x85D133599F17D0B2U},
    {"format fp8_e5m2", 0x9C3C2B2B7B1B8065U},
    {"format fp8_e4m3fnuz", 0xD6283199CEC9C170U},
    {"format fp8_e5m2fnuz", 0xCE1A18F832E9594AU},
    {"format fp8_e4m3b11fnuz", 0x5D8C824362C4E351U},
    {"format fp8_e4m3_ieee", 0xF671E65FE4807C6FU},
    {"format fp8_e3m4", 0x7E18FC6E9A414516U},
    {"format fp6_e3m2", 0xA61DBBF5307010AFU},
    {"format fp6_e2m3", 0x214C44E7A4CF689CU},
    {"format fp4_e2m1", 0x57750236AF7FF9FCU},
    {"format e8m0", 0x743C2CF03FD19F9BU},
    {"format posit8", 0xBF3DD3A9EB7C8D34U},
    {"format nf4", 0x3F3C2A59DD9190A2U},
    {"format int16", 0x143C8DE6410C5048U},
    {"format int12", 0x680B258BD4309FA4U},
    {"format int8", 0xC89C8AAC5BB68B8AU},
    {"format int8_full", 0x01A55879B7C8AB02U},
    {"format int6", 0xFCC295F44DC45995U},
    {"format int5", 0x32786C8E3862BAE0U},
    {"format int4", 0x4A7E004F4AF6319EU},
    {"format int4_full", 0x5B39D3FD68EF6570U},
    {"format int3", 0x7085865F44B5080AU},
    {"format int2", 0x6498049C0A28FA9DU},
    {"format ternary", 0x6498049C0A28FA9DU},
    {"format binary", 0xCB62625BEE0B8665U},
    {"linear_symmetric 8", 0x258458977AB0CDD5U},
    {"linear_symmetric 8, per row", 0xE2BA2CD8DB33AF87U},
    {"linear_symmetric 4, per row", 0x49B746C7C5634E40U},
    {"linear_stored 9, per row", 0x84F08078B6089AECU},
    {"linear_full_range 8", 0x2204975CC7A6A2CCU},
    {"linear_affine 8", 0xB2D220E7474F1BA2U},
    {"linear_affine 4, blocks of 32", 0xB408EDD1605031F9U},
    {"activation_linear 8", 0x325B034E5274B44CU},
    {"llm_int8", 0x849EA96DF31DB576U},
    {"smaq 6,8 nearest", 0x9DE936F10B82614CU},
    {"smaq 6,8 stochastic", 0x5030D043A4DE9D02U},
    {"smaq 4,6 nearest", 0xEBFE191DB4020C2DU},
    {"s2fp8", 0x966D01BF6CF1978AU},
    {"mxfp8_e4m3", 0x808DD092068E2413U},
    {"mxfp8_e5m2", 0x0FDE77ADBBA3070FU},
    {"mxfp6_e3m2", 0xBE467B485F92BDB5U},
    {"mxfp6_e2m3", 0xD683026C2AE7C5A2U},
    {"mxfp4", 0xBCFFA86B552DE29FU},
    {"mxint8", 0xBBCF6E0E3D255924U},
    {"nvfp4", 0x670EC83EA691915BU},
    {"nf4, blocks of 64", 0x334FB353CB31D261U},
    {"nf4_nested", 0x65CC2CB2C77E3644U},
    {"q4_0", 0x082E9082C4267408U},
    {"q8_0", 0x6BB16E9BF4700C7EU},
    {"block_float 8, per row", 0x438A02C21DE32F1FU},
    {"ternary_twn, per row", 0x5E58B94B18BFF956U},
    {"ternary_bitnet", 0xA9FCA0CC77FABCCEU},
    {"xnor, per row", 0xECA89282CEF57300U},
    {"product 256", 0xB8FECC27852ACEC1U},
    {"daq 16, 16 buckets", 0xCA5F0039B6486A3FU},
};

void check(const std::string& name, std::uint64_t got, std::size_t& seen) {
    CAPTURE(name);
    const auto found = expected.find(name);
    if (found == expected.end()) {
        FAIL_CHECK("no hash of ", name, "; this build gives ", got);
        return;
    }
    CHECK(got == found->second);
    ++seen;
}

}  // namespace

TEST_CASE("formats and quantizers give the same bits in every build") {
    std::size_t seen = 0;
    tare::formats::for_each_format<tare::formats::builtin>([&]<class F>() {
        check(std::string("format ") + std::string(F::name), format_hash<F>(), seen);
    });
    tare::quantizers::for_each_builtin(
        96, [&](const char* label, const auto& q) { check(label, quantizer_hash(q), seen); });
    CHECK(seen == expected.size());
}
