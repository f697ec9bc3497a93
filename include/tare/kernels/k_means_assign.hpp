#pragma once
// SPDX-License-Identifier: MIT
// Nearest centroid for every block of D values (product quantization, k-means).
//   code = argmin_k |x - c_k|^2 = argmax_k (x . c_k - |c_k|^2 / 2), the lowest k on ties
// Blocks stand in the lanes: 32 of them meet one centroid at a time, so that the search is fused
// multiply-adds with broadcasts, one maximum for each score and no horizontal step. Where a dot
// product of 16-bit codes is one instruction, blocks of eight are searched on codes first, which
// changes no result.
// Source: Lloyd 1982, "Least squares quantization in PCM", step 1.

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

#include <tare/core/aligned.hpp>
#include <tare/core/parallel.hpp>
#include <tare/core/view.hpp>
#include <tare/kernels/arguments.hpp>
#include <tare/kernels/k_means_screen.hpp>
#include <tare/kernels/k_means_search.hpp>

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

/// Codes of the blocks [begin, end).
template <int Width, class Code>
void assign_blocks(matrix_view<const float> blocks, const centroid_table& c, extent begin,
                   extent end, std::span<Code> codes) {
    aligned_vector<float> turned(static_cast<std::size_t>(32 * c.width), 0.0F);
    alignas(64) float best[32];
    alignas(64) float groups[32];
    for (extent b = begin; b < end; b += 32) {
        const extent count = std::min<extent>(32, end - b);
        turn_blocks(blocks, b, count, turned.data());
        best_group_of_32<Width>(turned.data(), c, best, groups);
        for (extent j = 0; j < count; ++j) {
            const extent at = lane_of_block(j);
            codes[static_cast<std::size_t>(b + j)] =
                static_cast<Code>(first_of_group<Width>(blocks.data + (b + j) * blocks.stride, c,
                                                        static_cast<extent>(groups[at]), best[at]));
        }
    }
}

/// The same codes by way of 16-bit codes, see k_means_screen.hpp.
template <int Width, class Code>
void assign_screened(matrix_view<const float> blocks, const centroid_table& c, extent begin,
                     extent end, std::span<Code> codes) {
    const screen_table<Width> table(c);
    if (!table.usable()) return assign_blocks<Width>(blocks, c, begin, end, codes);
    screened_blocks<Width> screen(c, table);
    alignas(64) float turned[32 * Width] = {};
    for (extent b = begin; b < end; b += 32) {
        const extent count = std::min<extent>(32, end - b);
        turn_blocks(blocks, b, count, turned);
        if (!screen.search(turned)) {
            assign_blocks<Width>(blocks, c, b, b + count, codes);
            continue;
        }
        screen.nearest(blocks, b, count, codes.data() + b);
    }
}

}  // namespace detail

/// Codes of all blocks. Shapes blocks (B, D), centroids (K, D), codes (B); 1 <= K <= 2^24 and
/// K - 1 fits a Code.
/// NaN: a block with a NaN gets code 0, a centroid with a NaN is never chosen.
/// Accuracy: the chosen score is within (D + 3) 2^-24 (|x| |c| + |c|^2) of the best.
/// Throws on shapes that do not fit, overlapping memory, no centroids, or too many for a Code.
template <std::unsigned_integral Code>
void k_means_assign(matrix_view<const float> blocks, matrix_view<const float> centroids,
                    std::span<Code> codes) {
    detail::require_view("k_means_assign", "blocks", blocks);
    detail::require_view("k_means_assign", "centroids", centroids);
    detail::require_size("k_means_assign", "codes", codes, blocks.rows, "one per row of blocks");
    detail::require_apart("k_means_assign", "blocks", blocks, "codes", codes);
    detail::require_apart("k_means_assign", "centroids", centroids, "codes", codes);
    if (centroids.columns != blocks.columns)
        fail("k_means_assign: blocks have ", blocks.columns, " values and centroids have ",
             centroids.columns, "; they must agree");
    // Codes pass through float lanes, which count exactly up to 2^24.
    const extent most =
        sizeof(Code) >= 4 ? extent{1} << 24 : extent{std::numeric_limits<Code>::max()} + 1;
    if (centroids.rows < 1 || centroids.rows > most)
        fail("k_means_assign: ", centroids.rows, " centroids; between 1 and ", most,
             " fit the code type");
    const detail::centroid_table table(centroids);
    const extent width = blocks.columns;
    parallel_for(blocks.rows, 32, centroids.rows * (width + 1) / 10, [&](extent begin, extent end) {
        if (width == 8 && simd::dot_is_fast)
            detail::assign_screened<8>(blocks, table, begin, end, codes);
        else if (width == 8)
            detail::assign_blocks<8>(blocks, table, begin, end, codes);
        else if (width == 4)
            detail::assign_blocks<4>(blocks, table, begin, end, codes);
        else
            detail::assign_blocks<0>(blocks, table, begin, end, codes);
    });
}

}  // namespace tare::kernels
