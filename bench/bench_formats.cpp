// Conversions of a 64 MiB tensor beside the copy bandwidth of the same run (against_copy.hpp).
// Figures are bytes of float32 per second (input of encode and round trip, output of decode).
// Names: what/format/threads.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <tare/core/aligned.hpp>
#include <tare/core/random.hpp>
#include <tare/formats/builtin.hpp>
#include <tare/formats/convert.hpp>
#include <tare/formats/historical.hpp>

#include "against_copy.hpp"

namespace {

constexpr std::size_t elements = std::size_t{16} << 20;

struct buffers {
    tare::aligned_vector<float> x = tare::aligned_vector<float>(elements);
    tare::aligned_vector<float> y = tare::aligned_vector<float>(elements);
    tare::aligned_vector<std::uint32_t> codes = tare::aligned_vector<std::uint32_t>(elements);

    buffers() {
        // 64 Ki normal numbers over and over: making 16 Mi of them would take longer than the
        // bench.
        const tare::random_stream random(1, 0);
        for (std::size_t i = 0; i < elements; ++i)
            x[i] = i < 65536 ? random.normal(i) : x[i - 65536];
    }
};

buffers& shared() {
    static buffers b;
    return b;
}

/// Times `convert` and a copy in turns.
template <class Convert>
void against_copy(benchmark::State& state, const Convert& convert) {
    buffers& b = shared();
    bench::against_copy(state, b.x, b.y, [&] { convert(b); });
}

void add(const std::string& name, auto&& run) {
    benchmark::RegisterBenchmark(name.c_str(), run)
        ->ArgsProduct({{1, 2, 4}})
        ->ArgName("threads")
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond)
        ->MinTime(0.1);
}

template <class F>
void add_format() {
    const std::string name(F::name);
    using code_type = typename F::code_type;
    const auto codes = [](buffers& b) {
        return std::span(reinterpret_cast<code_type*>(b.codes.data()), elements);
    };
    add("round_trip/" + name, [](benchmark::State& state) {
        against_copy(state, [](buffers& b) { tare::round_trip<F>(b.x, b.y); });
    });
    add("encode/" + name, [codes](benchmark::State& state) {
        against_copy(state, [&](buffers& b) { tare::encode<F>(b.x, codes(b)); });
    });
    add("decode/" + name, [codes](benchmark::State& state) {
        tare::encode<F>(shared().x, codes(shared()));
        against_copy(state, [&](buffers& b) { tare::decode<F>(codes(b), b.y); });
    });
}

template <class F>
void add_stochastic() {
    const tare::random_stream draws(3, 1);
    add("round_trip/" + std::string(F::name), [draws](benchmark::State& state) {
        against_copy(state, [&](buffers& b) { tare::round_trip<F>(b.x, b.y, draws); });
    });
}

const bool registered = [] {
    tare::formats::for_each_format<tare::formats::builtin>([]<class F>() { add_format<F>(); });
    add_stochastic<tare::fp16::with_rounding<tare::stochastic>>();
    add_stochastic<tare::bf16::with_rounding<tare::stochastic>>();
    add_stochastic<tare::fp8_e4m3::with_rounding<tare::stochastic>>();
    add_stochastic<tare::fp8_e5m2::with_rounding<tare::stochastic>>();
    add_stochastic<tare::fp4_e2m1::with_rounding<tare::stochastic>>();
    add_stochastic<tare::int_n<8>::with_rounding<tare::stochastic>>();
    add_stochastic<tare::historical::fp8>();
    return true;
}();

}  // namespace
