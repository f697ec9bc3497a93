// SPDX-License-Identifier: MIT
// Attention with memory and relative positions at the size of a published language model (8 heads
// of 24, 96 positions before the own one), forward and backward, and its one-token step. The rate
// counts the products alone: 2 (2 nk + nv) flop per score forward, 2 (4 nk + 2 nv) backward;
// fma_peak beside it says what the machine can do.

#include <vector>

#include <benchmark/benchmark.h>

#include <tare/core/random.hpp>
#include <tare/kernels/attention_step.hpp>
#include <tare/kernels/segment_attention_backward.hpp>

namespace {

using tare::extent;
using namespace tare::kernels;

std::vector<float> normals(extent count, std::uint64_t stream) {
    const tare::random_stream random(1, stream);
    std::vector<float> out(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = random.normal(i);
    return out;
}

struct operands {
    segment_layout layout;
    std::vector<float> qkv, memory, positions, out, probabilities, d_out, d_qkv, d_positions;

    explicit operands(extent tokens) : layout{tokens, 1, 8, 24, 24, 96} {
        const extent width = layout.heads * layout.head_width();
        qkv = normals(tokens * width, 1);
        memory = normals(layout.window * layout.heads * layout.memory_width(), 2);
        positions = normals(layout.key_width * layout.entries(), 3);
        d_out = normals(tokens * layout.heads * layout.value_width, 4);
        out = d_out;
        d_qkv = qkv;
        d_positions = positions;
        probabilities.resize(static_cast<std::size_t>(tokens * layout.heads * layout.entries()));
    }
    [[nodiscard]] segment_inputs<float> inputs() const {
        return {{qkv.data(), layout.tokens, layout.heads * layout.head_width()},
                {memory.data(), layout.window, layout.heads * layout.memory_width()},
                {positions.data(), layout.key_width, layout.entries()}};
    }
    [[nodiscard]] tare::matrix_view<float> outputs(std::vector<float>& v) const {
        return {v.data(), layout.tokens, layout.heads * layout.value_width};
    }
    [[nodiscard]] tare::matrix_view<float> saved() {
        return {probabilities.data(), layout.tokens * layout.heads, layout.entries()};
    }
    [[nodiscard]] double products(extent per_score) const {
        return 2.0 *
               static_cast<double>(layout.tokens * layout.heads * layout.entries() * per_score);
    }
};

void rate(benchmark::State& state, double flop) {
    state.counters["flop/s"] =
        benchmark::Counter(flop, benchmark::Counter::kIsIterationInvariantRate);
}

void forward(benchmark::State& state, bool save) {
    operands x(state.range(0));
    tare::set_threads(static_cast<int>(state.range(1)));
    for (auto _ : state)
        segment_attention_forward(x.layout, x.inputs(), x.outputs(x.out),
                                  save ? x.saved() : tare::matrix_view<float>{});
    tare::set_threads(1);
    rate(state, x.products(2 * x.layout.key_width + x.layout.value_width));
}

void forward_plain(benchmark::State& state) {
    operands x(state.range(0));
    for (auto _ : state)
        segment_attention_forward_plain(x.layout, x.inputs(), x.outputs(x.out));
    rate(state, x.products(2 * x.layout.key_width + x.layout.value_width));
}

void backward(benchmark::State& state) {
    operands x(state.range(0));
    segment_attention_forward(x.layout, x.inputs(), x.outputs(x.out), x.saved());
    const segment_gradients<float> gradients{
        {x.d_qkv.data(), x.layout.tokens, x.layout.heads * x.layout.head_width()},
        {x.d_positions.data(), x.layout.key_width, x.layout.entries()},
        {}};
    tare::set_threads(static_cast<int>(state.range(1)));
    for (auto _ : state)
        segment_attention_backward(x.layout, x.inputs(), x.saved(), x.outputs(x.d_out), gradients);
    tare::set_threads(1);
    rate(state, x.products(4 * x.layout.key_width + 2 * x.layout.value_width));
}

/// What the machine can do at this moment: independent chains of fused multiply-adds in registers.
void fma_peak(benchmark::State& state) {
    constexpr int chains = 12;
    constexpr int rounds = 10'000;
    tare::simd::floats sum[chains];
    for (auto& s : sum)
        s = tare::simd::broadcast(0.5F);
    const tare::simd::floats factor = tare::simd::broadcast(0.999F);
    for (auto _ : state) {
        for (int i = 0; i < rounds; ++i)
            for (auto& s : sum)
                s = tare::simd::fma(s, factor, factor);
        for (auto& s : sum)
            benchmark::DoNotOptimize(s);
    }
    rate(state, 2.0 * chains * rounds * static_cast<double>(tare::simd::lanes));
}

void step(benchmark::State& state) {
    operands x(1024);
    const position_table table(x.inputs().positions);
    attention_cache cache(x.layout);
    cache.assign(x.inputs().memory);
    extent t = 0;
    for (auto _ : state) {
        attention_step(cache, table, x.inputs().qkv.rows_between(t, t + 1),
                       x.outputs(x.out).rows_between(t, t + 1));
        t = (t + 1) % x.layout.tokens;
    }
    rate(state, x.products(2 * x.layout.key_width + x.layout.value_width) /
                    static_cast<double>(x.layout.tokens));
}

BENCHMARK_CAPTURE(forward, segment, false)
    ->Name("segment_attention/fp32/forward")
    ->ArgsProduct({{1152, 4032}, {1, 4}})
    ->ArgNames({"tokens", "threads"})
    ->UseRealTime();
BENCHMARK_CAPTURE(forward, saving, true)
    ->Name("segment_attention/fp32/forward_saving")
    ->ArgsProduct({{1152, 4032}, {1}})
    ->ArgNames({"tokens", "threads"})
    ->UseRealTime();
BENCHMARK(forward_plain)
    ->Name("segment_attention/plain/forward")
    ->Arg(1152)
    ->ArgName("tokens")
    ->UseRealTime();
BENCHMARK(backward)
    ->Name("segment_attention/fp32/backward")
    ->ArgsProduct({{1152, 4032}, {1, 4}})
    ->ArgNames({"tokens", "threads"})
    ->UseRealTime();

BENCHMARK(fma_peak)->Name("fma_peak/fp32");
BENCHMARK(step)->Name("attention_step/fp32/97x24x8");

}  // namespace
