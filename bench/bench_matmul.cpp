// SPDX-License-Identifier: MIT
// Products of float matrices on the shapes of the models the library is for, ours beside oneDNN
// (with weights in its own layout, and its sgemm), OpenBLAS and Eigen.
//
//   matmul_prepared  weights packed before, y (M,N) = x (M,K) W (N,K)^T
//   matmul_linear    the same from W as it lies
//   matmul_input     dx (M,K) = dy (M,N) W (N,K);  matmul_weight  dW (N,K) += dy^T (N,M) x (M,K)
//
// `fma_peak` does the same number of operations from registers, `tile_peak` with the loads of a
// tile as well, `read_peak` reads the weights.
#include <memory>

#include <tare/kernels/prepared_matrix.hpp>

#include "peak.hpp"

#ifdef TARE_BENCH_PEERS
#include <Eigen/Core>
#include <cblas.h>
#include <dnnl.hpp>
#endif

namespace {

using tare::extent;
namespace kernels = tare::kernels;

/// One product C (m,n) (+)= op(A) op(B) with buffers of its own.
struct product {
    extent m;
    extent n;
    extent k;
    kernels::matmul_options how;
    tare::aligned_vector<float> a = bench::values(m * k, 1);
    tare::aligned_vector<float> b = bench::values(n * k, 2);
    tare::aligned_vector<float> c = bench::values(m * n, 3);

    product(extent m_, extent n_, extent k_, kernels::matmul_options how_)
        : m(m_), n(n_), k(k_), how(how_) {}

    [[nodiscard]] tare::matrix_view<const float> left() const {
        return how.transpose_a ? tare::matrix_view<const float>(a.data(), k, m)
                               : tare::matrix_view<const float>(a.data(), m, k);
    }
    [[nodiscard]] tare::matrix_view<const float> right() const {
        return how.transpose_b ? tare::matrix_view<const float>(b.data(), n, k)
                               : tare::matrix_view<const float>(b.data(), k, n);
    }
    [[nodiscard]] tare::matrix_view<float> out() { return {c.data(), m, n}; }
};

#ifdef TARE_BENCH_PEERS

/// oneDNN with weights in the layout that it likes best for this size.
class packed_peer {
  public:
    explicit packed_peer(std::shared_ptr<product> p) : product_(std::move(p)) {
        using dnnl::memory;
        const auto f32 = memory::data_type::f32;
        const memory::desc a({product_->m, product_->k}, f32, memory::format_tag::ab);
        const memory::desc any({product_->k, product_->n}, f32, memory::format_tag::any);
        const memory::desc stored({product_->k, product_->n}, f32, memory::format_tag::ba);
        const memory::desc c({product_->m, product_->n}, f32, memory::format_tag::ab);
        const dnnl::matmul::primitive_desc chosen(dnnl::matmul::desc(a, any, c), engine_);
        memory from(stored, engine_, product_->b.data());
        memory weights(chosen.weights_desc(), engine_);
        dnnl::reorder(from, weights).execute(stream_, from, weights);
        stream_.wait();
        primitive_ = dnnl::matmul(chosen);
        arguments_ = {{DNNL_ARG_SRC, memory(a, engine_, product_->a.data())},
                      {DNNL_ARG_WEIGHTS, weights},
                      {DNNL_ARG_DST, memory(c, engine_, product_->c.data())}};
    }
    void operator()() {
        primitive_.execute(stream_, arguments_);
        stream_.wait();
    }

