// SPDX-License-Identifier: MIT
// Products with pruned fp32 weights beside the dense ones, in nominal Gop/s (2 M K N a product,
// zeros counted). Names are kernel/M/K/N/per cent of zeros/threads. Dense products ignore the
// zeros.
#include <benchmark/benchmark.h>

#include <tare/core/random.hpp>
#include <tare/kernels/bf16_product.hpp>
#include <tare/kernels/index_product.hpp>
#include <tare/kernels/prepared_matrix.hpp>
#include <tare/kernels/sparse_product.hpp>

#ifdef TARE_BENCH_PEERS
#include <unordered_map>

#include <dnnl.hpp>
#include <omp.h>
#endif

namespace {

using tare::extent;
using tare::matrix_view;
using floats = tare::aligned_vector<float>;

floats numbers(extent count, std::uint64_t seed, float zeros) {
    const tare::random_stream draw(seed, 0);
    const tare::random_stream keep(seed, 1);
    floats out(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = keep.uniform(i) < zeros ? 0.0F : draw.uniform(i) - 0.5F;
    return out;
}

/// Operands of one product; sets the thread count while it lives.
struct product {
    extent m, k, n;
    floats x, w, y;

    explicit product(const benchmark::State& state)
        : m(state.range(0)),
          k(state.range(1)),
          n(state.range(2)),
          x(numbers(m * k, 1, 0.0F)),
          w(numbers(n * k, 2, static_cast<float>(state.range(3)) / 100.0F)),
          y(static_cast<std::size_t>(m * n)) {
        tare::set_threads(static_cast<int>(state.range(4)));
    }
    ~product() { tare::set_threads(1); }
    product(const product&) = delete;
    product& operator=(const product&) = delete;

    [[nodiscard]] matrix_view<const float> left() const { return {x.data(), m, k}; }
    [[nodiscard]] matrix_view<const float> weights() const { return {w.data(), n, k}; }
    [[nodiscard]] matrix_view<float> out() { return {y.data(), m, n}; }

    template <class Run>
    void time(benchmark::State& state, const Run& run) const {
        for (auto _ : state) {
            run();
            benchmark::ClobberMemory();
        }
        state.counters["ops/s"] = benchmark::Counter(static_cast<double>(state.iterations()) * 2 *
                                                         static_cast<double>(m * k * n),
                                                     benchmark::Counter::kIsRate);
    }
};

void dense(benchmark::State& state) {
    product p(state);
    const tare::kernels::prepared_matrix w(p.weights(), true);
    p.time(state, [&] { tare::kernels::matmul(p.left(), w, p.out()); });
}
void bitmask(benchmark::State& state) {
    product p(state);
    const tare::kernels::bitmask_weights w(p.weights());
    p.time(state, [&] { tare::kernels::sparse_product(p.left(), w, p.out()); });
}
/// Blocks of 32 outputs by 16 inputs, dropped whole.
void blocks(benchmark::State& state) {
    product p(state);
    const auto keep = numbers(p.n * p.k, 3, static_cast<float>(state.range(3)) / 100.0F);
    for (extent n = 0; n < p.n; ++n)
        for (extent k = 0; k < p.k; ++k)
            p.w[static_cast<std::size_t>(n * p.k + k)] =
                keep[static_cast<std::size_t>(n / 32 * p.k + k / 16)];
    const tare::kernels::block_weights w(p.weights(), 16);
    p.time(state, [&] { tare::kernels::sparse_product(p.left(), w, p.out()); });
}
/// Activations and outputs stored input by input.
void index_lists(benchmark::State& state) {
    product p(state);
    const tare::kernels::index_weights w(p.weights());
    p.time(state, [&] {
        tare::kernels::index_product({p.x.data(), p.k, p.m}, w, {p.y.data(), p.n, p.m});
    });
}
void bf16(benchmark::State& state) {
    product p(state);
    const tare::aligned_vector<std::uint16_t> x(p.x.size(), 0x3F80);
    const tare::aligned_vector<std::uint16_t> w(p.w.size(), 0x3F80);
    const tare::kernels::bf16_weights packed({w.data(), p.n, p.k});
    p.time(state, [&] { tare::kernels::bf16_product({x.data(), p.m, p.k}, packed, p.out()); });
}

#ifdef TARE_BENCH_PEERS
void onednn(benchmark::State& state, dnnl::memory::data_type type) {
    using dnnl::memory;
    using tag = memory::format_tag;
    product p(state);
    omp_set_num_threads(static_cast<int>(state.range(4)));
    const memory::data_type wide = memory::data_type::f32;
    const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    const memory::desc xd({p.m, p.k}, type, tag::ab);
    const memory::desc wd({p.k, p.n}, type, tag::any);
    const memory::desc yd({p.m, p.n}, wide, tag::ab);
    const dnnl::matmul::primitive_desc plan(dnnl::matmul::desc(xd, wd, yd), engine);
    memory x(xd, engine);
    memory w(plan.weights_desc(), engine);
    memory y(yd, engine);
    memory x_from({{p.m, p.k}, wide, tag::ab}, engine, p.x.data());
    memory w_from({{p.k, p.n}, wide, tag::ba}, engine, p.w.data());
    dnnl::reorder(x_from, x).execute(stream, x_from, x);
    dnnl::reorder(w_from, w).execute(stream, w_from, w);
    stream.wait();
    const dnnl::matmul run(plan);
    const std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}};
    p.time(state, [&] {
        run.execute(stream, arguments);
        stream.wait();
    });
}
void onednn_dense(benchmark::State& state) {
    onednn(state, dnnl::memory::data_type::f32);
}
void onednn_bf16(benchmark::State& state) {
    onednn(state, dnnl::memory::data_type::bf16);
}
#endif

void pruned(benchmark::internal::Benchmark* b) {
    for (const extent m : {1, 8, 96, 512})
        for (const auto& [k, n] : {std::pair{256, 768}, {1024, 1024}})
            for (const extent zeros : {35, 70, 90})
                b->Args({m, k, n, zeros, 1});
    b->UseRealTime();
}
void full(benchmark::internal::Benchmark* b) {
    for (const extent m : {1, 8, 96, 512})
        for (const auto& [k, n] : {std::pair{256, 768}, {1024, 1024}})
            b->Args({m, k, n, 0, 1});
    b->UseRealTime();
}

}  // namespace

BENCHMARK(dense)->Apply(full);
#ifdef TARE_BENCH_PEERS
BENCHMARK(onednn_dense)->Apply(full);
#endif
BENCHMARK(bitmask)->Apply(pruned);
BENCHMARK(blocks)->Apply(pruned);
BENCHMARK(index_lists)->Apply(pruned);
BENCHMARK(bf16)->Apply(full);
#ifdef TARE_BENCH_PEERS
BENCHMARK(onednn_bf16)->Apply(full);
#endif
