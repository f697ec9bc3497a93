// SPDX-License-Identifier: MIT
// Float-to-float round trips, statistics and encoding of quantizers on 64 MiB of normal values,
// beside a copy of the same tensor. Bytes are those of the input.
#include <tare/formats/minifloat.hpp>
#include <tare/quantize/builtin.hpp>
#include <tare/quantize/fit_and_quantize.hpp>

#include "peak.hpp"

namespace {

constexpr tare::extent elements = tare::extent{1} << 24;  // 64 MiB

const bench::pooled<float>& input() {
    static const bench::pooled<float> x = [] {
        bench::pooled<float> v(static_cast<std::size_t>(elements));
        const tare::random_stream random(1, 0);
        for (std::size_t i = 0; i < v.size(); ++i)
            v[i] = i < 65536 ? random.normal(i) * 0.03F : v[i - 65536];
        return v;
    }();
    return x;
}
bench::pooled<float>& output() {
    static bench::pooled<float> y(input().size());
    return y;
}

/// Fields of one number format of our own making, as a user would add it.
struct fp6_e4m1 : tare::minifloat<4, 1, 7, tare::specials::none> {
    static constexpr std::string_view name = "fp6_e4m1";
};

template <class Q>
void all(const std::string& name, Q q) {
    constexpr double count = elements;
    for (const int threads : bench::thread_counts()) {
        const auto one = [&](const std::string& kernel, const std::string& who, auto prepare) {
            bench::add(kernel, who, name, threads, count, 4 * count, prepare);
        };
        const auto add = [&](const std::string& kernel, auto prepare) {
            one(kernel, "tare", prepare);
            one(kernel, "copy_peak",
                [] { return [] { bench::copy_peak(input().data(), output().data(), elements); }; });
        };
        // The range or scale is known: what a quantization point of a stored model does.
        add("fake_quantize",
            [q] { return [q, p = q.fit(input())] { q.fake_quantize(input(), p, output()); }; });
        // Statistics and round trip: what training does with every tensor.
        add("fit_and_quantize",
            [q] { return [q] { tare::fit_and_quantize(q, input(), output()); }; });
        add("quantizer_fit", [q] { return [q] { benchmark::DoNotOptimize(q.fit(input())); }; });
        add("quantizer_encode", [q] {
            return [q, p = q.fit(input())] { benchmark::DoNotOptimize(q.encode(input(), p)); };
        });
        // Statistics and packing: what saving a model does.
        add("fit_and_encode",
            [q] { return [q] { benchmark::DoNotOptimize(q.encode(input(), q.fit(input()))); }; });
        add("quantizer_decode", [q] {
            return [q, packed = q.encode(input(), q.fit(input()))] { q.decode(packed, output()); };
        });
    }
}

const bool registered = [] {
    using namespace tare;
    constexpr extent columns = 1024;
    all("int8", linear_quantizer<>(8));
    all("int8_rows", linear_quantizer<symmetric_levels, per_row>(8, {columns}));
    all("int4_blocks", linear_quantizer<symmetric_levels, per_block<32>>(4));
    all("affine4_blocks", linear_quantizer<affine_range, per_block<32>>(4));
    all("smaq_nearest", smaq<>());
    all("smaq_stochastic", smaq<smaq_encodable, smaq_stochastic>());
    all("s2fp8", s2fp8());
    all("mxfp8_e4m3", mxfp8_e4m3<>(columns));
    all("mxfp8_e5m2", mxfp8_e5m2<>(columns));
    all("mxfp6_e3m2", mxfp6_e3m2<>(columns));
    all("mxfp6_e2m3", mxfp6_e2m3<>(columns));
    all("mxfp4", mxfp4<>(columns));
    all("mxint8", mxint8<>(columns));
    all("mx_own", mx<fp6_e4m1>(columns));
    all("nvfp4", nvfp4(columns));
    all("nf4", nf4_blocks());
    all("nf4_nested", nf4_nested());
    all("q4_0", q4_0(columns));
    all("q8_0", q8_0(columns));
    all("block_float", block_float<per_block<32>>(8));
    all("block_float_rows", block_float<per_row>(8, {columns}));
    return true;
}();

}  // namespace
