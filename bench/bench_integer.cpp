// SPDX-License-Identifier: MIT
// Products of narrow codes with prepared weights. Peers: oneDNN with the layout of the weights left
// to the library, limits of the machine, and our own wider products.
//
//     int_product      u8s8 and s8s8 (int32 sums) beside oneDNN, and s16s16
//     packed_product   codes of 4 to 10 bits that stay packed, beside our int8 and fp32 products
//     bf16_product     bfloat16 codes, float sums, beside oneDNN
#include <memory>
#include <unordered_map>

#include <tare/kernels/bf16_product.hpp>
#include <tare/kernels/integer_product.hpp>
#include <tare/kernels/packed_product.hpp>
#include <tare/kernels/prepared_matrix.hpp>

#include "peak.hpp"

#ifdef TARE_BENCH_PEERS
#include <dnnl.hpp>
#endif

namespace {

using tare::extent;
using tare::matrix_view;
namespace kernels = tare::kernels;

struct product_size {
    extent k, n, m;
    int threads = 1;

    [[nodiscard]] std::string label(const std::string& codes) const {
        return tare::message(codes, '_', bench::product_label(k, n, m));
    }
    [[nodiscard]] double ops() const { return 2.0 * static_cast<double>(m * k * n); }
    [[nodiscard]] double weights() const { return static_cast<double>(k * n); }
};

/// Registers kernel/who: run() computes one product with weights of `bytes_per_weight`.
template <class Prepare>
void add(const std::string& kernel, const std::string& who, const std::string& codes,
         product_size size, double bytes_per_weight, Prepare prepare) {
    bench::add(kernel, who, size.label(codes), size.threads, size.ops(),
               size.weights() * bytes_per_weight, prepare);
}

/// Our product of codes of one byte or two, with exact sums.
template <class Activation>
auto integers(product_size s, std::int32_t low, std::int32_t high) {
    return [=] {
        using weight = typename kernels::integer_weights<Activation>::code_type;
        const auto w = bench::codes<weight>(s.n * s.k, -high / 2, high / 2, 2);
        auto packed = std::make_shared<kernels::integer_weights<Activation>>(
            matrix_view<const weight>(w.data(), s.n, s.k));
        auto x = std::make_shared<tare::aligned_vector<Activation>>(
            bench::codes<Activation>(s.m * s.k, low, high, 1));
        auto y = std::make_shared<tare::aligned_vector<std::int32_t>>(
            static_cast<std::size_t>(s.m * s.n));
        return [=] {
            kernels::integer_product({x->data(), s.m, s.k}, *packed,
                                     matrix_view<std::int32_t>(y->data(), s.m, s.n));
        };
    };
}

template <class Activation>
auto packed(product_size s, int bits, std::int32_t high) {
    return [=] {
        const std::int32_t most = (1 << (bits - 1)) - 1;
        const auto w = bench::codes<std::int16_t>(s.n * s.k, -most, most, 2);
        auto weights = std::make_shared<kernels::packed_weights>(
            matrix_view<const std::int16_t>(w.data(), s.n, s.k), bits);
        auto x = std::make_shared<tare::aligned_vector<Activation>>(
            bench::codes<Activation>(s.m * s.k, -high, high, 1));
        auto y = std::make_shared<tare::aligned_vector<std::int32_t>>(
            static_cast<std::size_t>(s.m * s.n));
        return [=] {
            kernels::packed_product(matrix_view<const Activation>(x->data(), s.m, s.k), *weights,
                                    matrix_view<std::int32_t>(y->data(), s.m, s.n));
        };
    };
}

auto dense_fp32(product_size s) {
    return [=] {
        const auto w = bench::values(s.n * s.k, 2);
        auto weights = std::make_shared<kernels::prepared_matrix>(
            matrix_view<const float>(w.data(), s.n, s.k), true);
        auto x = std::make_shared<tare::aligned_vector<float>>(bench::values(s.m * s.k, 1));
        auto y = std::make_shared<tare::aligned_vector<float>>(static_cast<std::size_t>(s.m * s.n));
        return [=] { kernels::matmul({x->data(), s.m, s.k}, *weights, {y->data(), s.m, s.n}); };
    };
}

auto bf16(product_size s) {
    return [=] {
        const tare::aligned_vector<std::uint16_t> w(static_cast<std::size_t>(s.n * s.k), 0x3F80);
        auto weights = std::make_shared<kernels::bf16_weights>(
            matrix_view<const std::uint16_t>(w.data(), s.n, s.k));
        auto x = std::make_shared<tare::aligned_vector<std::uint16_t>>(
            static_cast<std::size_t>(s.m * s.k), std::uint16_t{0x3F80});
        auto y = std::make_shared<tare::aligned_vector<float>>(static_cast<std::size_t>(s.m * s.n));
        return [=] {
            kernels::bf16_product({x->data(), s.m, s.k}, *weights, {y->data(), s.m, s.n});
        };
    };
}

/// Reads as many bytes as the weights of one byte have.
auto read_bytes(product_size s) {
    return [=] {
        auto w = std::make_shared<tare::aligned_vector<float>>(bench::values(s.n * s.k / 4, 2));
        return [=] { bench::read_peak(w->data(), static_cast<extent>(w->size())); };
    };
}

/// As many dots of four pairs of bytes as the product has, from registers.
auto dots(product_size s) {
    return [=] {
        return [=] {
            constexpr int chains = 16;
            const auto rounds = static_cast<extent>(
                s.ops() / (8.0 * chains * static_cast<double>(tare::simd::word_lane_count)));
            tare::simd::words sum[chains];
            for (int c = 0; c < chains; ++c)
                sum[c] = tare::simd::words_of(c);
            const tare::simd::words ones = tare::simd::words_of(0x01010101);
            for (extent r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
                for (int c = 0; c < chains; ++c)
                    sum[c] = tare::simd::dot_u8s8(sum[c], ones, ones);
            }
            alignas(64) std::int32_t lane[tare::simd::word_lane_count];
            for (int c = 1; c < chains; ++c)
                sum[0] = tare::simd::add(sum[0], sum[c]);
            tare::simd::store_words(lane, sum[0]);
            benchmark::DoNotOptimize(lane[0]);
        };
    };
}

#ifdef TARE_BENCH_PEERS
/// oneDNN on operands of the given types.
class onednn_product {
  public:
    onednn_product(product_size s, dnnl::memory::data_type left, dnnl::memory::data_type right,
                   dnnl::memory::data_type out) {
        using dnnl::memory;
        using tag = memory::format_tag;
        const memory::desc xd({s.m, s.k}, left, tag::ab);
        const memory::desc wd({s.k, s.n}, right, tag::any);
        const memory::desc yd({s.m, s.n}, out, tag::ab);
        const dnnl::matmul::primitive_desc plan(dnnl::matmul::desc(xd, wd, yd), engine_);
        const memory::data_type wide = memory::data_type::f32;
        auto xf = bench::codes<float>(s.m * s.k, 0, 127, 1);
        auto wf = bench::codes<float>(s.n * s.k, -63, 63, 2);
        memory x(xd, engine_);
        memory w(plan.weights_desc(), engine_);
        memory x_from({{s.m, s.k}, wide, tag::ab}, engine_, xf.data());
        memory w_from({{s.k, s.n}, wide, tag::ba}, engine_, wf.data());
        dnnl::reorder(x_from, x).execute(stream_, x_from, x);
        dnnl::reorder(w_from, w).execute(stream_, w_from, w);
        stream_.wait();
        primitive_ = dnnl::matmul(plan);
        arguments_ = {
            {DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, memory(yd, engine_)}};
    }
    void operator()() {
        primitive_.execute(stream_, arguments_);
        stream_.wait();
    }

