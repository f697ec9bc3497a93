// SPDX-License-Identifier: MIT
// Products of narrow codes with prepared weights, in Gop/s (2 M K N a product). Names are
// kernel/M/K/N/threads. Peers: oneDNN with the layout of the weights left to the library.
#include <benchmark/benchmark.h>

#include <tare/core/random.hpp>
#include <tare/kernels/integer_product.hpp>
#include <tare/kernels/packed_product.hpp>
#include <tare/kernels/prepared_matrix.hpp>

#ifdef TARE_BENCH_PEERS
#include <unordered_map>

#include <dnnl.hpp>
#include <omp.h>
#endif

namespace {

using tare::extent;
using tare::matrix_view;

template <class T>
tare::aligned_vector<T> codes(extent count, std::int32_t low, std::int32_t high,
                              std::uint64_t seed) {
    const tare::random_stream draw(seed, 0);
    tare::aligned_vector<T> out(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<T>(low + static_cast<std::int32_t>(draw.below(
                                          i, static_cast<std::uint32_t>(high - low + 1))));
    return out;
}

struct product_size {
    extent m, k, n;
    int threads;

    explicit product_size(const benchmark::State& state)
        : m(state.range(0)),
          k(state.range(1)),
          n(state.range(2)),
          threads(static_cast<int>(state.range(3))) {}
    void report(benchmark::State& state, double weight_bytes) const {
        const auto products = static_cast<double>(state.iterations());
        state.counters["ops/s"] = benchmark::Counter(products * 2 * static_cast<double>(m * k * n),
                                                     benchmark::Counter::kIsRate);
        state.counters["weight B/s"] =
            benchmark::Counter(products * weight_bytes, benchmark::Counter::kIsRate);
    }
};

template <class Activation>
void integers(benchmark::State& state, std::int32_t low, std::int32_t high) {
    const product_size size(state);
    tare::set_threads(size.threads);
    using weight = typename tare::kernels::integer_weights<Activation>::code_type;
    const auto x = codes<Activation>(size.m * size.k, low, high, 1);
    const auto w = codes<weight>(size.n * size.k, -high / 2, high / 2, 2);
    const tare::kernels::integer_weights<Activation> packed(
        matrix_view<const weight>(w.data(), size.n, size.k));
    tare::aligned_vector<std::int32_t> y(static_cast<std::size_t>(size.m * size.n));
    for (auto _ : state) {
        tare::kernels::integer_product({x.data(), size.m, size.k}, packed,
                                       matrix_view<std::int32_t>(y.data(), size.m, size.n));
        benchmark::ClobberMemory();
    }
    tare::set_threads(1);
    size.report(state, static_cast<double>(packed.bytes()));
}
void u8s8(benchmark::State& state) {
    integers<std::uint8_t>(state, 0, 255);
}
void s8s8(benchmark::State& state) {
    integers<std::int8_t>(state, -127, 127);
}
void s16s16(benchmark::State& state) {
    integers<std::int16_t>(state, -255, 255);
}

template <class Activation>
void packed(benchmark::State& state, int bits, std::int32_t high) {
    const product_size size(state);
    tare::set_threads(size.threads);
    const std::int32_t most = (1 << (bits - 1)) - 1;
    const auto x = codes<Activation>(size.m * size.k, -high, high, 1);
    const auto w = codes<std::int16_t>(size.n * size.k, -most, most, 2);
    const tare::kernels::packed_weights weights(
        matrix_view<const std::int16_t>(w.data(), size.n, size.k), bits);
    tare::aligned_vector<std::int32_t> y(static_cast<std::size_t>(size.m * size.n));
    for (auto _ : state) {
        tare::kernels::packed_product(matrix_view<const Activation>(x.data(), size.m, size.k),
                                      weights, matrix_view<std::int32_t>(y.data(), size.m, size.n));
        benchmark::ClobberMemory();
    }
    tare::set_threads(1);
    size.report(state, static_cast<double>(weights.bytes()));
}
void packed_4_bit(benchmark::State& state) {
    packed<std::int8_t>(state, 4, 127);
}
void packed_8_bit(benchmark::State& state) {
    packed<std::int8_t>(state, 8, 127);
}
void packed_9_bit(benchmark::State& state) {
    packed<std::int16_t>(state, 9, 255);
}
void packed_10_bit(benchmark::State& state) {
    packed<std::int16_t>(state, 10, 511);
}

/// The dense product that the packed ones are measured against.
void dense_fp32(benchmark::State& state) {
    const product_size size(state);
    tare::set_threads(size.threads);
    const auto x = codes<float>(size.m * size.k, -9, 9, 1);
    const auto w = codes<float>(size.n * size.k, -9, 9, 2);
    const tare::kernels::prepared_matrix weights({w.data(), size.n, size.k}, true);
    tare::aligned_vector<float> y(static_cast<std::size_t>(size.m * size.n));
    for (auto _ : state) {
        tare::kernels::matmul({x.data(), size.m, size.k}, weights, {y.data(), size.m, size.n});
        benchmark::ClobberMemory();
    }
    tare::set_threads(1);
    size.report(state, static_cast<double>(4 * size.n * size.k));
}

#ifdef TARE_BENCH_PEERS
void onednn(benchmark::State& state, dnnl::memory::data_type left, dnnl::memory::data_type right,
            dnnl::memory::data_type out) {
    using dnnl::memory;
    using tag = memory::format_tag;
    const product_size size(state);
    omp_set_num_threads(size.threads);
    const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    const memory::desc xd({size.m, size.k}, left, tag::ab);
    const memory::desc wd({size.k, size.n}, right, tag::any);
    const memory::desc yd({size.m, size.n}, out, tag::ab);
    const dnnl::matmul::primitive_desc plan(dnnl::matmul::desc(xd, wd, yd), engine);
    const memory::data_type wide = memory::data_type::f32;
    auto xf = codes<float>(size.m * size.k, 0, 127, 1);
    auto wf = codes<float>(size.n * size.k, -63, 63, 2);
    memory x(xd, engine);
    memory w(plan.weights_desc(), engine);
    memory y(yd, engine);
    memory x_from({{size.m, size.k}, wide, tag::ab}, engine, xf.data());
    memory w_from({{size.k, size.n}, wide, tag::ba}, engine, wf.data());
    dnnl::reorder(x_from, x).execute(stream, x_from, x);
    dnnl::reorder(w_from, w).execute(stream, w_from, w);
    stream.wait();
    const dnnl::matmul product(plan);
    const std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}};
    for (auto _ : state) {
        product.execute(stream, arguments);
        stream.wait();
    }
    size.report(state, static_cast<double>(plan.weights_desc().get_size()));
}
void onednn_u8s8(benchmark::State& state) {
    using type = dnnl::memory::data_type;
    onednn(state, type::u8, type::s8, type::s32);
}
void onednn_s8s8(benchmark::State& state) {
    using type = dnnl::memory::data_type;
    onednn(state, type::s8, type::s8, type::s32);
}
#endif

