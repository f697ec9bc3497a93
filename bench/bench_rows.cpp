// SPDX-License-Identifier: MIT
// Kernels along rows: softmax, log-softmax, layer norm, picked log-softmax, top-k, k-means
// assignment, transpose and gather, beside the plain loops and, with TARE_BENCH_PEERS, Eigen and
// oneDNN. Names are kernel/who/rows x columns/threads. Bytes are those of inputs and outputs.
// Interleave: --benchmark_enable_random_interleaving=true --benchmark_repetitions=5
#include <cmath>
#include <memory>
#include <string>

#include <tare/core/simd_int.hpp>
#include <tare/kernels/elementwise.hpp>
#include <tare/kernels/gather.hpp>
#include <tare/kernels/k_means_assign.hpp>
#include <tare/kernels/layer_norm.hpp>
#include <tare/kernels/layer_norm_backward.hpp>
#include <tare/kernels/pick_log_softmax.hpp>
#include <tare/kernels/reduce.hpp>
#include <tare/kernels/softmax.hpp>
#include <tare/kernels/top_k.hpp>
#include <tare/kernels/transpose.hpp>

#include "peak.hpp"

#ifdef TARE_BENCH_PEERS
#include <Eigen/Core>
#include <dnnl.hpp>
#endif

namespace {

using tare::extent;
namespace kernels = tare::kernels;
using in_view = tare::matrix_view<const float>;
using out_view = tare::matrix_view<float>;

struct size {
    extent rows;
    extent columns;
};
const std::vector<size> softmax_sizes = {{512, 97},   {16, 3502},   {3, 21500},
                                         {1, 242735}, {172960, 97}, {780, 21500}};
const std::vector<size> norm_sizes = {{256, 256}, {64, 1024}, {65536, 256}};

/// Registers f(x, y) for every size; `bytes` of memory traffic an element. Items are rows.
template <class F>
void add(const std::string& name, const std::string& who, const std::vector<size>& sizes, int bytes,
         F f, int threads = 1) {
    for (const size s : sizes) {
        const extent n = s.rows * s.columns;
        bench::add(name, who, tare::message(s.rows, 'x', s.columns), threads,
                   static_cast<double>(s.rows), static_cast<double>(n * bytes), [=] {
                       auto x = std::make_shared<tare::aligned_vector<float>>(
                           bench::values(n, 1, -3, 3));
                       auto y = std::make_shared<tare::aligned_vector<float>>(x->size());
                       return [=] {
                           f(in_view(x->data(), s.rows, s.columns),
                             out_view(y->data(), s.rows, s.columns));
                       };
                   });
    }
}

template <class F>
void ours(const std::string& name, const std::vector<size>& sizes, int bytes, F f) {
    for (const int threads : bench::thread_counts())
        add(name, "tare", sizes, bytes, f, threads);
}

/// Parameters that live as long as the program, the same for every call.
std::span<float> fixed_values(extent count) {
    static tare::aligned_vector<float> values;
    if (values.size() < static_cast<std::size_t>(count)) {
        values.resize(static_cast<std::size_t>(count));
        const tare::random_stream stream(2, 2);
        for (std::size_t i = 0; i < values.size(); ++i)
            values[i] = stream.uniform(i);
    }
    return std::span(values).first(static_cast<std::size_t>(count));
}

/// The dot products of pairs of 16-bit codes and the maxima that a search of 256 centroids of 8
/// values makes, and nothing else: a limit that a neighbour on the same core lowers as it lowers
/// the search, where the limit of multiply-adds stays, for those take few instructions.
void dots_peak(extent blocks) {
    namespace simd = tare::simd;
    constexpr extent registers = 32 / static_cast<extent>(simd::word_lane_count);
    constexpr extent pairs = 4, centroids = 256, side = 4;
    static const tare::aligned_vector<std::int32_t> codes(centroids * pairs, 0x00100010);
    static const tare::aligned_vector<std::int32_t> constants(centroids, 1 << 30);
    simd::words x[pairs][registers];
    for (auto& pair : x)
        for (simd::words& v : pair)
            v = simd::broadcast_word(codes.data());
    for (extent b = 0; b < blocks; b += 32) {
        simd::floats most[registers];
        for (simd::floats& m : most)
            m = simd::broadcast(0.0F);
        for (extent k = 0; k < centroids; k += side) {
            simd::words score[side][registers];
#pragma GCC unroll 4
            for (extent j = 0; j < side; ++j)
                for (simd::words& s : score[j])
                    s = simd::broadcast_word(constants.data() + k + j);
#pragma GCC unroll 4
            for (extent p = 0; p < pairs; ++p)
#pragma GCC unroll 4
                for (extent j = 0; j < side; ++j) {
                    const simd::words code =
                        simd::broadcast_word(codes.data() + (k + j) * pairs + p);
                    for (extent r = 0; r < registers; ++r)
                        score[j][r] = simd::dot_s16(score[j][r], x[p][r], code);
                }
            for (extent r = 0; r < registers; ++r) {
                const auto at = [&](extent j) { return simd::part_as_floats(score[j][r], 0); };
                most[r] = max(max(max(at(0), at(1)), max(at(2), at(3))), most[r]);
            }
        }
        for (simd::floats& m : most)
            benchmark::DoNotOptimize(m);
        benchmark::ClobberMemory();
    }
}

bool register_ours() {
    ours("softmax", softmax_sizes, 8, [](in_view x, out_view y) { kernels::softmax(x, y); });
    ours("log_softmax", softmax_sizes, 8,
         [](in_view x, out_view y) { kernels::log_softmax(x, y); });
    ours("softmax_backward", softmax_sizes, 12,
         [](in_view x, out_view y) { kernels::softmax_backward(x, x, y); });
    // A cross-entropy and its gradient, as a training step calls them.
    ours("pick_log_softmax", softmax_sizes, 12, [](in_view x, out_view y) {
        static const std::vector<std::int32_t> every_target(172960, 3);
        const auto rows = static_cast<std::size_t>(x.rows);
        const auto targets = std::span(every_target).first(rows);
        const auto each = fixed_values(3 * x.rows);
        const auto top = each.subspan(rows, rows);
        const auto sum = each.last(rows);
        const kernels::logit_gradient gradient{y, true};
        kernels::pick_log_softmax(std::span(&x, 1), targets, each.first(rows), {top, sum});
        kernels::pick_log_softmax_backward(std::span(&x, 1), targets, {top, sum}, each.first(rows),
                                           std::span(&gradient, 1));
    });
    ours("layer_norm", norm_sizes, 8, [](in_view x, out_view y) {
        const auto w = fixed_values(x.columns);
        kernels::layer_norm(x, w, w, 1e-5F, y);
    });
    ours("layer_norm_backward", norm_sizes, 12, [](in_view x, out_view y) {
        const auto w = fixed_values(2 * x.rows + 3 * x.columns);
        const auto rows = static_cast<std::size_t>(x.rows);
        const auto columns = static_cast<std::size_t>(x.columns);
        kernels::layer_norm_backward(x, w.first(columns), w.subspan(3 * columns, rows),
                                     w.subspan(3 * columns + rows, rows), x, y,
                                     w.subspan(columns, columns), w.subspan(2 * columns, columns));
    });
    ours("column_sums", {{256, 256}, {4096, 4096}}, 4, [](in_view x, out_view y) {
        kernels::column_sums(x, {y.data, static_cast<std::size_t>(x.columns)});
    });
    ours("transpose", {{256, 256}, {4096, 4096}, {768, 2001}}, 8, [](in_view x, out_view y) {
        kernels::transpose(x, {y.data, x.columns, x.rows});
    });
    ours("top_30", {{16, 3502}, {1, 242735}, {69, 242735}}, 4, [](in_view x, out_view) {
        static std::vector<std::int32_t> indices(69 * 30);
        kernels::top_k(x, {}, {indices.data(), x.rows, 30});
        benchmark::DoNotOptimize(indices.data());
    });
    for (const char* name : {"top_30", "row_arg_max"})
        add(name, "read_peak", {{16, 3502}, {1, 242735}, {69, 242735}}, 4,
            [](in_view x, out_view) { bench::read_peak(x.data, x.rows * x.columns); });
    ours("row_arg_max", {{16, 3502}, {1, 242735}, {69, 242735}}, 4, [](in_view x, out_view) {
        static std::vector<std::int32_t> indices(69);
        kernels::arg_max_rows(x, std::span(indices).first(static_cast<std::size_t>(x.rows)));
        benchmark::DoNotOptimize(indices.data());
    });
    // 256 centroids of 8 values: 4096 operations a block.
    add("k_means_256", "fma_peak", {{32768, 8}}, 33,
        [](in_view x, out_view) { bench::fma_peak(4096.0 * static_cast<double>(x.rows)); });
    if constexpr (tare::simd::dot_is_fast)
        add("k_means_256", "dots_peak", {{32768, 8}}, 33,
            [](in_view x, out_view) { dots_peak(x.rows); });
    ours("k_means_256", {{32768, 8}}, 33, [](in_view x, out_view) {
        static std::vector<std::uint8_t> codes(32768);
        kernels::k_means_assign(x, {fixed_values(2048).data(), 256, 8}, std::span(codes));
        benchmark::DoNotOptimize(codes.data());
    });
    ours("gather_rows", {{4096, 256}}, 8, [](in_view x, out_view y) {
        static const std::vector<std::int32_t> indices = [] {
            std::vector<std::int32_t> out(4096);
            for (std::size_t i = 0; i < out.size(); ++i)
                out[i] = static_cast<std::int32_t>(i * 1237 % 4096);
            return out;
        }();
        kernels::gather_rows(x, indices, y);
    });
    add("softmax", "plain", {{512, 97}, {3, 21500}}, 8,
        [](in_view x, out_view y) { kernels::plain::softmax(x, y); });
    add("layer_norm", "plain", {{256, 256}}, 8, [](in_view x, out_view y) {
        const std::span<const float> w = fixed_values(x.columns);
        kernels::plain::layer_norm<float>(x, w, w, 1e-5F, y);
    });
    return true;
}
const bool ours_registered = register_ours();

#ifdef TARE_BENCH_PEERS
bool register_eigen() {
    using matrix = Eigen::Array<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const auto add_rows = [](const std::string& name, const std::vector<size>& sizes, auto f) {
        add(name, "eigen", sizes, 8, [f](in_view x, out_view y) {
            const Eigen::Map<const matrix> from(x.data, x.rows, x.columns);
            Eigen::Map<matrix> to(y.data, y.rows, y.columns);
            for (Eigen::Index r = 0; r < from.rows(); ++r)
                f(from.row(r), to.row(r));
        });
    };
    add_rows("softmax", softmax_sizes, [](auto x, auto y) {
        y = (x - x.maxCoeff()).exp();
        y *= 1.F / y.sum();
    });
    add_rows("log_softmax", softmax_sizes, [](auto x, auto y) {
        const float most = x.maxCoeff();
        y = (x - most) - std::log((x - most).exp().sum());
    });
    add_rows("layer_norm", norm_sizes, [](auto x, auto y) {
        const auto w = fixed_values(x.cols());
        const Eigen::Map<const Eigen::Array<float, 1, Eigen::Dynamic>> factors(w.data(), x.cols());
        const float mean = x.mean();
        const float variance = (x - mean).square().mean();
        y = (x - mean) * (1.F / std::sqrt(variance + 1e-5F)) * factors + factors;
    });
    return true;
}
const bool eigen_registered = register_eigen();

/// A primitive for each shape, for one thread: it keeps the number of threads it was made with.
template <class Make>
void add_onednn(const std::string& name, const std::vector<size>& sizes, Make make) {
    using namespace dnnl;
    bench::set_all_threads(1);
    for (const size s : sizes) {
        static engine eng(engine::kind::cpu, 0);
        static stream queue(eng);
        const memory::desc form({s.rows, s.columns}, memory::data_type::f32,
                                memory::format_tag::ab);
        auto [op, extra] = make(form, eng);
        add(name, "onednn", {s}, 8, [=, op = op, extra = extra](in_view x, out_view y) {
            std::unordered_map<int, memory> arguments = extra;
            arguments[DNNL_ARG_SRC] = memory(form, eng, const_cast<float*>(x.data));
            arguments[DNNL_ARG_DST] = memory(form, eng, y.data);
            op.execute(queue, arguments);
            queue.wait();
        });
    }
}
bool register_onednn() {
    using namespace dnnl;
    using extra_arguments = std::unordered_map<int, memory>;
    add_onednn("softmax", softmax_sizes, [](const memory::desc& form, const engine& eng) {
        return std::pair<primitive, extra_arguments>(
            softmax_forward(
                softmax_forward::primitive_desc({prop_kind::forward_inference, form, 1}, eng)),
            {});
    });
    add_onednn("log_softmax", softmax_sizes, [](const memory::desc& form, const engine& eng) {
        return std::pair<primitive, extra_arguments>(
            logsoftmax_forward(
                logsoftmax_forward::primitive_desc({prop_kind::forward_inference, form, 1}, eng)),
            {});
    });
    add_onednn("layer_norm", norm_sizes, [](const memory::desc& form, const engine& eng) {
        const layer_normalization_forward::primitive_desc plan(
            {prop_kind::forward_inference, form, 1e-5F, normalization_flags::use_scale_shift}, eng);
        return std::pair<primitive, extra_arguments>(
            layer_normalization_forward(plan),
            {{DNNL_ARG_SCALE_SHIFT, memory(plan.weights_desc(), eng)}});
    });
    return true;
}
const bool onednn_registered = register_onednn();
#endif

}  // namespace