  private:
    dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream_{engine_};
    dnnl::matmul primitive_;
    std::unordered_map<int, dnnl::memory> arguments_;
};
#endif

void add_integers(product_size s) {
    add("int_product", "tare", "u8s8", s, 1, integers<std::uint8_t>(s, 0, 255));
    add("int_product", "tare", "s8s8", s, 1, integers<std::int8_t>(s, -127, 127));
    add("int_product", "tare", "s16s16", s, 2, integers<std::int16_t>(s, -255, 255));
    if (s.threads == 1) {
        if (s.m == 1)
            add("int_product", "read_peak", "u8s8", s, 1, read_bytes(s));
        else
            add("int_product", "dot_peak", "u8s8", s, 1, dots(s));
    }
    add("bf16_product", "tare", "bf16", s, 2, bf16(s));
#ifdef TARE_BENCH_PEERS
    using type = dnnl::memory::data_type;
    add("int_product", "onednn", "u8s8", s, 1,
        [=] { return onednn_product(s, type::u8, type::s8, type::s32); });
    add("int_product", "onednn", "s8s8", s, 1,
        [=] { return onednn_product(s, type::s8, type::s8, type::s32); });
    add("bf16_product", "onednn", "bf16", s, 2,
        [=] { return onednn_product(s, type::bf16, type::bf16, type::f32); });
#endif
}

void add_packed(product_size s) {
    const auto one = [&](const std::string& codes, double bits, auto run) {
        add("packed_product", "tare", codes, s, bits / 8, run);
        add("packed_product", "int8", codes, s, 1, integers<std::int8_t>(s, -127, 127));
        add("packed_product", "fp32", codes, s, 4, dense_fp32(s));
    };
    one("4_bit", 4, packed<std::int8_t>(s, 4, 127));
    one("8_bit", 8, packed<std::int8_t>(s, 8, 127));
    one("9_bit", 9, packed<std::int16_t>(s, 9, 255));
    one("10_bit", 10, packed<std::int16_t>(s, 10, 511));
}

const bool registered = [] {
    for (const extent m : {1, 8, 96, 1152})
        for (const auto& [k, n] : {std::pair{256, 576}, {512, 2048}, {1024, 1024}})
            add_integers({k, n, m});
    add_integers({256, 3502, 96});
    add_integers({64, 21500, 96});
    if (bench::thread_counts().size() > 1) {
        add_integers({512, 2048, 96, 4});
        add_integers({1024, 1024, 1152, 4});
    }
    for (const auto& [k, n] : {std::pair{256, 576}, {512, 2048}, {1024, 1024}, {2048, 4096}})
        add_packed({k, n, 1});
    return true;
}();

}  // namespace
