// SPDX-License-Identifier: MIT
// Float-to-float round trips, statistics and encoding of quantizers on 64 MiB of normal values,
// beside a copy of the same tensor. Bytes are those of the input.
#include <tare/quantize/linear.hpp>
#include <tare/quantize/mx.hpp>
#include <tare/quantize/s2fp8.hpp>
#include <tare/quantize/smaq.hpp>

#include "peak.hpp"

namespace {

constexpr tare::extent elements = tare::extent{1} << 24;  // 64 MiB

const tare::aligned_vector<float>& input() {
    static const tare::aligned_vector<float> x = [] {
        tare::aligned_vector<float> v(static_cast<std::size_t>(elements));
        const tare::random_stream random(1, 0);
        for (std::size_t i = 0; i < v.size(); ++i)
            v[i] = i < 65536 ? random.normal(i) * 0.03F : v[i - 65536];
        return v;
    }();
    return x;
}
tare::aligned_vector<float>& output() {
    static tare::aligned_vector<float> y(input().size());
    return y;
}

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
            [q] { return [q] { q.fake_quantize(input(), q.fit(input()), output()); }; });
        add("quantizer_fit", [q] { return [q] { benchmark::DoNotOptimize(q.fit(input())); }; });
        add("quantizer_encode", [q] {
            return [q, p = q.fit(input())] { benchmark::DoNotOptimize(q.encode(input(), p)); };
        });
    }
}

const bool registered = [] {
    all("int8", tare::linear_quantizer<>(8));
    all("int8_rows", tare::linear_quantizer<tare::symmetric_levels, tare::per_row>(8, {1024}));
    all("int4_blocks", tare::linear_quantizer<tare::symmetric_levels, tare::per_block<32>>(4));
    all("smaq_nearest", tare::smaq<>());
    all("smaq_stochastic", tare::smaq<tare::smaq_encodable, tare::smaq_stochastic>());
    all("s2fp8", tare::s2fp8());
    all("mxfp4", tare::mxfp4<>());
    return true;
}();

}  // namespace
