// SPDX-License-Identifier: MIT
// Products with pruned fp32 weights beside the dense ones, ours and oneDNN's: nominal operations
// (2 M K N a product, zeros counted). Sizes are K.._N.._M.._z<per cent of zeros>.
#include <memory>
#include <unordered_map>

#include <tare/kernels/index_product.hpp>
#include <tare/kernels/prepared_matrix.hpp>
#include <tare/kernels/sparse_product.hpp>

#include "bench_support.hpp"

#ifdef TARE_BENCH_PEERS
#include <dnnl.hpp>
#endif

namespace {

using tare::extent;
using tare::matrix_view;
namespace kernels = tare::kernels;
using floats = tare::aligned_vector<float>;

struct product_size {
    extent k, n, m;
    int zeros;  ///< per cent
};

/// Activations (M,K) and outputs (M,N) of one product.
struct operands {
    product_size size;
    floats x = bench::values(size.m * size.k, 1);
    floats y = floats(static_cast<std::size_t>(size.m * size.n));

    explicit operands(product_size s) : size(s) {}
    [[nodiscard]] matrix_view<const float> left() const { return {x.data(), size.m, size.k}; }
    [[nodiscard]] matrix_view<float> out() { return {y.data(), size.m, size.n}; }
};

/// Weights of which a share is zero: single ones, or blocks of 32 outputs by 16 inputs.
floats weights(product_size s, bool blocks) {
    const tare::random_stream keep(3, 0);
    floats w = bench::values(s.n * s.k, 2);
    for (extent n = 0; n < s.n; ++n)
        for (extent k = 0; k < s.k; ++k) {
            const extent at = blocks ? n / 32 * s.k + k / 16 : n * s.k + k;
            if (keep.uniform(static_cast<std::uint64_t>(at)) * 100.0F < static_cast<float>(s.zeros))
                w[static_cast<std::size_t>(n * s.k + k)] = 0.0F;
        }
    return w;
}

template <class Weights, class Run>
void add(const std::string& kernel, const std::string& who, product_size s, Weights make, Run run) {
    const double nominal = 2.0 * static_cast<double>(s.m * s.k * s.n);
    bench::add(kernel, who, tare::message(bench::product_label(s.k, s.n, s.m), "_z", s.zeros), 1,
               nominal, 0.0, [=] {
                   auto p = std::make_shared<operands>(s);
                   auto w = make();
                   return [=] { run(*p, *w); };
               });
}

#ifdef TARE_BENCH_PEERS
class dense_peer {
  public:
    explicit dense_peer(product_size s) {
        using dnnl::memory;
        using tag = memory::format_tag;
        const memory::data_type f32 = memory::data_type::f32;
        const dnnl::matmul::primitive_desc plan(dnnl::matmul::desc({{s.m, s.k}, f32, tag::ab},
                                                                   {{s.k, s.n}, f32, tag::any},
                                                                   {{s.m, s.n}, f32, tag::ab}),
                                                engine_);
        floats from = weights(s, false);
        memory stored({{s.k, s.n}, f32, tag::ba}, engine_, from.data());
        weights_ = memory(plan.weights_desc(), engine_);
        dnnl::reorder(stored, weights_).execute(stream_, stored, weights_);
        stream_.wait();
        primitive_ = dnnl::matmul(plan);
    }
    void operator()(operands& p) {
        using dnnl::memory;
        using tag = memory::format_tag;
        const product_size s = p.size;
        const memory::data_type f32 = memory::data_type::f32;
        primitive_.execute(
            stream_, {{DNNL_ARG_SRC, memory({{s.m, s.k}, f32, tag::ab}, engine_, p.x.data())},
                      {DNNL_ARG_WEIGHTS, weights_},
                      {DNNL_ARG_DST, memory({{s.m, s.n}, f32, tag::ab}, engine_, p.y.data())}});
        stream_.wait();
    }

  private:
    dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream_{engine_};
    dnnl::memory weights_;
    dnnl::matmul primitive_;
};
#endif

/// The dense products, which ignore zeros, beside a kernel for pruned weights.
void add_dense(const std::string& kernel, product_size s) {
    add(
        kernel, "dense", s,
        [=] {
            const floats w = weights(s, false);
            return std::make_shared<kernels::prepared_matrix>(
                matrix_view<const float>(w.data(), s.n, s.k), true);
        },
        [](operands& p, const kernels::prepared_matrix& w) {
            kernels::matmul(p.left(), w, p.out());
        });
#ifdef TARE_BENCH_PEERS
    add(
        kernel, "onednn", s, [=] { return std::make_shared<dense_peer>(s); },
        [](operands& p, dense_peer& peer) { peer(p); });
#endif
}

void add_size(product_size s) {
    add(
        "bitmask_product", "tare", s,
        [=] {
            const floats w = weights(s, false);
            return std::make_shared<kernels::bitmask_weights>(
                matrix_view<const float>(w.data(), s.n, s.k));
        },
        [](operands& p, const kernels::bitmask_weights& w) {
            kernels::sparse_product(p.left(), w, p.out());
        });
    add(
        "block_product", "tare", s,
        [=] {
            const floats w = weights(s, true);
            return std::make_shared<kernels::block_weights>(
                matrix_view<const float>(w.data(), s.n, s.k), 16);
        },
        [](operands& p, const kernels::block_weights& w) {
            kernels::sparse_product(p.left(), w, p.out());
        });
    // Activations and outputs stored input by input.
    add(
        "index_product", "tare", s,
        [=] {
            const floats w = weights(s, false);
            return std::make_shared<kernels::index_weights>(
                matrix_view<const float>(w.data(), s.n, s.k));
        },
        [](operands& p, const kernels::index_weights& w) {
            kernels::index_product({p.x.data(), p.size.k, p.size.m}, w,
                                   {p.y.data(), p.size.n, p.size.m});
        });
    for (const char* kernel : {"bitmask_product", "block_product", "index_product"})
        add_dense(kernel, s);
}

const bool registered = [] {
    for (const extent m : {1, 8, 96, 512})
        for (const auto& [k, n] : {std::pair{256, 768}, {1024, 1024}})
            for (const int zeros : {35, 65, 90})
                add_size({k, n, m, zeros});
    return true;
}();

}  // namespace
