// SPDX-License-Identifier: MIT
// Product quantization of one matrix, 1024 x 512 in columns of 8 with 256 entries, as the published
// encoders do it in three steps of k-means, and one search of all its columns. Items are columns
// (of every step). `plain` is the search from its definition in float, on one thread.
//
// product_codes: rows of x times a quantized matrix as it is stored (codebook_product), beside the
// same product with the matrix as floats, held (fp32), and decoded for each product
// (decode). Operations are those of the fp32 product, whoever does fewer.
#include <memory>
#include <tuple>
#include <utility>

#include <tare/core/random.hpp>
#include <tare/kernels/codebook_product.hpp>
#include <tare/kernels/k_means_assign.hpp>
#include <tare/kernels/matmul.hpp>
#include <tare/quantize/daq.hpp>

#include "peak.hpp"

namespace {

using tare::extent;

constexpr extent rows = 1024;
constexpr extent columns = 512;
constexpr extent block = 8;
constexpr extent entries = 256;
constexpr extent count = rows * columns / block;
constexpr int steps = 3;

const tare::aligned_vector<float>& matrix() {
    static const tare::aligned_vector<float> w = [] {
        tare::aligned_vector<float> out(static_cast<std::size_t>(rows * columns));
        const tare::random_stream random(1, 0);
        for (std::size_t i = 0; i < out.size(); ++i)
            out[i] = 0.05F * random.normal(i);
        return out;
    }();
    return w;
}
const tare::matrix_view<const float> weight(matrix().data(), rows, columns);

const tare::aligned_vector<float>& taken() {
    static const tare::aligned_vector<float> x =
        tare::bucket_columns(tare::whole_grid(rows, columns, block), 0, weight);
    return x;
}

/// Random codes and codebooks of a matrix, and what multiplies by them.
struct coded {
    tare::product_matrix matrix;
    tare::kernels::codebook_weights weights;

    coded(extent outputs, extent inputs, extent width)
        : matrix{tare::whole_grid(outputs, inputs, width), entries, {}, {}} {
        const auto codes = bench::codes<std::int16_t>(matrix.grid.size(), 0, entries - 1, 3);
        matrix.codes.assign(codes.begin(), codes.end());
        matrix.codebooks = bench::values(entries * width, 4);
        weights = {{outputs, inputs, width, 1, 1, entries}, matrix.row_codes(), matrix.codebooks};
    }
};

/// Nothing else runs between products: floats that fit lie in the second cache.
void register_products(extent outputs, extent inputs, extent width) {
    const auto w = std::make_shared<const coded>(outputs, inputs, width);
    for (const extent m : {1, 2, 4, 8, 16, 32}) {
        const std::string size =
            tare::message(bench::product_label(inputs, outputs, m), "_b", width);
        const double ops = 2.0 * static_cast<double>(m * outputs * inputs);
        const auto x =
            std::make_shared<const tare::aligned_vector<float>>(bench::values(m * inputs, 5));
        const auto y =
            std::make_shared<tare::aligned_vector<float>>(static_cast<std::size_t>(m * outputs));
        const tare::matrix_view<const float> in(x->data(), m, inputs);
        const tare::matrix_view<float> out(y->data(), m, outputs);
        constexpr tare::kernels::matmul_options how{.transpose_b = true};
        bench::add("product_codes", "tare", size, 1, ops, 0.0, [=] {
            return [=, keep = std::pair(x, y)] {
                tare::kernels::codebook_product(in, w->weights, out);
            };
        });
        bench::add("product_codes", "fp32", size, 1, ops, 0.0, [=] {
            auto floats = std::make_shared<tare::aligned_vector<float>>(
                static_cast<std::size_t>(outputs * inputs));
            const tare::matrix_view<float> decoded(floats->data(), outputs, inputs);
            tare::decode_product(w->matrix, decoded);
            return [=, keep = std::tuple(x, y, floats)] {
                tare::kernels::matmul(in, tare::matrix_view<const float>(decoded), out, how);
            };
        });
        bench::add("product_codes", "decode", size, 1, ops, 0.0, [=] {
            auto floats = std::make_shared<tare::aligned_vector<float>>(
                static_cast<std::size_t>(outputs * inputs));
            const tare::matrix_view<float> decoded(floats->data(), outputs, inputs);
            return [=, keep = std::tuple(x, y, floats)] {
                for (extent r = 0; r < outputs; ++r)
                    w->weights.copy_row(r, decoded.row(r));
                tare::kernels::matmul(in, tare::matrix_view<const float>(decoded), out, how);
            };
        });
    }
}

bool register_all() {
    register_products(512, 512, 4);
    register_products(2048, 512, 8);
    register_products(6632, 512, 8);
    const tare::matrix_view<const float> x(taken().data(), count, block);
    const tare::matrix_view<const float> book(taken().data(), entries, block);
    const std::string size = "1024x512_b8_k256";
    for (const int threads : bench::thread_counts()) {
        const auto encode = [&](const std::string& kernel, extent buckets) {
            bench::add(kernel, "tare", size, threads, static_cast<double>(steps * count), 0.0,
                       [buckets] {
                           return [grid = tare::daq_grid(rows, columns, block, entries, buckets)] {
                               benchmark::DoNotOptimize(tare::encode_product(
                                   grid, weight, {.entries = entries, .iterations = steps}));
                           };
                       });
        };
        encode("product_encode", 1);
        encode("daq_encode_16", 16);
        bench::add(
            "nearest_entries", "tare", size, threads, static_cast<double>(count), 0.0, [x, book] {
                return [x, book, codes = std::vector<tare::codebook_entry>(count)]() mutable {
                    tare::nearest_entries(x, book, codes);
                    benchmark::DoNotOptimize(codes.data());
                };
            });
        bench::add(
            "nearest_entries", "fma_peak", size, threads, static_cast<double>(count), 0.0, [] {
                return [] { bench::fma_peak(2.0 * block * entries * static_cast<double>(count)); };
            });
    }
    bench::add("nearest_entries", "plain", size, 1, static_cast<double>(count), 0.0, [x, book] {
        return [x, book, codes = std::vector<tare::codebook_entry>(count)]() mutable {
            tare::kernels::plain::k_means_assign<float>(x, book,
                                                        std::span<tare::codebook_entry>(codes));
            benchmark::DoNotOptimize(codes.data());
        };
    });
    return true;
}
const bool registered = register_all();

}  // namespace
