// SPDX-License-Identifier: MIT
// Float-to-float round trips, statistics and encoding of quantizers on 64 MiB of normal values
// beside the copy bandwidth of the same run (against_copy.hpp). Figures are bytes of input per
// second. A pass of statistics reads the tensor once more: where a copy is limited by the bytes
// that it moves, statistics and round trip together cannot exceed two thirds of it, unless they
// write past the caches, which a copy of this size may or may not do. Names:
// what/quantizer/threads.

#include <string>

#include <benchmark/benchmark.h>

#include <tare/core/aligned.hpp>
#include <tare/core/random.hpp>
#include <tare/quantize/linear.hpp>
#include <tare/quantize/mx.hpp>
#include <tare/quantize/s2fp8.hpp>
#include <tare/quantize/smaq.hpp>

#include "against_copy.hpp"

namespace {

constexpr std::size_t elements = std::size_t{1} << 24;  // 64 MiB

const tare::aligned_vector<float>& input() {
    static const tare::aligned_vector<float> x = [] {
        tare::aligned_vector<float> v(elements);
        const tare::random_stream random(1, 0);
        // A million of them over and over: making them all would take longer than the bench.
        constexpr std::size_t period = std::size_t{1} << 20;
        for (std::size_t i = 0; i < elements; ++i)
            v[i] = i < period ? 0.03F * random.normal(i) : v[i - period];
        return v;
    }();
    return x;
}
tare::aligned_vector<float>& output() {
    static tare::aligned_vector<float> y(elements);
    return y;
}

template <class Body>
void measure(benchmark::State& state, const Body& body) {
    bench::against_copy(state, input(), output(), body);
}

// The range or scale is known: what a quantization point of a stored model does.
template <class Q>
void fixed(benchmark::State& state, Q q) {
    const auto p = q.fit(input());
    measure(state, [&] { q.fake_quantize(input(), p, output()); });
}
// Statistics and round trip: what training does with every tensor.
template <class Q>
void fitted(benchmark::State& state, Q q) {
    measure(state, [&] { q.fake_quantize(input(), q.fit(input()), output()); });
}
template <class Q>
void statistics(benchmark::State& state, Q q) {
    measure(state, [&] { benchmark::DoNotOptimize(q.fit(input())); });
}
template <class Q>
void encode(benchmark::State& state, Q q) {
    const auto p = q.fit(input());
    measure(state, [&] { benchmark::DoNotOptimize(q.encode(input(), p)); });
}

template <class Q>
void all(const char* name, Q q) {
    const auto add = [&](const char* what, auto run) {
        benchmark::RegisterBenchmark((std::string(what) + "/" + name).c_str(), run, q)
            ->ArgsProduct({{1, 2, 4}})
            ->ArgName("threads")
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond)
            ->MinTime(0.1);
    };
    add("fixed", [](benchmark::State& s, Q quantizer) { fixed(s, quantizer); });
    add("fitted", [](benchmark::State& s, Q quantizer) { fitted(s, quantizer); });
    add("statistics", [](benchmark::State& s, Q quantizer) { statistics(s, quantizer); });
    add("encode", [](benchmark::State& s, Q quantizer) { encode(s, quantizer); });
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
