#pragma once
// SPDX-License-Identifier: MIT
// y = x W^T with a product-quantized W that is never decoded. For each block of inputs, a table of
// its dot products with all entries of the codebook; then every output adds up one entry of each
// table, by its codes:
//     t[j][k] = sum_d x[j b + d] c[k][d]              y[n] = sum_j t[j][code(n, j)]
// One row of x then reads N K / b bytes of codes instead of 4 N K bytes of weights, and multiplies
// E K times (times the buckets down) instead of N K times. It pays for few rows: tables are made
// for each, while a decoded matrix serves all.
// Source: Jegou, Douze, Schmid 2011, "Product quantization for nearest neighbor search", section
// III-A (asymmetric distances); Stock et al. 2020, "And the bit goes down".

#include <algorithm>
#include <span>
#include <vector>

#include <tare/core/aligned.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/simd_tables.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/codebook_weights.hpp>
#include <tare/kernels/epilogue.hpp>

namespace tare::kernels {

namespace detail {

inline void check_codebook_product(matrix_view<const float> x, const codebook_weights& w,
                                   matrix_view<float> y) {
    constexpr std::string_view name = "codebook_product";
    require_view(name, "x", x);
    require_view(name, "y", y);
    if (x.columns != w.layout().columns || y.columns != w.layout().rows || y.rows != x.rows)
        fail(name, ": x is (", x.rows, ',', x.columns, "), W is (", w.layout().rows, ',',
             w.layout().columns, "), y is (", y.rows, ',', y.columns,
             "); expected (M,K), (N,K) and (M,N)");
}

}  // namespace detail

namespace plain {

/// The product from its definition, in the order of the fast one: each dot product and each sum
/// from left to right, products rounded on their own. **Shapes** x (M, K), y (M, N).
/// **Cost** M (down E K) multiplications, M (down E (K - K / b) + N (K / b - 1)) additions.
template <class Scalar>
void codebook_product(matrix_view<const Scalar> x, const codebook_weights& w,
                      matrix_view<Scalar> y) {
    const codebook_layout& l = w.layout();
    const auto at = [&l](extent j, extent k) {
        return static_cast<std::size_t>(j * l.entries + k);
    };
    // One table for each block of one row, as the fast product has them.
    std::vector<Scalar> table(at(l.blocks(), 0));
    for (extent m = 0; m < x.rows; ++m)
        for (extent down = 0; down < l.down; ++down) {
            for (extent j = 0; j < l.blocks(); ++j)
                for (extent k = 0; k < l.entries; ++k) {
                    const auto term = [&](extent d) {
                        return x(m, j * l.block + d) * Scalar(w.entries(w.bucket(down, j), d)[k]);
                    };
                    Scalar sum = term(0);
                    for (extent d = 1; d < l.block; ++d)
                        sum = sum + term(d);
                    table[at(j, k)] = sum;
                }
            for (std::size_t s = 0; s < w.strips().size(); ++s) {
                const codebook_weights::strip& strip = w.strips()[s];
                if (strip.down != down) continue;
                for (extent i = 0; i < strip.count; ++i) {
                    Scalar sum = table[at(0, w.codes(s, 0)[i])];
                    for (extent j = 1; j < l.blocks(); ++j)
                        sum = sum + table[at(j, w.codes(s, j)[i])];
                    y(m, strip.first + i) = sum;
                }
            }
        }
}

}  // namespace plain

namespace detail {

/// Blocks whose tables are used together: 32 KiB of 256 entries, which the first cache holds.
inline constexpr extent table_blocks = 32;

/// The table of one block: dot products of x[0..b) with every entry.
inline void codebook_table(const float* x, const codebook_weights& w, extent bucket, float* out) {
    constexpr auto step = static_cast<extent>(simd::lanes);
    const extent block = w.layout().block;
    for (extent k = 0; k < w.table_entries(); k += step) {
        // Entries side by side: each register makes sixteen dot products, and adds none across
        // lanes.
        simd::floats sum = simd::broadcast(x[0]) * simd::load(w.entries(bucket, 0) + k);
        for (extent d = 1; d < block; ++d)
            sum = simd::fma(simd::broadcast(x[d]), simd::load(w.entries(bucket, d) + k), sum);
        simd::store(out + k, sum);
    }
}

/// Adds tables [begin, end) to the outputs of a strip, or starts them where begin is 0.
inline void add_tables(const codebook_weights& w, std::size_t strip, extent begin, extent end,
                       const float* tables, float* sums) {
    constexpr auto step = static_cast<extent>(simd::lanes);
    // Independent sums: an addition waits four cycles for the one before it, a gather for nobody.
    constexpr int registers =
        static_cast<int>(std::min<extent>(codebook_weights::strip_outputs / step, 4));
    for (extent n = 0; n < codebook_weights::strip_outputs; n += registers * step) {
        simd::floats sum[registers];
        const auto entries = [&](extent j, int r) {
            return simd::gather(tables + j * w.table_entries(),
                                simd::load_codes(w.codes(strip, j) + n + r * step));
        };
#pragma GCC unroll 4
        for (int r = 0; r < registers; ++r)
            // The first entry begins the sum: nothing is added to zero.
            sum[r] = begin == 0 ? entries(0, r) : simd::load(sums + n + r * step);
        for (extent j = begin == 0 ? 1 : begin; j < end; ++j)
#pragma GCC unroll 4
            for (int r = 0; r < registers; ++r)
                sum[r] = sum[r] + entries(j, r);
#pragma GCC unroll 4
        for (int r = 0; r < registers; ++r)
            simd::store(sums + n + r * step, sum[r]);
    }
}

}  // namespace detail

/// y = finish(x W^T). **Shapes** x (M, K), y (M, N); y may not overlap x.
/// **Accuracy** of each output, against the exact product with the decoded matrix:
///     |difference| <= (b + K / b) 2^-24 (1 + (b + K / b) 2^-23) sum_k |x w|
/// **Cost** as plain::codebook_product (a fused multiply-add is one of each).
/// **Throws** tare::error on shapes that do not fit and on overlap.
/// **Complexity/threads** tables, then strips of outputs, are shared out; same bits on any number.
template <epilogue Finish = no_epilogue>
void codebook_product(matrix_view<const float> x, const codebook_weights& w, matrix_view<float> y,
                      const Finish& finish = {}) {
    detail::check_codebook_product(x, w, y);
    detail::check_epilogue(finish, "codebook_product", matrix_view<const float>(y));
    detail::require_all_apart("codebook_product", {{"y", y}}, {{"x", x}});
    const codebook_layout& l = w.layout();
    const extent blocks = l.blocks();
    const extent entries = w.table_entries();
    const extent tables_of_row = l.down * blocks;
    static thread_local aligned_vector<float> all;
    // One row of x at a time: more tables would leave the caches.
    for (extent m = 0; m < x.rows; ++m) {
        all.resize(static_cast<std::size_t>(tables_of_row * entries));
        float* const tables = all.data();
        const float* const row = &x(m, 0);
        parallel_for(tables_of_row, 1, entries * l.block / 8, [&](extent begin, extent end) {
            for (extent t = begin; t < end; ++t)
                detail::codebook_table(row + t % blocks * l.block, w,
                                       w.bucket(t / blocks, t % blocks), tables + t * entries);
        });
        constexpr extent outputs = codebook_weights::strip_outputs;
        const auto some = [&](extent begin, extent end) {
            // Sums wait here while the next tables come into the first cache.
            static thread_local aligned_vector<float> kept;
            kept.resize(static_cast<std::size_t>((end - begin) * outputs));
            for (extent j = 0; j < blocks; j += detail::table_blocks)
                for (extent s = begin; s < end; ++s) {
                    const auto strip = static_cast<std::size_t>(s);
                    detail::add_tables(w, strip, j, std::min(blocks, j + detail::table_blocks),
                                       tables + w.strips()[strip].down * blocks * entries,
                                       kept.data() + (s - begin) * outputs);
                }
            for (extent s = begin; s < end; ++s) {
                // Outputs are finished last: an epilogue must see each once.
                const codebook_weights::strip& strip = w.strips()[static_cast<std::size_t>(s)];
                const float* const sums = kept.data() + (s - begin) * outputs;
                constexpr auto step = static_cast<extent>(simd::lanes);
                for (extent n = 0; n < strip.count; n += step) {
                    const auto left = static_cast<std::size_t>(std::min(step, strip.count - n));
                    detail::store_lanes(&y(m, strip.first + n),
                                        finish(simd::load(sums + n), m, strip.first + n, left),
                                        left);
                }
            }
        };
        parallel_for(static_cast<extent>(w.strips().size()), 1, outputs * blocks * 4, some);
    }
}

}  // namespace tare::kernels
