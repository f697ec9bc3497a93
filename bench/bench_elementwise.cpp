// SPDX-License-Identifier: MIT
// Element-wise kernels, reductions and dropout, in the second cache (65536 values) and in memory
// (2^24 values), beside a copy, the plain loops and, with TARE_BENCH_PEERS, Eigen and oneDNN.
// Names are kernel/who/values/threads. Bytes are those of inputs and outputs, 4 a value.
// Interleave: --benchmark_enable_random_interleaving=true --benchmark_repetitions=5
#include <cmath>
#include <memory>
#include <string>

#include <tare/kernels/activation.hpp>
#include <tare/kernels/dropout.hpp>
#include <tare/kernels/elementwise.hpp>
#include <tare/kernels/exponential.hpp>
#include <tare/kernels/reduce.hpp>

#include "peak.hpp"

#ifdef TARE_BENCH_PEERS
#include <Eigen/Core>
#include <dnnl.hpp>
#include <unsupported/Eigen/SpecialFunctions>
#endif

namespace {

using tare::extent;
namespace kernels = tare::kernels;
using in_span = std::span<const float>;
using out_span = std::span<float>;

constexpr extent small = 65536;
constexpr extent big = extent{1} << 24;

/// Registers f(x, y) for both sizes; `bytes` of memory traffic a value.
template <class F>
void add(const std::string& name, const std::string& who, int bytes, F f, int threads = 1) {
    for (const extent n : {small, big}) {
        const auto count = static_cast<double>(n);
        bench::add(name, who, std::to_string(n), threads, count, count * bytes, [=] {
            auto x = std::make_shared<tare::aligned_vector<float>>(bench::values(n, 1, -3, 3));
            auto y = std::make_shared<tare::aligned_vector<float>>(static_cast<std::size_t>(n));
            return [=] { f(in_span(*x), out_span(*y)); };
        });
    }
}

/// Ours on each number of threads, and the limit: plain stores for what writes, reading otherwise.
template <class F>
void ours(const std::string& name, int bytes, F f) {
    for (const int threads : bench::thread_counts()) {
        add(name, "tare", bytes, f, threads);
        if (bytes == 8)
            add(
                name, "copy_peak", bytes,
                [](in_span x, out_span y) {
                    bench::copy_peak(x.data(), y.data(), static_cast<extent>(x.size()));
                },
                threads);
        if (bytes == 4)
            add(
                name, "read_peak", bytes,
                [](in_span x, out_span) {
                    bench::read_peak(x.data(), static_cast<extent>(x.size()));
                },
                threads);
    }
}

bool register_ours() {
    ours("relu", 8, [](in_span x, out_span y) { kernels::activate<kernels::relu>(x, y); });
    ours("exp", 8, [](in_span x, out_span y) { kernels::exp(x, y); });
    ours("log", 8, [](in_span x, out_span y) { kernels::log(x, y); });
    ours("tanh", 8, [](in_span x, out_span y) { kernels::tanh(x, y); });
    ours("sigmoid", 8, [](in_span x, out_span y) { kernels::sigmoid(x, y); });
    ours("gelu", 8, [](in_span x, out_span y) { kernels::activate<kernels::gelu>(x, y); });
    ours("gelu_tanh", 8,
         [](in_span x, out_span y) { kernels::activate<kernels::gelu_tanh>(x, y); });
    ours("swish", 8, [](in_span x, out_span y) { kernels::activate<kernels::swish>(x, y); });
    ours("add", 12, [](in_span x, out_span y) { kernels::add(x, y, y); });
    ours("dropout", 8,
         [](in_span x, out_span y) { kernels::dropout(x, 0.1F, tare::random_stream(1, 2), y); });
    ours("sum", 4, [](in_span x, out_span) { benchmark::DoNotOptimize(kernels::sum(x)); });
    ours("abs_max", 4, [](in_span x, out_span) { benchmark::DoNotOptimize(kernels::abs_max(x)); });
    ours("min_max", 4, [](in_span x, out_span) { benchmark::DoNotOptimize(kernels::min_max(x)); });
    ours("arg_max", 4, [](in_span x, out_span) { benchmark::DoNotOptimize(kernels::arg_max(x)); });
    ours("mean_and_variance", 4,
         [](in_span x, out_span) { benchmark::DoNotOptimize(kernels::mean_and_variance(x)); });
    add("exp", "plain", 8, [](in_span x, out_span y) { kernels::plain::exp(x, y); });
    add("tanh", "plain", 8, [](in_span x, out_span y) { kernels::plain::tanh(x, y); });
    add("sum", "plain", 4,
        [](in_span x, out_span) { benchmark::DoNotOptimize(kernels::plain::sum(x)); });
    return true;
}
const bool ours_registered = register_ours();

#ifdef TARE_BENCH_PEERS
bool register_eigen() {
    using array = Eigen::Array<float, Eigen::Dynamic, 1>;
    using in_map = Eigen::Map<const array>;
    using out_map = Eigen::Map<array>;
    const auto unary = [](const std::string& name, auto f) {
        add(name, "eigen", 8, [f](in_span x, out_span y) {
            const auto n = static_cast<Eigen::Index>(x.size());
            f(in_map(x.data(), n), out_map(y.data(), n));
        });
    };
    const auto reduce = [](const std::string& name, auto f) {
        add(name, "eigen", 4, [f](in_span x, out_span) {
            benchmark::DoNotOptimize(f(in_map(x.data(), static_cast<Eigen::Index>(x.size()))));
        });
    };
    unary("relu", [](auto x, auto y) { y = x.max(0.F); });
    unary("exp", [](auto x, auto y) { y = x.exp(); });
    unary("log", [](auto x, auto y) { y = x.log(); });
    unary("tanh", [](auto x, auto y) { y = x.tanh(); });
    unary("sigmoid", [](auto x, auto y) { y = 1.F / (1.F + (-x).exp()); });
    unary("gelu", [](auto x, auto y) { y = 0.5F * x * (1.F + (x * 0.70710678F).erf()); });
    unary("gelu_tanh", [](auto x, auto y) {
        y = 0.5F * x * (1.F + (0.79788456F * (x + 0.044715F * x * x * x)).tanh());
    });
    reduce("sum", [](const auto& x) { return x.sum(); });
    reduce("abs_max", [](const auto& x) { return x.abs().maxCoeff(); });
    reduce("min_max", [](const auto& x) { return x.maxCoeff() - x.minCoeff(); });
    reduce("mean_and_variance", [](const auto& x) {
        const float mean = x.mean();
        return mean + (x - mean).square().mean();
    });
    return true;
}
const bool eigen_registered = register_eigen();

bool register_onednn() {
    using namespace dnnl;
    const auto unary = [](const std::string& name, algorithm kind) {
        add(name, "onednn", 8, [kind](in_span x, out_span y) {
            static engine eng(engine::kind::cpu, 0);
            static stream queue(eng);
            static algorithm last = algorithm::undef;
            static std::size_t size = 0;
            static eltwise_forward op;
            static memory::desc form;
            if (last != kind || size != x.size()) {
                last = kind;
                size = x.size();
                form = memory::desc({static_cast<memory::dim>(size)}, memory::data_type::f32,
                                    memory::format_tag::a);
                op = eltwise_forward(eltwise_forward::primitive_desc(
                    {prop_kind::forward_inference, kind, form, 0.F, 0.F}, eng));
            }
            memory from(form, eng, const_cast<float*>(x.data()));
            memory to(form, eng, y.data());
            op.execute(queue, {{DNNL_ARG_SRC, from}, {DNNL_ARG_DST, to}});
            queue.wait();
        });
    };
    unary("relu", algorithm::eltwise_relu);
    unary("exp", algorithm::eltwise_exp);
    unary("tanh", algorithm::eltwise_tanh);
    unary("sigmoid", algorithm::eltwise_logistic);
    unary("gelu", algorithm::eltwise_gelu_erf);
    unary("gelu_tanh", algorithm::eltwise_gelu_tanh);
    return true;
}
const bool onednn_registered = register_onednn();
#endif

}  // namespace
