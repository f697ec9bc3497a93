// SPDX-License-Identifier: MIT
// Product quantization of one matrix, 1024 x 512 in columns of 8 with 256 entries, as the published
// encoders do it in three steps of k-means, and one search of all its columns. Items are columns
// (of every step). `plain` is the search from its definition in float, on one thread.
#include <tare/core/random.hpp>
#include <tare/kernels/k_means_assign.hpp>
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

bool register_all() {
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