/// Several rows and one row, inside and outside the second-level cache, one thread and four.
void several_rows(benchmark::internal::Benchmark* b) {
    for (const extent m : {8, 96, 1152})
        for (const auto& [k, n] : {std::pair{256, 576}, {512, 2048}, {1024, 1024}})
            b->Args({m, k, n, 1});
    b->Args({96, 256, 3502, 1})->Args({96, 64, 21500, 1});
    b->Args({96, 512, 2048, 4})->Args({1152, 1024, 1024, 4});
    b->UseRealTime();
}
void one_row(benchmark::internal::Benchmark* b) {
    for (const auto& [k, n] :
         {std::pair{256, 576}, {512, 2048}, {1024, 1024}, {2048, 4096}, {2048, 16384}})
        b->Args({1, k, n, 1});
    b->Args({1, 2048, 4096, 4});
    b->UseRealTime();
}

}  // namespace

BENCHMARK(u8s8)->Apply(several_rows)->Apply(one_row);
BENCHMARK(s8s8)->Apply(several_rows)->Apply(one_row);
#ifdef TARE_BENCH_PEERS
BENCHMARK(onednn_u8s8)->Apply(several_rows)->Apply(one_row);
BENCHMARK(onednn_s8s8)->Apply(several_rows)->Apply(one_row);
#endif
BENCHMARK(s16s16)->Apply(several_rows)->Apply(one_row);
BENCHMARK(dense_fp32)->Apply(one_row);
BENCHMARK(packed_4_bit)->Apply(one_row);
BENCHMARK(packed_8_bit)->Apply(one_row);
BENCHMARK(packed_9_bit)->Apply(one_row);
BENCHMARK(packed_10_bit)->Apply(one_row);
