#pragma once
// SPDX-License-Identifier: MIT
// Nearest centroid for every block of D values (product quantization, k-means).
//   code = argmin_k |x - c_k|^2 = argmax_k (x . c_k - |c_k|^2 / 2), the lowest k on ties
// Blocks stand in the lanes: 32 of them meet one centroid at a time, so that the whole search is
// fused multiply-adds with broadcasts and no horizontal step.
// Source: Lloyd 1982, "Least squares quantization in PCM", step 1.

#include <concepts>
#include <limits>
#include <span>
#include <type_traits>

#include <tare/core/aligned.hpp>
#include <tare/core/pack.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>

namespace tare::kernels {

namespace plain {

/// The score above for any scalar with + - * / <.
template <class Scalar, std::unsigned_integral Code>
void k_means_assign(matrix_view<const Scalar> blocks,
                    matrix_view<const std::type_identity_t<Scalar>> centroids,
                    std::span<Code> codes) {
    for (extent b = 0; b < blocks.rows; ++b) {
        Scalar best = Scalar(0);
        extent winner = 0;
        for (extent k = 0; k < centroids.rows; ++k) {
            Scalar score = Scalar(0);
            Scalar square = Scalar(0);
            for (extent d = 0; d < blocks.columns; ++d) {
                score = score + blocks(b, d) * centroids(k, d);
                square = square + centroids(k, d) * centroids(k, d);
            }
            score = score - square / Scalar(2);
            if (k == 0 || best < score) {
                best = score;
                winner = k;
            }
        }
        codes[static_cast<std::size_t>(b)] = static_cast<Code>(winner);
    }
}

}  // namespace plain

namespace detail {

/// Scores of 32 blocks, turned to [d][32], against all centroids; writes their codes as floats.
/// Width is D, or 0 where D is known at run time only.
template <int Width>
void nearest_of_32(const float* turned, extent width, matrix_view<const float> centroids,
                   const float* half_squares, float* codes) {
    using simd::pack;
    const extent n = Width > 0 ? Width : width;
    pack x[Width > 0 ? 2 * Width : 1];
    if constexpr (Width > 0) {
        for (extent d = 0; d < 2 * Width; ++d)
            x[d] = simd::load_pack(turned + 16 * d);
    }
    const pack lowest = simd::pack_of(-std::numeric_limits<float>::infinity());
    pack best[2] = {lowest, lowest};
    pack code[2] = {simd::pack_of(0.0F), simd::pack_of(0.0F)};
    for (extent k = 0; k < centroids.rows; ++k) {
        const float* c = centroids.data + k * centroids.stride;
        pack score[2];
        score[0] = score[1] = simd::pack_of(-half_squares[k]);
#pragma GCC unroll 8
        for (extent d = 0; d < n; ++d) {
            const pack w = simd::pack_of(c[d]);
            if constexpr (Width > 0) {
                score[0] = simd::fma(x[2 * d], w, score[0]);
                score[1] = simd::fma(x[2 * d + 1], w, score[1]);
            } else {
                score[0] = simd::fma(simd::load_pack(turned + 32 * d), w, score[0]);
                score[1] = simd::fma(simd::load_pack(turned + 32 * d + 16), w, score[1]);
            }
        }
        const pack number = simd::pack_of(static_cast<float>(k));
        for (int h = 0; h < 2; ++h) {
            code[h] = select(best[h] < score[h], number, code[h]);
            best[h] = max(score[h], best[h]);
        }
    }
    store(codes, code[0]);
    store(codes + 16, code[1]);
}

}  // namespace detail

/// Codes of all blocks. Shapes blocks (B, D), centroids (K, D), codes (B); 1 <= K <= 2^24 and
/// K - 1 fits a Code.
/// NaN: a block with a NaN gets code 0, a centroid with a NaN is never chosen.
/// Accuracy: the chosen score is within (D + 3) 2^-24 (|x| |c| + |c|^2) of the best.
/// Throws on shapes that do not fit, no centroids, or too many for a Code.
template <std::unsigned_integral Code>
void k_means_assign(matrix_view<const float> blocks, matrix_view<const float> centroids,
                    std::span<Code> codes) {
    detail::require_view("k_means_assign", "blocks", blocks);
    detail::require_view("k_means_assign", "centroids", centroids);
    detail::require_size("k_means_assign", "codes", codes, blocks.rows, "one per row of blocks");
    if (centroids.columns != blocks.columns)
        fail("k_means_assign: blocks have ", blocks.columns, " values and centroids have ",
             centroids.columns, "; they must agree");
    // Codes pass through float lanes, which count exactly up to 2^24.
    const extent most =
        sizeof(Code) >= 4 ? extent{1} << 24 : extent{std::numeric_limits<Code>::max()} + 1;
    if (centroids.rows < 1 || centroids.rows > most)
        fail("k_means_assign: ", centroids.rows, " centroids; between 1 and ", most,
             " fit the code type");
    aligned_vector<float> half_squares(static_cast<std::size_t>(centroids.rows));
    for (extent k = 0; k < centroids.rows; ++k) {
        float square = 0.0F;
        for (const float v : centroids.row(k))
            square += v * v;
        half_squares[static_cast<std::size_t>(k)] = square * 0.5F;
    }
    const extent width = blocks.columns;
    parallel_for(blocks.rows, 32, centroids.rows * (width + 3) / 10, [&](extent begin, extent end) {
        aligned_vector<float> turned(static_cast<std::size_t>(32 * width));
        alignas(64) float found[32];
        for (extent b = begin; b < end; b += 32) {
            const extent count = std::min<extent>(32, end - b);
            for (extent j = 0; j < count; ++j) {
                for (extent d = 0; d < width; ++d)
                    turned[static_cast<std::size_t>(32 * d + j)] = blocks(b + j, d);
            }
            const auto search = width == 8   ? detail::nearest_of_32<8>
                                : width == 4 ? detail::nearest_of_32<4>
                                             : detail::nearest_of_32<0>;
            search(turned.data(), width, centroids, half_squares.data(), found);
            for (extent j = 0; j < count; ++j)
                codes[static_cast<std::size_t>(b + j)] = static_cast<Code>(found[j]);
        }
    });
}

}  // namespace tare::kernels