  private:
    std::shared_ptr<product> product_;
    dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream_{engine_};
    dnnl::matmul primitive_;
    std::unordered_map<int, dnnl::memory> arguments_;
};

void run_onednn(product& p) {
    dnnl_sgemm(p.how.transpose_a ? 'T' : 'N', p.how.transpose_b ? 'T' : 'N', p.m, p.n, p.k, 1.0F,
               p.a.data(), p.left().columns, p.b.data(), p.right().columns,
               p.how.accumulate ? 1.0F : 0.0F, p.c.data(), p.n);
}

void run_openblas(product& p) {
    const auto flag = [](bool transposed) { return transposed ? CblasTrans : CblasNoTrans; };
    const auto size = [](extent e) { return static_cast<blasint>(e); };
    cblas_sgemm(CblasRowMajor, flag(p.how.transpose_a), flag(p.how.transpose_b), size(p.m),
                size(p.n), size(p.k), 1.0F, p.a.data(), size(p.left().columns), p.b.data(),
                size(p.right().columns), p.how.accumulate ? 1.0F : 0.0F, p.c.data(), size(p.n));
}

void run_eigen(product& p) {
    using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const Eigen::Map<const matrix> a(p.a.data(), p.left().rows, p.left().columns);
    const Eigen::Map<const matrix> b(p.b.data(), p.right().rows, p.right().columns);
    Eigen::Map<matrix> c(p.c.data(), p.m, p.n);
    if (p.how.transpose_a) {
        c.noalias() += a.transpose() * b;  // the only transposed A here accumulates
    } else if (p.how.transpose_b) {
        c.noalias() = a * b.transpose();
    } else {
        c.noalias() = a * b;
    }
}

#endif

void add_prepared(extent k, extent n, extent m, int threads) {
    const std::string size = bench::product_label(k, n, m);
    const auto dm = static_cast<double>(m);
    const auto dn = static_cast<double>(n);
    const double ops = dm * dn * (2.0 * static_cast<double>(k) - 1.0);
    const double bytes = 4.0 * (dn * static_cast<double>(k) + dm * (dn + static_cast<double>(k)));
    const kernels::matmul_options how{.transpose_b = true};
    bench::add("matmul_prepared", "tare", size, threads, ops, bytes, [=] {
        auto p = std::make_shared<product>(m, n, k, how);
        auto w = std::make_shared<kernels::prepared_matrix>(p->right(), true);
        return [p, w] { kernels::matmul(p->left(), *w, p->out()); };
    });
    if (m == 1) {
        bench::add("matmul_prepared", "read_peak", size, threads, ops, bytes, [=] {
            auto p = std::make_shared<product>(m, n, k, how);
            return [p] { bench::read_peak(p->b.data(), p->n * p->k); };
        });
    } else if (k >= 64) {
        bench::add("matmul_prepared", "fma_peak", size, threads, ops, bytes,
                   [=] { return [=] { bench::fma_peak(ops); }; });
        bench::add("matmul_prepared", "tile_peak", size, threads, ops, bytes,
                   [=] { return [=] { bench::tile_peak(ops); }; });
    } else {
        bench::add("matmul_prepared", "write_peak", size, threads, ops, bytes, [=] {
            auto p = std::make_shared<product>(m, n, k, how);
            return [p] { bench::write_peak(p->c.data(), p->m * p->n); };
        });
    }
#ifdef TARE_BENCH_PEERS
    bench::add("matmul_prepared", "onednn", size, threads, ops, bytes,
               [=] { return packed_peer(std::make_shared<product>(m, n, k, how)); });
#endif
}

void add_fresh(const std::string& kernel, extent k, extent n, extent m, kernels::matmul_options how,
               int threads) {
    const std::string size = bench::product_label(k, n, m);
    const auto dm = static_cast<double>(m);
    const auto dn = static_cast<double>(n);
    const auto dk = static_cast<double>(k);
    const double ops = dm * dn * (2.0 * dk - (how.accumulate ? 0.0 : 1.0));
    const double bytes = 4.0 * (dn * dk + dm * (dn + dk));
    const auto one = [&](const std::string& who, auto run) {
        bench::add(kernel, who, size, threads, ops, bytes, [=] {
            auto p = std::make_shared<product>(m, n, k, how);
            return [p, run] { run(*p); };
        });
    };
    one("tare", [](product& p) { kernels::matmul(p.left(), p.right(), p.out(), p.how); });
    if (m * n * k <= 2'000'000 && threads == 1)
        one("reference",
            [](product& p) { kernels::matmul_reference(p.left(), p.right(), p.out(), p.how); });
#ifdef TARE_BENCH_PEERS
    one("onednn", run_onednn);
    one("openblas", run_openblas);
    one("eigen", run_eigen);
#endif
}

bool register_products() {
    bench::describe_peers();
    const std::pair<extent, extent> shapes[] = {{256, 576},  {256, 768},  {768, 256},
                                                {512, 512},  {512, 2048}, {1024, 1024},
                                                {256, 3502}, {64, 21500}, {4, 242735}};
    for (const int threads : bench::thread_counts()) {
        for (const auto& [k, n] : shapes) {
            for (const extent m : {1, 8, 96, 1152}) {
                if (m * n > 30'000'000) continue;  // 1152 x 242735: a gigabyte
                add_prepared(k, n, m, threads);
                add_fresh("matmul_linear", k, n, m, {.transpose_b = true}, threads);
            }
            if (k < 64) continue;
            add_fresh("matmul_linear", k, n, 64, {.transpose_b = true}, threads);
            if (n > 4000) continue;
            // The two gradients of a linear layer with k inputs and n outputs on 1152 tokens.
            add_fresh("matmul_input", n, k, 1152, {}, threads);
            add_fresh("matmul_weight", 1152, k, n, {.transpose_a = true, .accumulate = true},
                      threads);
        }
    }
    return true;
}

const bool registered = register_products();

}  // namespace
